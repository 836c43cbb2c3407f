"""torchvision's AlexNet up to its fifth ReLU, whose five ReLUs the perceptual distances compare."""

import torch
from torch import Tensor, nn

from mihatp_arch.losses.blur_pool import BlurPool, blurred_max_pool

_RELUS = (1, 4, 7, 9, 11)


class AlexNet(nn.Module):
    """AlexNet's convolutions; it outputs their five ReLUs. Parameters are uninitialised until a state dict is loaded.

    Parameters have the names of torchvision's full network (features.0.weight ...).

    Args:
        shift_tolerant: the AlexNet of ST-LPIPS: its first convolution has stride 1 in place of 4 and is blurred and
            subsampled before its ReLU, and its poolings are `blurred_max_pool`.
    """

    def __init__(self, *, shift_tolerant: bool) -> None:
        super().__init__()
        with torch.device("meta"):
            self.features = nn.Sequential(
                nn.Conv2d(3, 64, 11, stride=1 if shift_tolerant else 4, padding=2),
                nn.Sequential(BlurPool(), nn.ReLU()) if shift_tolerant else nn.ReLU(),
                blurred_max_pool(3) if shift_tolerant else nn.MaxPool2d(3, stride=2),
                nn.Conv2d(64, 192, 5, padding=2),
                nn.ReLU(),
                blurred_max_pool(3) if shift_tolerant else nn.MaxPool2d(3, stride=2),
                nn.Conv2d(192, 384, 3, padding=1),
                nn.ReLU(),
                nn.Conv2d(384, 256, 3, padding=1),
                nn.ReLU(),
                nn.Conv2d(256, 256, 3, padding=1),
                nn.ReLU(),
            )
        self.to_empty(device="cpu")
        self.least = 21 if shift_tolerant else 31

    def forward(self, x: Tensor) -> list[Tensor]:
        """Normalised images `[B, 3, H, W]`, H and W >= `least` -> five `[B, C_l, H_l, W_l]`."""
        outputs = []
        for index, module in enumerate(self.features):
            x = module(x)
            if index in _RELUS:
                outputs.append(x)
        return outputs
