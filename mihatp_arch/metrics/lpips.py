"""Perceptual distances of SR and HR: LPIPS (Zhang et al., CVPR 2018) and ST-LPIPS (Ghildyal and Liu, ECCV 2022).

Both compare the features of an AlexNet that was trained on photographs. LPIPS needs torchvision's AlexNet, which is
downloaded from the internet. ST-LPIPS has its weights in the package stlpips-pytorch, so it can be computed behind a
firewall too. The two have different scales: compare a number only with numbers of the same metric.
"""

from functools import cache
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from basicsr.utils.registry import METRIC_REGISTRY
from torch import Tensor

from mihatp_arch.errors import UserError
from mihatp_arch.losses import stlpips
from mihatp_arch.losses.perceptual_distance import DistanceName, PerceptualDistance
from mihatp_arch.losses.weight_files import torch_hub_file
from mihatp_arch.metrics.images import BGRImage, crop_pair
from mihatp_arch.metrics.rows import MetricRow

_SMALLEST_SIDE = 32  # AlexNet's two poolings leave at least one pixel of it


def alexnet_weights() -> Path:
    """The file in which torchvision keeps AlexNet's ImageNet weights. LPIPS can be computed if it exists."""
    return torch_hub_file("alexnet")[0]


LPIPS_ROW = MetricRow(
    name="lpips",
    function="calculate_lpips",
    label="LPIPS",
    digits=4,
    better="lower",
    available=lambda: alexnet_weights().is_file(),
)
ST_LPIPS_ROW = MetricRow(
    name="st_lpips",
    function="calculate_st_lpips",
    label="ST-LPIPS",
    digits=4,
    better="lower",
    available=lambda: stlpips.has_weights("alexnet"),
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
    weights, url = torch_hub_file("alexnet")
    if not weights.is_file():
        raise UserError(f"calculate_lpips: the ImageNet weights of AlexNet are missing: download {url} to {weights}")
    return _measured("calculate_lpips", "alex", weights, *crop_pair(img, img2, crop_border))


@METRIC_REGISTRY.register()
def calculate_st_lpips(img: BGRImage, img2: BGRImage, crop_border: int, *, better: Literal["lower"]) -> float:
    """ST-LPIPS with AlexNet, which a shift of a pixel changes less than LPIPS: 0 for equal images.

    Args:
        img: SR, `[H, W, 3]` with H, W >= 32.
        img2: HR, `[H, W, 3]`.
        crop_border: pixels left out at each edge.
        better: `lower`. BasicSR reads it from the options; without it BasicSR takes the highest value for the best.

    Raises:
        UserError: the images do not fit together, or the package stlpips-pytorch is missing.
    """
    weights = stlpips.weights_file("alexnet", subject="calculate_st_lpips")
    return _measured("calculate_st_lpips", "st-alex", weights, *crop_pair(img, img2, crop_border))


def _measured(metric: str, net: DistanceName, weights: Path, sr: BGRImage, hr: BGRImage) -> float:
    if sr.ndim != 3 or sr.shape[-1] != 3 or min(sr.shape[:2]) < _SMALLEST_SIDE:
        raise UserError(f"{metric}: images of shape {sr.shape} are not H×W×3, {_SMALLEST_SIDE} or more each way")
    with torch.inference_mode():
        return float(_network(net, weights, metric)(_rgb_tensor(sr), _rgb_tensor(hr)))


@cache
def _network(net: DistanceName, weights: Path, metric: str) -> PerceptualDistance:
    return PerceptualDistance(net, weights, subject=metric)


def _rgb_tensor(image: BGRImage) -> Tensor:
    """`[H, W, 3]` BGR in [0, 255] -> `[1, 3, H, W]` RGB in [0, 1]."""
    rgb = np.ascontiguousarray(image[..., ::-1].transpose(2, 0, 1))
    return torch.from_numpy(rgb)[None].float() / 255
