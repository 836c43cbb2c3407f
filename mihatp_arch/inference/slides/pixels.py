"""The LR pixels of a slide: one level, white where there is no tissue, on request."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from datasets_prep.common.errors import UserError
from datasets_prep.slides.levels import Box
from datasets_prep.slides.protocol import Levels, SlideReader
from datasets_prep.slides.skipping import CELL, Cell, cells_of, damage_of
from mihatp_arch.inference.slides.jpeg_quality import cut_off_tiles, damaged_tiles

_BLOCK = 8  # cells along a side of the blocks that are read at once


@dataclass(frozen=True)
class LevelPixels:
    """Reads the pixels of one level of a slide.

    Attributes:
        slide: an open slide.
        level: the level.
        glass: whether each tile is white, [rows, columns]; None: no tile is.
        core: distance between two tiles, LR px.
    """

    slide: Levels
    level: int
    glass: NDArray[np.bool_] | None
    core: int

    def __call__(self, x: int, y: int, width: int, height: int) -> NDArray[np.uint8]:
        """Pixels of a rectangle that lies within the level, [height, width, 3] uint8 RGB."""
        pixels = self.slide.read(x, y, width, height, level=self.level)
        if self.glass is None:
            return pixels
        rows, columns = (
            np.minimum((start + np.arange(length)) // self.core, number - 1)
            for start, length, number in zip((y, x), (height, width), self.glass.shape, strict=True)
        )
        return np.where(self.glass[rows[:, None], columns][..., None], np.uint8(255), pixels)


def damaged_cells(slide: Levels, level: int) -> Iterator[Cell]:
    """Decode a whole level and yield the cells that cannot be decoded.

    Decoding takes less than a hundredth of the time of a network, and a slide is refused before hours of work.
    """
    width, height = slide.level_sizes[level]
    step = _BLOCK * CELL
    for top in range(0, height, step):
        for left in range(0, width, step):
            box = (left, top, min(step, width - left), min(step, height - top))
            if not _decodes(slide, level, box):
                yield from (cell for cell in cells_of(box) if damage_of(slide, level, cell))


def jpeg_flaws(slide: SlideReader, level: int, *, besides: Sequence[Cell] = ()) -> str:
    """Which JPEG tiles of a level decode to wrong pixels without an error, for a person; empty: none is known to.

    Tiles in the cells `besides`, which cannot be decoded at all, are left out.
    """
    width, height = slide.level_sizes[level]
    cut_off = cut_off_tiles(slide.path, width=width, height=height)
    damaged = damaged_tiles(slide.path, width=width, height=height)
    flaws = {
        ("end early", "their rest is grey"): cut_off,
        ("hold damaged data", "their pixels are wrong"): [tile for tile in damaged if tile not in cut_off],
    }
    lines: list[str] = []
    for (flaw, so), damaged_at in flaws.items():
        tiles = [(x, y) for x, y in damaged_at if (y // CELL, x // CELL) not in besides]
        shown = ", ".join(f"x {x} y {y}" for x, y in tiles[:4])
        more = f" and {len(tiles) - 4} more" if len(tiles) > 4 else ""
        lines += [f"{len(tiles)} JPEG tiles of level {level} {flaw} ({shown}{more}), {so}"] if tiles else []
    return "; ".join(lines)


def describe(cells: Sequence[Cell]) -> str:
    """Where the cells lie, in px of the level, for a person."""
    shown = ", ".join(f"x {column * CELL} y {row * CELL}" for row, column in cells[:4])
    more = f" and {len(cells) - 4} more" if len(cells) > 4 else ""
    return f"{len(cells)} areas of {CELL}x{CELL} px ({shown}{more})"


def _decodes(slide: Levels, level: int, box: Box) -> bool:
    try:
        slide.read(*box, level=level)
    except UserError:
        return False
    return True
