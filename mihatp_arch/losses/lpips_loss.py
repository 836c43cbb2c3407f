"""A perceptual loss for training: LPIPS or ST-LPIPS between the SR image and HR."""

from pathlib import Path

from basicsr.utils.registry import LOSS_REGISTRY
from torch import Tensor, nn

from mihatp_arch.errors import UserError
from mihatp_arch.losses.perceptual_distance import DistanceName, PerceptualDistance


@LOSS_REGISTRY.register()
class LPIPSLoss(nn.Module):
    """The mean perceptual distance of SR images to their HR images, for `train.perceptual_opt`.

    Args:
        loss_weight: factor of the distance. The first stages of LDM use 1 beside an L1 loss on [-1, 1].
        net: `alex` or `vgg`: LPIPS, which needs torchvision's ImageNet weights. `st-alex` or `st-vgg`: ST-LPIPS, whose
            weights are in the package stlpips-pytorch; it needs no download.
        weights: the file of the network's weights; None: where torchvision or the package has it.

    Raises:
        UserError: an option is unknown or out of its range, or the weights are missing or do not fit.
    """

    def __init__(self, *, loss_weight: float = 1.0, net: DistanceName = "vgg", weights: str | None = None) -> None:
        super().__init__()
        if loss_weight < 0:
            raise UserError(f"LPIPSLoss: loss_weight: {loss_weight} must not be negative")
        self.loss_weight = loss_weight
        self.distance = PerceptualDistance(net, Path(weights) if weights else None, subject="LPIPSLoss")

    def extra_repr(self) -> str:
        return f"loss_weight={self.loss_weight}"

    def forward(self, sr: Tensor, hr: Tensor) -> tuple[Tensor, None]:
        """The loss in fp32, also under autocast, and None for the style loss that BasicSR's models expect after it.

        Args:
            sr: RGB images `[B, 3, H, W]` around [0, 1].
            hr: RGB images `[B, 3, H, W]` in [0, 1].
        """
        return self.loss_weight * self.distance(sr, hr).mean(), None
