"""Whether SR keeps the stains of an H&E image: optical densities after colour deconvolution, against those of HR.

Source: Ruifrok and Johnston, Quantification of histochemical staining by color deconvolution, 2001. The optical density
(OD) of a pixel is -log10(I / 255) in R, G and B. It is the sum over the stains of the stain's density times its colour;
scikit-image's `hed_from_rgb` solves this for hematoxylin, eosin and DAB. The unit is decimal OD: at OD 1 a tenth of the
light passes. scikit-image's `rgb2hed` gives values that are 6 times smaller, and 0 in place of negative ones.
"""

import math
from typing import Literal

import cv2
import numpy as np
from basicsr.utils.registry import METRIC_REGISTRY
from numpy.typing import NDArray

from mihatp_arch.metrics.images import BGRImage, check_color, crop_pair
from mihatp_arch.metrics.rows import MetricRow

HED_ERROR_ROW = MetricRow(
    name="hed_error",
    function="calculate_hed_error",
    label="HED error",
    digits=4,
    unit="OD",
    better="lower",
    group="structure",
)
HEMATOXYLIN_RATIO_ROW = MetricRow(
    name="hematoxylin_ratio",
    function="calculate_hematoxylin_ratio",
    label="hematoxylin p99 ratio",
    digits=3,
    better="nearer to 1",
    group="structure",
)

# Grey level 0 counts as 1: 8 bits cannot tell them apart, and the logarithm of 0 would dominate every mean.
_OD_OF_LEVEL = -np.log10(np.maximum(np.arange(256), 1) / 255)
# Below it there is no hematoxylin. The p99 of empty slide is 0 to 0.03, of 192×192 patches with nuclei 0.25 and more
# (measured on MoNuSeg).
_LEAST_HEMATOXYLIN = 0.05
# Pixels, the standard deviation of the blur before the percentile. Measured on the 33 tiles of MoNuSeg: Gaussian noise
# of 12 grey levels has the ratio 1.12 (up to 1.34) without a blur, 1.012 (up to 1.04) with this one. A wider blur hides
# more of the paling that the metric is for: bicubic at x8 has .80 without, .84 with this one, and .87 at 1.5 pixels.
_BLUR = 1.0


@METRIC_REGISTRY.register()
def calculate_hed_error(img: BGRImage, img2: BGRImage, crop_border: int, *, better: Literal["lower"]) -> float:
    """Mean absolute error of the optical densities of hematoxylin, eosin and DAB over all pixels: 0 is perfect.

    Densities may be negative, because the colours of H&E are not sums of these three alone. They are not set to 0, so
    that differences between them count. Images without tissue have an error like any other image.

    Args:
        img: SR, `[H, W, 3]`.
        img2: HR, `[H, W, 3]`.
        crop_border: pixels left out at each edge.
        better: `lower`. BasicSR reads it from the options; without it BasicSR takes the highest value for the best.

    Returns:
        Decimal OD; bicubic interpolation of real tissue has about 0.01 (x2) to 0.04 (x8).

    Raises:
        UserError: the images are not uint8 BGR of one shape, or no pixel is left.
    """
    sr, hr = (_optical_density(image) @ _hed_from_bgr() for image in crop_pair(img, img2, crop_border))
    return float(np.abs(sr - hr).mean())


@METRIC_REGISTRY.register()
def calculate_hematoxylin_ratio(
    img: BGRImage, img2: BGRImage, crop_border: int, *, better: Literal["higher"] = "higher"
) -> float:
    """99th percentile of the hematoxylin density of SR, over that of HR: how dark the darkest chromatin still is.

    1 is perfect. Below 1 SR is too light, above 1 too dark. Report this number, but do not select a network by it.

    Both images are blurred first (Gaussian, standard deviation 1 pixel, on the light that passes). A percentile of
    single pixels would take noise for dark chromatin, because the logarithm makes dark noise larger than bright noise.

    Args:
        img: SR, `[H, W, 3]`.
        img2: HR, `[H, W, 3]`.
        crop_border: pixels left out at each edge.
        better: BasicSR reads it from the options.

    Returns:
        The ratio, without a unit. It is nan where HR has no hematoxylin (a percentile below 0.05 decimal OD): the
        validation leaves such an image out of the mean and names it in the log.

    Raises:
        UserError: the images are not uint8 BGR of one shape, or no pixel is left.
    """
    sr, hr = (_dark_chromatin(image) for image in crop_pair(img, img2, crop_border))
    return sr / hr if hr >= _LEAST_HEMATOXYLIN else math.nan


def hematoxylin(image: BGRImage) -> NDArray[np.float64]:
    """The optical density of hematoxylin of each pixel, `[H, W]` decimal OD; it may be negative.

    Raises:
        UserError: the image is not uint8 BGR.
    """
    return _optical_density(image) @ _hed_from_bgr()[:, 0]


def _dark_chromatin(image: BGRImage) -> float:
    """The 99th percentile of the density of hematoxylin, after the blur."""
    check_color(image, metric="stain metrics")
    light = cv2.GaussianBlur(image.astype(np.float64), (0, 0), _BLUR)
    density = -np.log10(np.maximum(light, 1) / 255) @ _hed_from_bgr()[:, 0]
    return float(np.percentile(density, 99))


def _hed_from_bgr() -> NDArray[np.float64]:
    """`[3, 3]`: optical densities in B, G, R times this matrix are densities of hematoxylin, eosin and DAB."""
    from skimage.color import hed_from_rgb  # brings scipy

    return np.asarray(hed_from_rgb)[::-1]


def _optical_density(image: BGRImage) -> NDArray[np.float64]:
    check_color(image, metric="stain metrics")
    return _OD_OF_LEVEL[image]
