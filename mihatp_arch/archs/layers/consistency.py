"""The consistency projection: the image nearest to a super-resolved one whose reduction is exactly LR."""

import torch
import torch.nn.functional as F
from torch import Tensor


def project(x: Tensor, lr: Tensor) -> Tensor:
    """Π(x) = x + nearest_k(LR - mean_k(x)), the orthogonal projection of x onto {x : mean_k(x) = LR}.

    mean_k is the mean of each k×k block, and nearest_k repeats each pixel k×k times. Where LR = mean_k(HR), HR lies in
    this affine space, so Π(x) is never farther from HR than x: ‖Π(x) - HR‖² = ‖x - HR‖² - k² ‖LR - mean_k(x)‖².

    Where LR = mean_k(HR) + e (LR of 8 bits has |e| <= 1/510 from its rounding), Π can raise the mean squared error by
    the mean of e² at most. Π comes before the image is clamped to [0, 1] and rounded. Clamping brings x nearer to HR
    too, but the mean of a block that was clamped is no longer LR.

    Args:
        x: `[B, C, k·H, k·W]`, for any whole k >= 1; not clamped.
        lr: `[B, C, H, W]`.

    Returns:
        `[B, C, k·H, k·W]`, in fp32 also under autocast, or in fp64 where x is. Its block means equal LR up to the
        rounding of this type. The gradient with respect to x is projected onto {d : mean_k(d) = 0}.

    Raises:
        ValueError: x is no whole multiple of LR.
    """
    k = x.shape[-1] // lr.shape[-1]
    if x.shape != (*lr.shape[:2], k * lr.shape[-2], k * lr.shape[-1]):
        raise ValueError(f"consistency: {list(x.shape)} is no whole multiple of LR, which is {list(lr.shape)}")
    with torch.autocast(x.device.type, enabled=False):
        x = x if x.dtype == torch.float64 else x.float()
        missing = lr.to(x.dtype) - F.avg_pool2d(x, k)
        return x + F.interpolate(missing, scale_factor=k, mode="nearest")
