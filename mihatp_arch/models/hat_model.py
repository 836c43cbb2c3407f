"""The model that HAT's own option files name."""

from basicsr.models.sr_model import SRModel
from basicsr.utils.registry import MODEL_REGISTRY


@MODEL_REGISTRY.register()
class HATModel(SRModel):
    """SRModel under the name that HAT's files use. HAT's own model pads images; here the network `HAT` pads them."""
