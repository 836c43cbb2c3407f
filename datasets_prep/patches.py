"""The grid, what is kept, and how LR is made."""

from collections.abc import Iterator, Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from datasets_prep.errors import DataError

MIN_SATURATION = 0.05  # of 1; glass and lumen stay under it, the palest tissue over it


def check_sizes(*, patch_size: int, scales: Sequence[int]) -> None:
    """Raise `DataError` unless the scales are different, each 2 or more, and each divides the patch size."""
    if not scales or len(set(scales)) != len(scales) or any(scale < 2 for scale in scales):
        raise DataError(f"scales {list(scales)}: give different whole numbers of 2 or more, such as 2 4 8")
    if patch_size < 1 or any(patch_size % scale for scale in scales):
        raise DataError(f"patch size {patch_size} is not a multiple of every scale in {list(scales)}: 192 is one")


def grid(height: int, width: int, *, patch_size: int) -> Iterator[tuple[int, int]]:
    """(x, y) of every whole patch of the non-overlapping grid anchored at (0, 0), row by row, in pixels."""
    for y in range(0, height - patch_size + 1, patch_size):
        for x in range(0, width - patch_size + 1, patch_size):
            yield x, y


def area_reduce(hr: NDArray[np.uint8], k: int) -> NDArray[np.uint8]:
    """The exact k×k mean of H×W×C uint8 RGB, rounded half up: H/k×W/k×C uint8.

    The mean is of the stored sRGB codes, as super-resolution work takes it; LR pixel (i, j) covers exactly the HR
    pixels (k·i … k·i+k-1, k·j … k·j+k-1), so there is no shift. Raises `DataError` where k does not divide H and W.
    """
    height, width, _ = hr.shape
    if height % k or width % k:
        raise DataError(f"an image of {width}x{height} pixels cannot be reduced {k} times without a rest")
    # Adding strided slices is ten times as fast as summing a reshaped block over two axes.
    rows = sum((hr[i::k] for i in range(1, k)), start=hr[::k].astype(np.uint32))
    total = sum((rows[:, i::k] for i in range(1, k)), start=rows[:, ::k])
    return ((total + k * k // 2) // (k * k)).astype(np.uint8)


def saturation(rgb: NDArray[np.uint8]) -> float:
    """The mean HSV saturation (0 to 1) of an H×W×3 uint8 RGB patch: low on glass, high on stained tissue."""
    return float(cv2.cvtColor(rgb, cv2.COLOR_RGB2HSV)[..., 1].mean()) / 255
