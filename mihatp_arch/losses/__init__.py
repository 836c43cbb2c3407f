"""The contrastive loss of the paper. Importing this package registers it with BasicSR."""

from mihatp_arch.losses.contrastive_loss import ContrastiveLoss
from mihatp_arch.losses.features import FeatureNetwork

__all__ = ["ContrastiveLoss", "FeatureNetwork"]
