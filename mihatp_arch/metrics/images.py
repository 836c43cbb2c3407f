"""The image types of all metrics, and the checks that an image passes before a metric measures it."""

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from mihatp_arch.errors import UserError

BGRImage: TypeAlias = NDArray[np.uint8]  # [H, W, 3], blue first: OpenCV's order, in which BasicSR calls a metric
RGBImage: TypeAlias = NDArray[np.uint8]  # [H, W, 3], red first: the order of slides and of Pillow
AnyImage: TypeAlias = NDArray[np.uint8]  # [H, W] or [H, W, C], in any colour order


def check_image(image: AnyImage) -> None:
    """Refuse an array that is not an 8-bit image; an image in [0, 1] would give numbers that look good.

    Raises:
        UserError: the array is not uint8, has not 2 or 3 axes, or has no pixel.
    """
    if image.dtype != np.uint8 or image.ndim not in (2, 3) or image.size == 0:
        raise UserError(
            f"metrics: expected a uint8 image, [H, W, C] or [H, W], got {image.dtype} of shape {image.shape}"
        )


def check_color(image: AnyImage, *, metric: str) -> None:
    """Refuse an image that is not `[H, W, 3]`. Raises a UserError that names the `metric`."""
    if image.shape[2:] != (3,):
        raise UserError(f"{metric}: expected a BGR image, [H, W, 3], got one of shape {image.shape}")


def crop_pair(sr: AnyImage, hr: AnyImage, crop_border: int) -> tuple[AnyImage, AnyImage]:
    """Check an SR image and its HR image, and crop `crop_border` pixels from each edge of both.

    Raises:
        UserError: an image is not uint8, the two shapes differ, or no pixel is left.
    """
    for image in (sr, hr):
        check_image(image)
    if sr.shape != hr.shape:
        raise UserError(f"metrics: the images differ in shape: {sr.shape} and {hr.shape}")
    height, width = sr.shape[:2]
    if not 0 <= 2 * crop_border < min(height, width):
        raise UserError(f"metrics: crop_border {crop_border} does not fit an image of {width}x{height}")
    inner = slice(crop_border, height - crop_border), slice(crop_border, width - crop_border)
    return sr[inner], hr[inner]
