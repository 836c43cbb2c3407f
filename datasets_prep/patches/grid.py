"""The grid of candidate patches."""

import math
from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from datasets_prep.common.errors import UserError

Coordinates: TypeAlias = NDArray[np.int32]  # [N, 2]: (x, y) of the upper left corners of patches, level-0 px


def check_sizes(*, patch_size: int, scales: Sequence[int]) -> None:
    """Raise `UserError` unless the scales are different, each at least 2, and each divides the patch size."""
    if not scales or len(set(scales)) != len(scales) or any(scale < 2 for scale in scales):
        raise UserError(f"scales {list(scales)}: give different whole numbers of 2 or more, such as 2 4 8")
    if patch_size < 1 or any(patch_size % scale for scale in scales):
        step = math.lcm(*scales)
        multiple = step * max(1, round(patch_size / step))
        raise UserError(
            f"patch size {patch_size} is not a multiple of every scale in {list(scales)}: {multiple} is one"
        )


def grid(width: int, height: int, *, patch_size: int) -> Coordinates:
    """Coordinates of every whole patch of a slide, [N, 2] in level-0 px, row by row.

    The grid begins at (0, 0) and its step is the patch size. All coordinates are therefore multiples of every scale
    that divides the patch size, and a patch begins at a whole LR pixel.
    """
    xs = np.arange(width // patch_size, dtype=np.int32) * patch_size
    ys = np.arange(height // patch_size, dtype=np.int32) * patch_size
    return np.stack(np.meshgrid(xs, ys), axis=-1).reshape(-1, 2)
