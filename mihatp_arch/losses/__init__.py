"""The losses: the contrastive loss of the paper, perceptual distances. Importing this package registers them."""

from mihatp_arch.losses.contrastive_loss import ContrastiveLoss
from mihatp_arch.losses.features import FeatureNetwork
from mihatp_arch.losses.hovernet_loss import HoVerNetLoss
from mihatp_arch.losses.lpips_loss import LPIPSLoss
from mihatp_arch.losses.perceptual_distance import PerceptualDistance

__all__ = ["ContrastiveLoss", "FeatureNetwork", "HoVerNetLoss", "LPIPSLoss", "PerceptualDistance"]
