"""A slide that is white where it cannot be decoded, in squares that are decoded whole or not at all."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from datasets_prep.common.errors import UserError
from datasets_prep.slides.levels import Box
from datasets_prep.slides.protocol import Levels, Pyramid

Cell: TypeAlias = tuple[int, int]  # row, column

CELL = 256  # px, side of the squares


def _ignore(_: object) -> None:
    pass


@dataclass(frozen=True)
class SkippingSlide:
    """A slide that is white where it cannot be decoded.

    Attributes:
        slide: an open slide.
        on_read: called with the number of pixels of each rectangle, when it is read.
        on_damage: called with a line for each cell that cannot be decoded, each time that it is met.
    """

    slide: Pyramid
    on_read: Callable[[int], object] = _ignore
    on_damage: Callable[[str], object] = _ignore

    @property
    def level_sizes(self) -> Sequence[tuple[int, int]]:
        """(width, height) of each level in pixels, finest first."""
        return self.slide.level_sizes

    def best_level_for_downsample(self, downsample: float) -> int:
        """The coarsest level that is reduced at most `downsample` times against level 0."""
        return self.slide.best_level_for_downsample(downsample)

    def read(self, x: int, y: int, width: int, height: int, *, level: int = 0) -> NDArray[np.uint8]:
        """Pixels of a rectangle, [height, width, 3] uint8 RGB; cells that cannot be decoded are white."""
        try:
            pixels = self.slide.read(x, y, width, height, level=level)
        except UserError:
            pixels = self._by_cells((x, y, width, height), level)
        self.on_read(width * height)
        return pixels

    def _by_cells(self, box: Box, level: int) -> NDArray[np.uint8]:
        pixels = np.full((box[3], box[2], 3), 255, np.uint8)
        for cell in cells_of(box):
            damage = damage_of(self.slide, level, cell)
            if damage:
                self.on_damage(damage)
                continue
            x, y, width, height = _inside(cell, box)
            top, left = y - box[1], x - box[0]
            pixels[top : top + height, left : left + width] = self.slide.read(x, y, width, height, level=level)
        return pixels


def damage_of(slide: Levels, level: int, cell: Cell) -> str:
    """Why a cell of a level cannot be decoded as a whole; empty: it can."""
    try:
        slide.read(*_inside(cell, (0, 0, *slide.level_sizes[level])), level=level)
    except UserError as error:
        return str(error)
    return ""


def cells_of(box: Box) -> Iterator[Cell]:
    """The cells that a rectangle touches."""
    x, y, width, height = box
    for row in range(y // CELL, -(-(y + height) // CELL)):
        for column in range(x // CELL, -(-(x + width) // CELL)):
            yield row, column


def _inside(cell: Cell, box: Box) -> Box:
    """The part of a cell that lies in a rectangle."""
    x, y, width, height = box
    left, top = max(cell[1] * CELL, x), max(cell[0] * CELL, y)
    right, bottom = min((cell[1] + 1) * CELL, x + width), min((cell[0] + 1) * CELL, y + height)
    return left, top, right - left, bottom - top
