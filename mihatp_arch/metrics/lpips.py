"""LPIPS (Zhang et al., CVPR 2018): the distance of SR and HR in the features of an AlexNet trained on ImageNet."""

from functools import cache
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from basicsr.utils.registry import METRIC_REGISTRY
from torch import Tensor, nn

from mihatp_arch.errors import UserError
from mihatp_arch.metrics.images import BGRImage, crop_pair
from mihatp_arch.metrics.rows import MetricRow

_SMALLEST_SIDE = 32  # AlexNet's two poolings leave at least one pixel of it


def alexnet_weights() -> Path:
    """The file in which torchvision keeps AlexNet's ImageNet weights. LPIPS can be computed if it exists."""
    return Path(torch.hub.get_dir()) / "checkpoints" / Path(_weights_url()).name


ROW = MetricRow(
    name="lpips",
    function="calculate_lpips",
    label="LPIPS",
    digits=4,
    better="lower",
    available=lambda: alexnet_weights().is_file(),
)


@METRIC_REGISTRY.register()
def calculate_lpips(img: BGRImage, img2: BGRImage, crop_border: int, *, better: Literal["lower"]) -> float:
    """LPIPS, version 0.1 with AlexNet: 0 for equal images.

    Args:
        img: SR, `[H, W, 3]` with H, W >= 32.
        img2: HR, `[H, W, 3]`.
        crop_border: pixels left out at each edge.
        better: `lower`. BasicSR reads it from the options; without it BasicSR takes the highest value for the best.

    Raises:
        UserError: the images do not fit together, or AlexNet's weights are missing.
    """
    img, img2 = crop_pair(img, img2, crop_border)
    if img.ndim != 3 or img.shape[-1] != 3 or min(img.shape[:2]) < _SMALLEST_SIDE:
        raise UserError(
            f"calculate_lpips: images of shape {img.shape} are not H×W×3, {_SMALLEST_SIDE} or more each way"
        )
    with torch.inference_mode():
        return float(_network(alexnet_weights())(_rgb_tensor(img), _rgb_tensor(img2)))


def _weights_url() -> str:
    from torchvision.models.alexnet import AlexNet_Weights  # torchvision takes a second to import

    return AlexNet_Weights.IMAGENET1K_V1.url


@cache
def _network(weights: Path) -> nn.Module:
    if not weights.is_file():
        raise UserError(
            f"calculate_lpips: the ImageNet weights of AlexNet are missing: download {_weights_url()} to {weights}"
        )
    from lpips import LPIPS  # the package contains LPIPS's own weights, version 0.1

    return LPIPS(net="alex", verbose=False).eval()


def _rgb_tensor(image: BGRImage) -> Tensor:
    """`[H, W, 3]` BGR in [0, 255] -> `[1, 3, H, W]` RGB in [-1, 1]."""
    rgb = np.ascontiguousarray(image[..., ::-1].transpose(2, 0, 1))
    return torch.from_numpy(rgb)[None].float() / 127.5 - 1
