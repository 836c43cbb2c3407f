"""Whether the pixels of a patch are worth keeping: stained, not black, in focus."""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from datasets_prep.common.errors import UserError

BLACK = 50  # CLAM's black_thresh: a patch whose channel means all lie below it is no tissue


@dataclass(frozen=True)
class Quality:
    """What a patch must reach.

    Attributes:
        min_saturation: mean HSV saturation, 0 to 1; glass and lumen stay under 0.05, the palest tissue over it.
        min_sharpness: variance of the Laplacian of the grey values (0 to 255). On 192×192 patches of tissue in focus it
            was 25 or more (33 TCGA tiles, one frozen section); a blur of sigma 3 px (0.75 µm) took it below 8 in the
            median. 0 keeps everything.
    """

    min_saturation: float = 0.05
    min_sharpness: float = 15.0

    def __post_init__(self) -> None:
        if not 0 <= self.min_saturation < 1:
            raise UserError(f"minimal saturation {self.min_saturation}: give a share from 0 (keeps all) to below 1")
        if not 0 <= self.min_sharpness < float("inf"):
            raise UserError(f"minimal sharpness {self.min_sharpness}: give a number of 0 (keeps all) or more")

    def flaw(self, rgb: NDArray[np.uint8]) -> str | None:
        """`pale`, `black` or `blurred` where an H×W×3 uint8 RGB patch is not worth keeping, else None."""
        if self.min_saturation and saturation(rgb) < self.min_saturation:
            return "pale"
        if max(cv2.mean(rgb)[:3]) < BLACK:
            return "black"
        if self.min_sharpness and sharpness(rgb) < self.min_sharpness:
            return "blurred"
        return None


def saturation(rgb: NDArray[np.uint8]) -> float:
    """The mean HSV saturation (0 to 1) of an H×W×3 uint8 RGB patch: low on glass, high on stained tissue."""
    return cv2.mean(cv2.cvtColor(rgb, cv2.COLOR_RGB2HSV))[1] / 255


def sharpness(rgb: NDArray[np.uint8]) -> float:
    """The variance of the Laplacian of an H×W×3 uint8 RGB patch's grey values."""
    edges = cv2.Laplacian(cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY), cv2.CV_32F)
    _, deviation = cv2.meanStdDev(edges)
    return float(deviation[0, 0]) ** 2
