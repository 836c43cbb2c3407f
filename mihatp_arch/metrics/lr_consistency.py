"""Whether a super-resolved image, reduced again, is the LR image that it was made from: what is not was invented."""

from typing import Literal

import cv2
import numpy as np
from basicsr.utils.registry import METRIC_REGISTRY
from numpy.typing import NDArray

from mihatp_arch.errors import UserError

Image = NDArray[np.uint8]


def lr_consistency(sr: Image, lq: Image) -> float:
    """Mean absolute difference between the reduced SR image and its LR image, in 8-bit grey levels: 0 is perfect.

    Needs no HR. The reduction is the exact mean of k×k pixels, rounded half up, as `lr: area` makes LR. LR made
    otherwise (`bicubic`, or by a scanner) differs from it for HR itself too; compare with that number then, not with 0
    (`bicubic` on real tissue: 0.8 at x2, 1.6 at x4, 2.5 at x8).

    Args:
        sr: (k·H)×(k·W)×C or (k·H)×(k·W) uint8, for any whole k >= 1.
        lq: H×W×C or H×W uint8, channels in the same order.

    Raises:
        UserError: an image is not uint8 or has no pixel, or SR is no whole multiple of LR.
    """
    for image in (sr, lq):
        _check_image(image)
    k = len(sr) // len(lq)
    if k == 0 or sr.shape != (k * lq.shape[0], k * lq.shape[1], *lq.shape[2:]):
        raise UserError(f"LR consistency: SR of shape {sr.shape} is no whole multiple of LR of shape {lq.shape}")
    return float(np.abs(_reduce(sr, k).astype(float) - lq).mean())


@METRIC_REGISTRY.register()
def calculate_lr_consistency(
    img: Image, img2: Image, crop_border: int, *, scale: Literal[2, 3, 4, 8], better: Literal["lower"]
) -> float:
    """`lr_consistency` between the SR image and the LR image that the area reduction makes from HR.

    BasicSR hands no LR to its metrics. For data with `lr: area` this is the LR that the network saw, to the bit; for
    other data it is only the same content at the same size.

    Args:
        img: SR, H×W×C uint8.
        img2: HR, H×W×C uint8.
        crop_border: pixels left out at each edge, a multiple of `scale`: LR pixels are not cut.
        scale: of the experiment.
        better: `lower`; BasicSR reads it from the options, and takes the highest value for the best without it.

    Returns:
        8-bit grey levels, 0 to 255.

    Raises:
        UserError: the images do not fit each other, nothing is left of them, or `scale` does not divide their sides.
    """
    img, img2 = compared(img, img2, crop_border)
    if scale < 1 or crop_border % scale or img.shape[0] % scale or img.shape[1] % scale:
        raise UserError(
            f"LR consistency: scale {scale} must divide crop_border ({crop_border}) and the sides "
            f"({img.shape[1]}x{img.shape[0]} after it)"
        )
    return lr_consistency(img, _reduce(img2, scale))


def compared(img: Image, img2: Image, crop_border: int) -> tuple[Image, Image]:
    """Two images of one shape without the `crop_border` pixels at each edge.

    Raises:
        UserError: they are not uint8, differ in shape, or nothing is left.
    """
    for image in (img, img2):
        _check_image(image)
    if img.shape != img2.shape:
        raise UserError(f"metrics: the images differ in shape: {img.shape} and {img2.shape}")
    height, width = img.shape[:2]
    if not 0 <= 2 * crop_border < min(height, width):
        raise UserError(f"metrics: crop_border {crop_border} does not fit an image of {width}x{height}")
    inner = slice(crop_border, height - crop_border), slice(crop_border, width - crop_border)
    return img[inner], img2[inner]


def _check_image(image: Image) -> None:
    # Images of 0 to 1 would give numbers that look good.
    if image.dtype != np.uint8 or image.ndim not in (2, 3) or image.size == 0:
        raise UserError(f"metrics: expected a uint8 image, HxWxC or HxW, got {image.dtype} of shape {image.shape}")


def _reduce(image: Image, k: int) -> Image:
    # In float64, since OpenCV rounds uint8 half up at k = 2 alone; it also drops an axis of one channel.
    height, width = image.shape[0] // k, image.shape[1] // k
    mean = cv2.resize(image.astype(np.float64), (width, height), interpolation=cv2.INTER_AREA)
    return np.floor(mean + 0.5).astype(np.uint8).reshape(height, width, *image.shape[2:])
