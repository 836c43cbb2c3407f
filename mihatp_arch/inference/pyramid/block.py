"""From the pixels of a block, or of four smaller tiles, to encoded TIFF tiles and to pixels for the next level."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from mihatp_arch.inference.pyramid.encode import Compression, encode_tile
from mihatp_arch.inference.pyramid.levels import CELL, TILE, Layout

Position = tuple[int, int, int]  # level, row, column
_FILL = 255  # white: pixels outside the image must look like glass, not like tissue


@dataclass(frozen=True)
class EncodedBlock:
    """What a block adds to the pyramid.

    Attributes:
        tiles: encoded TIFF tiles of the levels at which the block consists of whole tiles.
        cells: pixels of the next coarser level, [256, 256, 3] each: a quarter of a tile of that level.
    """

    tiles: Mapping[Position, bytes]
    cells: Mapping[Position, NDArray[np.uint8]]


def encode_block(
    square: NDArray[np.uint8], row: int, column: int, *, layout: Layout, compression: Compression
) -> EncodedBlock:
    """Encode a block at each level at which it consists of whole TIFF tiles, and reduce it for the next level.

    Args:
        square: RGB pixels of the block, [H, W, 3]; `layout.block_shape(row, column)` is [H, W].
        row, column: the block.
        layout: sizes of the pyramid.
        compression: how tiles are encoded. Every level is encoded once, from pixels that were never encoded.
    """
    pixels = np.full((layout.block_size, layout.block_size, 3), _FILL, np.uint8)
    pixels[: square.shape[0], : square.shape[1]] = square
    tiles: dict[Position, bytes] = {}
    for level in range(layout.whole_levels):
        parts = _parts(pixels, row, column, level=level, grid=layout.tiles(level), side=TILE)
        tiles |= {position: encode_tile(part, compression) for position, part in parts}
        pixels = halve(pixels)
    level = layout.whole_levels
    if level == layout.levels:
        return EncodedBlock(tiles, {})
    finer = layout.tiles(level - 1)  # each tile of the finer level becomes a cell
    return EncodedBlock(tiles, dict(_parts(pixels, row, column, level=level, grid=finer, side=CELL)))


def join_cells(cells: Mapping[tuple[int, int], NDArray[np.uint8]]) -> NDArray[np.uint8]:
    """The tile, [512, 512, 3], of up to four cells. Keys are (0 or 1, 0 or 1); missing cells are white."""
    tile = np.full((TILE, TILE, 3), _FILL, np.uint8)
    for (row, column), pixels in cells.items():
        tile[row * CELL : (row + 1) * CELL, column * CELL : (column + 1) * CELL] = pixels
    return tile


def halve(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Exact mean of each 2×2 px, rounded half up: [2H, 2W, 3] to [H, W, 3].

    The result equals `area_reduce(pixels, 2)`, which takes longer.
    """
    height, width, _ = pixels.shape
    return cv2.resize(pixels, (width // 2, height // 2), interpolation=cv2.INTER_AREA).astype(np.uint8, copy=False)


def _parts(
    pixels: NDArray[np.uint8], row: int, column: int, *, level: int, grid: tuple[int, int], side: int
) -> Iterator[tuple[Position, NDArray[np.uint8]]]:
    """Split the pixels of a block at a level into squares, and yield the squares that lie in the grid."""
    number = len(pixels) // side
    for i in range(min(number, grid[0] - row * number)):
        for j in range(min(number, grid[1] - column * number)):
            part = pixels[i * side : (i + 1) * side, j * side : (j + 1) * side]
            yield (level, row * number + i, column * number + j), part
