"""The model that HAT's own option files name."""

from basicsr.models.sr_model import SRModel
from basicsr.utils.registry import MODEL_REGISTRY


@MODEL_REGISTRY.register()
class HATModel(SRModel):
    """SRModel under HAT's name: its padding is in the network, so that nothing is left to add."""
