"""Whether the dyes of an H&E image are kept: optical densities after colour deconvolution, beside those of HR.

Source: Ruifrok and Johnston, Quantification of histochemical staining by color deconvolution, 2001. The optical density
(OD) of a pixel, -log10(I / 255) in R, G and B, is the sum of the dyes' densities times their colours; `hed_from_rgb` of
scikit-image solves for hematoxylin, eosin and DAB. The unit is decimal OD: 1 lets a tenth of the light through. The
same by scikit-image's `rgb2hed` is 6 times smaller, and 0 where it would be negative.
"""

import math
from typing import Literal

import numpy as np
from basicsr.utils.registry import METRIC_REGISTRY
from numpy.typing import NDArray

from mihatp_arch.errors import UserError
from mihatp_arch.metrics.lr_consistency import Image, compared

# Black counts as the darkest grey level above it: 8 bits cannot tell, and the logarithm of 0 would swamp a mean.
_OD = -np.log10(np.maximum(np.arange(256), 1) / 255)
# No hematoxylin: the p99 of empty slide is 0 to 0.03, that of 192×192 patches with nuclei 0.25 and more (MoNuSeg).
_FAINTEST = 0.05


@METRIC_REGISTRY.register()
def calculate_hed_error(img: Image, img2: Image, crop_border: int, *, better: Literal["lower"]) -> float:
    """Mean absolute error of the optical densities of hematoxylin, eosin and DAB over all pixels: 0 is perfect.

    Densities may be negative here, as H&E is not made of these three colours alone: set to 0, differences between them
    would not count. Images without tissue have an error like any other.

    Args:
        img: SR, H×W×3 uint8 BGR.
        img2: HR, H×W×3 uint8 BGR.
        crop_border: pixels left out at each edge.
        better: `lower`; BasicSR reads it from the options, and takes the highest value for the best without it.

    Returns:
        Decimal OD; bicubic interpolation of real tissue has about 0.01 (x2) to 0.04 (x8).

    Raises:
        UserError: the images are not uint8 BGR of one shape, or nothing is left of them.
    """
    sr, hr = (_optical_density(image) @ _hed_from_bgr() for image in compared(img, img2, crop_border))
    return float(np.abs(sr - hr).mean())


@METRIC_REGISTRY.register()
def calculate_hematoxylin_ratio(
    img: Image, img2: Image, crop_border: int, *, better: Literal["higher"] = "higher"
) -> float:
    """99th percentile of the hematoxylin density of SR over that of HR: how dark the darkest chromatin still is.

    1 is perfect, less is lost darkness, more is too dark: a number to report, not one to choose networks by.

    Args:
        img: SR, H×W×3 uint8 BGR.
        img2: HR, H×W×3 uint8 BGR.
        crop_border: pixels left out at each edge.
        better: BasicSR reads it from the options.

    Returns:
        The ratio, without a unit; nan where HR has no hematoxylin (its percentile is below 0.05 decimal OD), which the
        validation leaves out of the mean and names in the log.

    Raises:
        UserError: the images are not uint8 BGR of one shape, or nothing is left of them.
    """
    hematoxylin = _hed_from_bgr()[:, 0]
    sr, hr = (
        float(np.percentile(_optical_density(image) @ hematoxylin, 99)) for image in compared(img, img2, crop_border)
    )
    return sr / hr if hr >= _FAINTEST else math.nan


def _hed_from_bgr() -> NDArray[np.float64]:
    """[3, 3]: an optical density in B, G, R times this is one in hematoxylin, eosin, DAB."""
    from skimage.color import hed_from_rgb  # brings scipy

    return np.asarray(hed_from_rgb)[::-1]


def _optical_density(image: Image) -> NDArray[np.float64]:
    if image.shape[2:] != (3,):
        raise UserError(f"stain metrics: expected a BGR image, HxWx3, got one of shape {image.shape}")
    return _OD[image]
