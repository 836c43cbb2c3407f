"""LR made from HR, by the mean of each k×k pixels or as super-resolution work does, by MATLAB's bicubic."""

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from datasets_prep.common.errors import UserError
from datasets_prep.patches.grid import area_reduce

KERNELS = ("area", "bicubic")


def reduce_patch(hr: NDArray[np.uint8], k: int, *, kernel: str) -> NDArray[np.uint8]:
    """H×W×3 uint8 RGB reduced `k` times, on the stored sRGB codes and without a shift: H/k×W/k×3 uint8.

    `area` is the exact mean (`area_reduce`). `bicubic` is MATLAB's antialiased imresize as BasicSR has it, borders
    mirrored, rounded to nearest; where k does not divide a side it rounds the new one up. Both are exact arithmetic,
    thus the same bytes on every machine.

    Raises `UserError` for another kernel, or where `area` would leave a rest.
    """
    if kernel == "area":
        return area_reduce(hr, k)
    if kernel == "bicubic":
        return _bicubic_reduce(hr, k)
    raise UserError(f"LR kernel {kernel!r}: choose from {', '.join(KERNELS)}")


def _bicubic_reduce(hr: NDArray[np.uint8], k: int) -> NDArray[np.uint8]:
    rows = _reduce_rows(hr.astype(np.float64), k)
    total = _reduce_rows(rows.swapaxes(0, 1), k).swapaxes(0, 1)
    return np.clip(np.rint(total / (16 * k**4) ** 2), 0, 255).astype(np.uint8, order="C")


def _reduce_rows(image: NDArray[np.float64], k: int) -> NDArray[np.float64]:
    """16·k⁴ times H×W×C, reduced along H: ⌈H/k⌉×W×C."""
    first, weights = _bicubic_weights(k)
    height = len(image)
    end = -(-height // k) * k
    after = end - k + first + len(weights) - height
    padded = np.pad(image, ((-first, after), (0, 0), (0, 0)), mode="symmetric")
    # A few strided slices are less work than a matrix that is nearly all zeros, and leave the other cores alone.
    reduced = np.zeros((end // k, *image.shape[1:]))
    for i, weight in enumerate(weights):
        reduced += weight * padded[i : i + end : k]
    return reduced


@lru_cache(maxsize=8)
def _bicubic_weights(k: int) -> tuple[int, tuple[float, ...]]:
    """Where the pixels that a reduced one sees begin, from the first one that it covers, and their weights.

    Keys' cubic (a = -0.5), k times as wide, of the distance j/2 px between centres. 16·k³ times it is a whole number,
    and the sum 16·k⁴, so that all sums in float64 are exact (up to k = 24).
    """
    taps = np.arange(-2 * k, 3 * k)
    j = np.abs(2 * taps + 1 - k)
    near = 3 * j**3 - 10 * k * j**2 + 16 * k**3
    far = -(j**3) + 10 * k * j**2 - 32 * k**2 * j + 32 * k**3
    weights = np.where(j <= 2 * k, near, far)[j < 4 * k]
    return int(taps[j < 4 * k][0]), tuple(weights.astype(float).tolist())
