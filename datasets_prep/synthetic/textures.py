"""Random fields for synthetic tissue: smooth noise, fibre bundles, and borders between cells."""

from typing import TypeAlias

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.spatial import KDTree

Array: TypeAlias = NDArray[np.float32]

_CUBIC_STD = 0.68  # standard deviation of unit white noise after cubic interpolation
_WAVE = 256  # px, side of the periodic noise that gives the fibres


def smooth_noise(height: int, width: int, scale: float, rng: np.random.Generator) -> Array:
    """Noise with blobs of about `scale` px, [H, W] float32, mean about 0 and variance about 1."""
    rows, cols = int(height / scale) + 3, int(width / scale) + 3
    coarse = rng.standard_normal((rows, cols), dtype=np.float32)
    size = (round(cols * scale), round(rows * scale))
    fine = cv2.resize(coarse, size, interpolation=cv2.INTER_CUBIC)
    start = int(scale)
    return np.divide(fine[start : start + height, start : start + width], _CUBIC_STD, dtype=np.float32)


def direction(field: Array) -> Array:
    """Direction of the steepest ascent of a smooth field, [H, W], radians."""
    soft = cv2.GaussianBlur(field, (0, 0), 3)
    return np.arctan2(cv2.Sobel(soft, cv2.CV_32F, 0, 1), cv2.Sobel(soft, cv2.CV_32F, 1, 0))


def fibres(height: int, width: int, rng: np.random.Generator, *, follow: Array) -> tuple[Array, Array]:
    """Wavy fibre bundles that bend around the level lines of `follow` ([H, W], px).

    Returns:
        Their density, [H, W], mean 0 and variance about 1; and their direction, [H, W], radians.
    """
    ys, xs = np.mgrid[:height, :width].astype(np.float32)
    angle = rng.uniform(0, np.pi)
    along = xs * np.float32(np.cos(angle)) + ys * np.float32(np.sin(angle))
    across = ys * np.float32(np.cos(angle)) - xs * np.float32(np.sin(angle))
    across = across + 24 * smooth_noise(height, width, 150, rng) + 3 * smooth_noise(height, width, 40, rng)
    across = across + cv2.GaussianBlur(np.clip(follow, -60, 10), (0, 0), 6)
    density = np.zeros((height, width), np.float32)
    for length, thickness, weight in ((150, 13, 0.6), (80, 5.5, 0.6), (45, 2.6, 0.55)):
        wave = rng.standard_normal((_WAVE, _WAVE), dtype=np.float32)
        bundle = cv2.remap(wave, along / length, across / thickness, cv2.INTER_CUBIC, borderMode=cv2.BORDER_WRAP)
        density += np.float32(weight / _CUBIC_STD) * bundle
    return density, direction(across) + np.float32(np.pi / 2)


def cell_borders(height: int, width: int, centres: Array, rng: np.random.Generator) -> tuple[Array, Array]:
    """Distances to the borders and centres of cells, which are slightly bent Voronoi cells.

    Args:
        height, width: size of the result, px.
        centres: centres of the cells, [N, 2] (y, x).
        rng: source of the bends.

    Returns:
        For each pixel the distance to the nearest border, and to the nearest centre; each [H, W], px. With fewer than
        two cells all distances are 1000.
    """
    if len(centres) < 2:
        far = np.full((height, width), 1e3, np.float32)
        return far, far
    ys, xs = np.mgrid[: (height + 1) // 2, : (width + 1) // 2].astype(np.float32) * 2
    bend_y, bend_x = (4 * smooth_noise(ys.shape[0], ys.shape[1], 9, rng) for _ in "yx")
    near, _ = KDTree(centres).query(np.stack([ys + bend_y, xs + bend_x], axis=-1), k=2)
    near = near.astype(np.float32)
    full = cv2.resize(near, (2 * ys.shape[1], 2 * ys.shape[0]), interpolation=cv2.INTER_LINEAR)[:height, :width]
    return (full[..., 1] - full[..., 0]) / 2, full[..., 0]
