"""The grid, and how LR is made."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from datasets_prep.common.errors import UserError


def check_sizes(*, patch_size: int, scales: Sequence[int]) -> None:
    """Raise `UserError` unless the scales are different, each 2 or more, and each divides the patch size."""
    if not scales or len(set(scales)) != len(scales) or any(scale < 2 for scale in scales):
        raise UserError(f"scales {list(scales)}: give different whole numbers of 2 or more, such as 2 4 8")
    if patch_size < 1 or any(patch_size % scale for scale in scales):
        raise UserError(f"patch size {patch_size} is not a multiple of every scale in {list(scales)}: 192 is one")


def grid(width: int, height: int, *, patch_size: int) -> NDArray[np.int32]:
    """x, y of every whole patch of the one global grid, anchored at (0, 0), row by row: N×2, level-0 px.

    The corners are multiples of the patch size, so that LR pixels of every scale that divides it begin where they do.
    """
    xs = np.arange(width // patch_size, dtype=np.int32) * patch_size
    ys = np.arange(height // patch_size, dtype=np.int32) * patch_size
    return np.stack(np.meshgrid(xs, ys), axis=-1).reshape(-1, 2)


def area_reduce(hr: NDArray[np.uint8], k: int) -> NDArray[np.uint8]:
    """The exact k×k mean of H×W×C uint8 RGB, rounded half up: H/k×W/k×C uint8.

    The mean is of the stored sRGB codes, as super-resolution work takes it; LR pixel (i, j) covers exactly the HR
    pixels (k·i … k·i+k-1, k·j … k·j+k-1), so there is no shift. Raises `UserError` where k does not divide H and W.
    """
    height, width, _ = hr.shape
    if height % k or width % k:
        raise UserError(f"an image of {width}x{height} pixels cannot be reduced {k} times without a rest")
    # Adding strided slices is ten times as fast as summing a reshaped block over two axes.
    rows = sum((hr[i::k] for i in range(1, k)), start=hr[::k].astype(np.uint32))
    total = sum((rows[:, i::k] for i in range(1, k)), start=rows[:, ::k])
    return ((total + k * k // 2) // (k * k)).astype(np.uint8)
