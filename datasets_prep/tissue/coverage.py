"""How much of each patch a mask covers: the tissue share of the candidates."""

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray


def coverage(
    mask: NDArray[np.uint8], *, scale: tuple[float, float], xs: ArrayLike, ys: ArrayLike, size: float
) -> NDArray[np.float32]:
    """The share of each square of level 0 that a mask covers: [N] float32, 0 to 1; 0 only when it covers nothing.

    Areas are exact: each pixel of the mask is a rectangle of sx×sy level-0 px. Outside the mask nothing is covered.

    Args:
        mask: [H, W] uint8, 0 or 1.
        scale: (sx, sy), level-0 px per pixel of the mask.
        xs, ys: upper left corners of the N squares, level-0 px.
        size: side of the squares, level-0 px.
    """
    height, width = mask.shape
    columns, across = _intervals(np.asarray(xs, np.float64) / scale[0], size / scale[0], width)
    rows, down = _intervals(np.asarray(ys, np.float64) / scale[1], size / scale[1], height)
    # Whole counts are subtracted before they are weighted, so that an empty square gives exactly 0.
    sums = cv2.integral(mask)[rows[:, None], columns[None]]
    counts = np.diff(np.diff(sums, axis=0), axis=1)
    covered = np.einsum("rn,cn,rcn->n", down, across, counts)
    return np.minimum(covered * (scale[0] * scale[1] / size**2), 1).astype(np.float32)


def _intervals(start: NDArray[np.float64], length: float, end: int) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
    """Split N intervals into a first partial pixel, whole pixels, and a last partial pixel.

    Returns:
        [4, N] bounds of the three parts, and [3, N] weights of their pixels.
    """
    low, high = np.clip(start, 0, end), np.clip(start + length, 0, end)
    first, last = np.floor(low), np.floor(high)
    bounds = np.clip(np.stack([first, first + 1, last, last + 1]), 0, end).astype(np.intp)
    return bounds, np.stack([1 - (low - first), np.ones_like(low), high - last])
