"""Pads channels to multiples of eight, for the 16-bit matrix units of a GPU. HAT has 180 and 60 channels.

With other numbers of channels, cuBLAS takes kernels of half the speed, and cuDNN copies each map to a padded one and
back. In compiled code the padding costs nothing, because torch.compile writes the zeros together with the operation
before. Without torch.compile each padding starts a kernel of its own, so that only compiled code pads. The results are
the same numbers.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

_CHANNELS = 8  # 16 bytes


def half_precision(x: Tensor) -> torch.dtype | None:
    """The 16-bit type in which a compiled layer computes x on a GPU; None for other layers."""
    if not (x.is_cuda and torch.compiler.is_compiling()):
        return None
    dtype = torch.get_autocast_dtype("cuda") if torch.is_autocast_enabled("cuda") else x.dtype
    return dtype if dtype in (torch.bfloat16, torch.float16) else None


def linear(x: Tensor, weight: Tensor, bias: Tensor | None, dtype: torch.dtype) -> Tensor:
    """F.linear in `dtype`."""
    out, inner = weight.shape
    weight = F.pad(weight.to(dtype), (0, -inner % _CHANNELS, 0, -out % _CHANNELS))
    x = F.pad(x.to(dtype), (0, -inner % _CHANNELS))
    return F.linear(x, weight, _padded(bias, out, dtype))[..., :out]


def conv2d(layer: nn.Conv2d, x: Tensor, dtype: torch.dtype) -> Tensor:
    """layer(x) in `dtype`, for a layer without groups."""
    out, inner = layer.weight.shape[:2]
    weight = F.pad(layer.weight.to(dtype), (0, 0, 0, 0, 0, -inner % _CHANNELS, 0, -out % _CHANNELS))
    pixels = F.pad(x.to(dtype).permute(0, 2, 3, 1), (0, -inner % _CHANNELS))  # channels last, as x is in memory
    bias = _padded(layer.bias, out, dtype)
    return F.conv2d(pixels.permute(0, 3, 1, 2), weight, bias, layer.stride, layer.padding)[:, :out]


def _padded(bias: Tensor | None, out: int, dtype: torch.dtype) -> Tensor | None:
    return None if bias is None else F.pad(bias.to(dtype), (0, -out % _CHANNELS))
