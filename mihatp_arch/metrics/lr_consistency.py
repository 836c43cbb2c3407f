"""LR consistency: whether a super-resolved image, reduced again, equals the LR image that it was made from."""

from typing import Literal

import numpy as np
from basicsr.utils.registry import METRIC_REGISTRY

from datasets_prep.common.downscale import area_reduce
from mihatp_arch.errors import UserError
from mihatp_arch.metrics.images import AnyImage, check_image, crop_pair
from mihatp_arch.metrics.rows import MetricRow

ROW = MetricRow(
    name="lr_consistency",
    function="calculate_lr_consistency",
    label="LR consistency",
    digits=3,
    unit="grey levels",
    better="lower",
    group="structure",
    needs_scale=True,
)


def lr_consistency(sr: AnyImage, lq: AnyImage) -> float:
    """Mean absolute difference between the reduced SR image and its LR image, in 8-bit grey levels: 0 is perfect.

    HR is not needed. The reduction is the exact mean of k×k pixels, rounded half up, as `lr: area` makes LR. Where LR
    was made in another way (`bicubic`, or by a scanner), even HR does not reach 0: compare with HR's own number then
    (`bicubic` on real tissue: 0.8 at x2, 1.6 at x4, 2.5 at x8).

    Args:
        sr: `[k·H, k·W, C]` or `[k·H, k·W]`, for any whole k >= 1.
        lq: `[H, W, C]` or `[H, W]`, channels in the same order.

    Raises:
        UserError: an image is not uint8 or has no pixel, or SR is no whole multiple of LR.
    """
    for image in (sr, lq):
        check_image(image)
    k = len(sr) // len(lq)
    if k == 0 or sr.shape != (k * lq.shape[0], k * lq.shape[1], *lq.shape[2:]):
        raise UserError(f"LR consistency: SR of shape {sr.shape} is no whole multiple of LR of shape {lq.shape}")
    return float(np.abs(area_reduce(sr, k).astype(float) - lq).mean())


@METRIC_REGISTRY.register()
def calculate_lr_consistency(
    img: AnyImage, img2: AnyImage, crop_border: int, *, scale: Literal[2, 3, 4, 8], better: Literal["lower"]
) -> float:
    """`lr_consistency` between the SR image and the LR image that area reduction makes of HR.

    BasicSR gives no LR image to its metrics. For data with `lr: area`, the reduced HR is exactly the LR image that the
    network saw. For other data it shows the same content at the same size, but is another image.

    Args:
        img: SR, `[H, W, C]`.
        img2: HR, `[H, W, C]`.
        crop_border: pixels left out at each edge. It is a multiple of `scale`, so that no LR pixel is divided.
        scale: the scale of the experiment.
        better: `lower`. BasicSR reads it from the options; without it BasicSR takes the highest value for the best.

    Returns:
        8-bit grey levels in [0, 255].

    Raises:
        UserError: the images do not fit each other, no pixel is left, or `scale` does not divide their sides.
    """
    img, img2 = crop_pair(img, img2, crop_border)
    if scale < 1 or crop_border % scale or img.shape[0] % scale or img.shape[1] % scale:
        raise UserError(
            f"LR consistency: scale {scale} must divide crop_border ({crop_border}) and the sides "
            f"({img.shape[1]}x{img.shape[0]} after it)"
        )
    return lr_consistency(img, area_reduce(img2, scale))
