"""Channels in multiples of eight, which the 16-bit matrix units of a GPU want: HAT's 180 and 60 are none.

With others, cuBLAS takes kernels of half the rate, and cuDNN copies every map to a padded one and back. The zeros that
are added here cost nothing where torch.compile writes them with the operation before, and are only added there, since
without it they are more kernels to start. Results are the same numbers.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

_CHANNELS = 8  # 16 bytes


def half_precision(x: Tensor) -> torch.dtype | None:
    """The 16-bit type that a compiled layer computes x in on a GPU; None for others."""
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
    pixels = F.pad(x.to(dtype).permute(0, 2, 3, 1), (0, -inner % _CHANNELS))  # channels lie innermost, as they did
    bias = _padded(layer.bias, out, dtype)
    return F.conv2d(pixels.permute(0, 3, 1, 2), weight, bias, layer.stride, layer.padding)[:, :out]


def _padded(bias: Tensor | None, out: int, dtype: torch.dtype) -> Tensor | None:
    return None if bias is None else F.pad(bias.to(dtype), (0, -out % _CHANNELS))
