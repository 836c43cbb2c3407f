"""The models that BasicSR's training loop trains; importing this package registers them."""

from mihatp_arch.models.adversarial_first_stage_model import AdversarialFirstStageModel
from mihatp_arch.models.diffusion_model import DiffusionModel
from mihatp_arch.models.first_stage_model import FirstStageModel
from mihatp_arch.models.hat_model import HATModel
from mihatp_arch.models.hovernet_model import HoVerNetModel
from mihatp_arch.models.mihatp_model import MiHATPModel

__all__ = [
    "AdversarialFirstStageModel",
    "DiffusionModel",
    "FirstStageModel",
    "HATModel",
    "HoVerNetModel",
    "MiHATPModel",
]
