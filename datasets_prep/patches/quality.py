"""The quality filter: a patch must be stained, not black, and in focus."""

from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from datasets_prep.patches.options import QualityFilter

BLACK = 50  # CLAM's black_thresh: a patch is black when the mean of each channel lies below it


def find_flaw(rgb: NDArray[np.uint8], quality: QualityFilter) -> Literal["pale", "black", "blurred"] | None:
    """Why the quality filter rejects a patch, [H, W, 3] uint8 RGB; None when it accepts the patch."""
    if quality.min_saturation and saturation(rgb) < quality.min_saturation:
        return "pale"
    if max(cv2.mean(rgb)[:3]) < BLACK:
        return "black"
    if quality.min_sharpness and sharpness(rgb) < quality.min_sharpness:
        return "blurred"
    return None


def saturation(rgb: NDArray[np.uint8]) -> float:
    """Mean HSV saturation of a patch, [H, W, 3] uint8 RGB; 0 to 1, low on glass and high on stained tissue."""
    return cv2.mean(cv2.cvtColor(rgb, cv2.COLOR_RGB2HSV))[1] / 255


def sharpness(rgb: NDArray[np.uint8]) -> float:
    """Variance of the Laplacian of the grey values of a patch, [H, W, 3] uint8 RGB."""
    edges = cv2.Laplacian(cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY), cv2.CV_32F)
    _, deviation = cv2.meanStdDev(edges)
    return float(deviation[0, 0]) ** 2
