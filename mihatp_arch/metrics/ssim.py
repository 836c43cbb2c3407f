"""The structural similarity (Wang et al., 2004): a faster form of the function inside BasicSR's `calculate_ssim`."""

from typing import Any

import cv2
import numpy as np

from mihatp_arch.metrics.rows import MetricRow

ROW = MetricRow(
    name="ssim",
    function="calculate_ssim",
    label="SSIM",
    digits=4,
    extra_options={"test_y_channel": False},
)

_C1, _C2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
_WINDOW, _SIGMA = 11, 1.5


def ssim_of_channel(img: np.ndarray[Any, Any], img2: np.ndarray[Any, Any]) -> float:
    """Mean SSIM of two images `[H, W]`, float64 in [0, 255], over all pixels whose whole window lies in the image.

    basicsr 1.4.2 filters with an 11×11 window. That window is the product of two windows of length 11, which take
    2/11 of the multiplications. An image smaller than the window gives nan.
    """
    kernel = cv2.getGaussianKernel(_WINDOW, _SIGMA)
    inside = slice(_WINDOW // 2, -(_WINDOW // 2))

    def blurred(image: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        return cv2.sepFilter2D(image, -1, kernel, kernel)[inside, inside]

    mu1, mu2 = blurred(img), blurred(img2)
    mu11, mu22, mu12 = mu1 * mu1, mu2 * mu2, mu1 * mu2
    sigma11, sigma22, sigma12 = blurred(img * img) - mu11, blurred(img2 * img2) - mu22, blurred(img * img2) - mu12
    similarity = (2 * mu12 + _C1) * (2 * sigma12 + _C2) / ((mu11 + mu22 + _C1) * (sigma11 + sigma22 + _C2))
    return float(similarity.mean())
