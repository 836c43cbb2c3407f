"""The losses that the paper adds to BasicSR's; importing this package registers them."""

from mihatp_arch.losses.contrastive_loss import ContrastiveLoss
from mihatp_arch.losses.features import FeatureNetwork

__all__ = ["ContrastiveLoss", "FeatureNetwork"]
