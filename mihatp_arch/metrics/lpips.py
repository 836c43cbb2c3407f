"""LPIPS (Zhang et al., CVPR 2018): the distance of SR and HR in the features of an AlexNet trained on ImageNet."""

from functools import cache
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from basicsr.utils.registry import METRIC_REGISTRY
from torch import Tensor, nn

from mihatp_arch.errors import UserError
from mihatp_arch.metrics.lr_consistency import Image, compared

_LEAST = 32  # what AlexNet's two poolings leave a pixel of


def backbone() -> Path:
    """Where torchvision looks for AlexNet's ImageNet weights; LPIPS can be measured if the file is there."""
    return Path(torch.hub.get_dir()) / "checkpoints" / Path(_weights_url()).name


def _weights_url() -> str:
    from torchvision.models.alexnet import AlexNet_Weights  # takes a second

    return AlexNet_Weights.IMAGENET1K_V1.url


@cache
def _network(weights: Path) -> nn.Module:
    if not weights.is_file():
        raise UserError(
            f"calculate_lpips: the ImageNet weights of AlexNet are missing: download "
            f"{_weights_url()} to {weights}"
        )
    from lpips import LPIPS  # its own weights, version 0.1, come with it

    return LPIPS(net="alex", verbose=False).eval()


@METRIC_REGISTRY.register()
def calculate_lpips(img: Image, img2: Image, crop_border: int, *, better: Literal["lower"]) -> float:
    """LPIPS, version 0.1 with AlexNet: 0 for equal images.

    Args:
        img: SR, H×W×3 uint8 BGR, 32×32 or more.
        img2: HR, H×W×3 uint8 BGR.
        crop_border: pixels left out at each edge.
        better: `lower`; BasicSR reads it from the options, and takes the highest value for the best without it.

    Raises:
        UserError: images that do not fit together, or no weights of AlexNet.
    """
    img, img2 = compared(img, img2, crop_border)
    if img.ndim != 3 or img.shape[-1] != 3 or min(img.shape[:2]) < _LEAST:
        raise UserError(f"calculate_lpips: images of shape {img.shape} are not H×W×3, {_LEAST} or more each way")
    with torch.inference_mode():
        return float(_network(backbone())(_tensor(img), _tensor(img2)))


def _tensor(image: Image) -> Tensor:
    """BGR of 0 to 255 as 1x3xHxW RGB of -1 to 1."""
    rgb = np.ascontiguousarray(image[..., ::-1].transpose(2, 0, 1))
    return torch.from_numpy(rgb)[None].float() / 127.5 - 1
