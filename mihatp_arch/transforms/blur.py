"""Blurs of the irreversible pool: per-sample kernels, applied to a batch in one grouped convolution."""

import math

import torch
from basicsr.utils.img_process_util import filter2D
from torch import Tensor
from torch.nn import functional as F


def uniform(count: int, low: float, high: float) -> Tensor:
    """`count` random numbers from U[low, high], on the CPU, by torch's global generator: `[count]`."""
    return torch.rand(count) * (high - low) + low


def filter_batch(x: Tensor, kernels: Tensor) -> Tensor:
    """Filter each image with its own kernel; the border is reflected.

    Args:
        x: `[B, C, H, W]`, of any size.
        kernels: `[B, k, k]`, k odd, on any device.

    Returns:
        `[B, C, H, W]`.
    """
    kernels = kernels.to(x)
    pad = kernels.shape[-1] // 2
    if pad < min(x.shape[-2:]):
        return filter2D(x, kernels)
    # Reflection needs more pixels than it adds. An image smaller than its kernel is first padded by repetition.
    x = F.pad(x, (pad, pad, pad, pad), mode="replicate")
    return filter2D(x, kernels)[..., pad:-pad, pad:-pad]


def gaussian_blur(x: Tensor, low: float, high: float) -> Tensor:
    """Anisotropic Gaussian blur of `[B, C, H, W]`: sigma U[low, high] pixels on both axes, any angle."""
    from basicsr.data.degradations import bivariate_Gaussian  # brings scipy.stats

    sigma_x, sigma_y = (uniform(x.shape[0], low, high) for _ in range(2))
    theta = uniform(x.shape[0], 0, math.pi)
    k = 2 * math.ceil(3 * torch.maximum(sigma_x, sigma_y).max().item()) + 1
    kernels = [
        torch.from_numpy(bivariate_Gaussian(k, *shape, isotropic=False))
        for shape in zip(sigma_x.tolist(), sigma_y.tolist(), theta.tolist(), strict=True)
    ]
    return filter_batch(x, torch.stack(kernels))


def defocus(x: Tensor, low: float, high: float) -> Tensor:
    """Blur of a lens out of focus: a disc with radius U[low, high] pixels and an antialiased rim."""
    radius = uniform(x.shape[0], low, high)
    reach = math.ceil(radius.max().item())
    axis = torch.arange(-reach, reach + 1).float()
    distance = torch.hypot(axis[:, None], axis[None, :])
    disc = (radius[:, None, None] + 0.5 - distance).clamp(0, 1)
    return filter_batch(x, disc / disc.sum(dim=(-2, -1), keepdim=True))


def motion_blur(x: Tensor, low: float, high: float) -> Tensor:
    """Blur of a moving stage: a line with length U[low, high] pixels, rounded to an odd number, at any angle."""
    from kornia.filters import get_motion_kernel2d

    lengths = 2 * (uniform(x.shape[0], low, high) / 2).floor().int() + 1
    angles = uniform(x.shape[0], 0, 180)
    reach = int(lengths.max()) // 2
    kernels = []
    for length, angle in zip(lengths.tolist(), angles, strict=True):
        kernel = get_motion_kernel2d(length, angle, mode="bilinear")[0]
        pad = reach - length // 2
        kernels.append(F.pad(kernel, (pad, pad, pad, pad)))
    return filter_batch(x, torch.stack(kernels))
