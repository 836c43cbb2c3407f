"""Functions for any slide reader: white pixels outside the slide, the factor between levels, and an overview."""

import os
from abc import abstractmethod
from collections.abc import Callable, Sequence
from functools import partial
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from datasets_prep.common.downscale import area_reduce
from datasets_prep.slides.protocol import Levels, OpenFile, Pyramid

Box: TypeAlias = tuple[int, int, int, int]  # x, y, width, height in pixels of a level

_ROUNDING = 1e-9  # of a factor between levels
_BLOCK = 2048  # px, about the side of the block that `overview` holds in memory


def read_padded(read_box: Callable[[Box], NDArray[np.uint8]], size: tuple[int, int], box: Box) -> NDArray[np.uint8]:
    """Pixels of a box, [height, width, 3] uint8 RGB; white where the box lies outside the level.

    Args:
        read_box: reads a box that lies within the level.
        size: (width, height) of the level.
        box: the rectangle that is wanted.
    """
    x, y, width, height = box
    left, top = max(x, 0), max(y, 0)
    right, bottom = min(x + width, size[0]), min(y + height, size[1])
    inside = right > left and bottom > top
    if inside and (right - left, bottom - top) == (width, height):
        return read_box(box)
    rgb = np.full((height, width, 3), 255, np.uint8)
    if inside:
        rgb[top - y : bottom - y, left - x : right - x] = read_box((left, top, right - left, bottom - top))
    return rgb


class LevelFile(OpenFile):
    """A reader of an open file with levels. A process that inherits it (fork) opens the file again.

    Attributes:
        level_sizes: (width, height) of each level, finest first.
    """

    level_sizes: tuple[tuple[int, int], ...]
    _process: int
    """The process that has opened the file; `_open` sets it."""

    @abstractmethod
    def _open(self) -> None:
        """Open the file."""

    @abstractmethod
    def _read_inside(self, box: Box, *, level: int) -> NDArray[np.uint8]:
        """Pixels of a box that lies within the level, [height, width, 3] uint8 RGB."""

    def read(self, x: int, y: int, width: int, height: int, *, level: int = 0) -> NDArray[np.uint8]:
        """Pixels of a rectangle, [height, width, 3] uint8 RGB; white outside the slide and where it is transparent.

        (x, y) and the size are in pixels of `level`.

        Raises:
            UserError: the pixels cannot be decoded.
            ValueError: the level does not exist, or the size is negative.
        """
        if not 0 <= level < len(self.level_sizes) or width < 0 or height < 0:
            raise ValueError(f"{width}x{height} pixels of level {level}: there are {len(self.level_sizes)} levels")
        if os.getpid() != self._process:
            self._open()
        return read_padded(partial(self._read_inside, level=level), self.level_sizes[level], (x, y, width, height))


def over_white(rgba: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Composite [H, W, 4] uint8 RGBA over white, rounded to nearest: [H, W, 3] uint8 RGB."""
    alpha = rgba[..., 3:]
    if alpha.min(initial=255) == 255:
        return np.ascontiguousarray(rgba[..., :3])
    solid = alpha.astype(np.uint32)
    return ((rgba[..., :3] * solid + 255 * (255 - solid) + 127) // 255).astype(np.uint8)


def level_factor(level_sizes: Sequence[tuple[int, int]], level: int) -> int | None:
    """Number r of level-0 pixels that one pixel of `level` spans, when r is a whole number and the same on both axes.

    Both levels begin at the upper left corner. A scanner drops the remainder of the last pixel, or fills it up, so the
    size of the level is the size of level 0 over r, rounded down or up. For r = 4 the ratio W0/W may be 4.003.

    Returns:
        r, or None when no whole number fits.
    """
    width_0, height_0 = level_sizes[0]
    width, height = level_sizes[level]
    low = max(width_0 / (width + 1), height_0 / (height + 1))
    high = min(width_0 / max(width - 1, 0.5), height_0 / max(height - 1, 0.5))
    fits = [
        r
        for r in range(max(1, int(low)), int(high) + 2)
        if abs(width - width_0 / r) < 1 and abs(height - height_0 / r) < 1
    ]
    mean = (width_0 / width + height_0 / height) / 2
    # For a small level several numbers fit. Scanners reduce by powers of two, so these come first.
    return min(fits, key=lambda r: (r & (r - 1) != 0, abs(r - mean)), default=None)


def downsamples_of(level_sizes: Sequence[tuple[int, int]]) -> tuple[float, ...]:
    """How many times each level is reduced against level 0, the mean of both axes."""
    width_0, height_0 = level_sizes[0]
    return tuple((width_0 / width + height_0 / height) / 2 for width, height in level_sizes)


def best_level(level_sizes: Sequence[tuple[int, int]], downsample: float) -> int:
    """The coarsest level that is reduced at most `downsample` times against level 0."""
    fits = (level for level, factor in enumerate(downsamples_of(level_sizes)) if factor <= downsample + _ROUNDING)
    return max(fits, default=0)


def overview(
    slide: Pyramid, *, max_downsample: float = 64, max_pixels: int = 2**24
) -> tuple[NDArray[np.uint8], tuple[float, float]]:
    """An image of the whole slide for tissue segmentation, and its scale.

    It is the level that CLAM segments: the coarsest that is reduced at most `max_downsample` times. Where this level
    has more than `max_pixels` pixels (CLAM may refuse it), it is averaged over n×n pixels, block by block, with the
    smallest n that is enough. The last pixels are repeated to fill the last n×n pixels at the right and lower border.

    Returns:
        [H, W, 3] uint8 RGB, and (sx, sy): the number of level-0 pixels that one of its pixels spans, as CLAM computes
        it (W0/W, H0/H).
    """
    width_0, height_0 = slide.level_sizes[0]
    level = slide.best_level_for_downsample(max_downsample)
    width, height = slide.level_sizes[level]
    scale = width_0 / width, height_0 / height
    n = averaging_side(width, height, max_pixels=max_pixels)
    if n == 1:
        return slide.read(0, 0, width, height, level=level), scale
    return _averaged_level(slide, level, n), (scale[0] * n, scale[1] * n)


def averaging_side(width: int, height: int, *, max_pixels: int) -> int:
    """The smallest n with which the n×n mean of an image has at most `max_pixels` pixels."""
    n = 1
    while -(-width // n) * -(-height // n) > max_pixels:
        n += 1
    return n


def _averaged_level(slide: Levels, level: int, n: int) -> NDArray[np.uint8]:
    """The n×n mean of a level, [⌈H/n⌉, ⌈W/n⌉, 3] uint8 RGB, read block by block."""
    width, height = slide.level_sizes[level]
    rgb = np.empty((-(-height // n), -(-width // n), 3), np.uint8)
    step = max(1, _BLOCK // n)
    for row in range(0, rgb.shape[0], step):
        for column in range(0, rgb.shape[1], step):
            x, y = column * n, row * n
            block = slide.read(x, y, min(step * n, width - x), min(step * n, height - y), level=level)
            filled = np.pad(block, ((0, -block.shape[0] % n), (0, -block.shape[1] % n), (0, 0)), mode="edge")
            small = area_reduce(filled, n)
            rgb[row : row + small.shape[0], column : column + small.shape[1]] = small
    return rgb
