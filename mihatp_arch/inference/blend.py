"""Tiles to blocks: outputs of the network become integers, their weighted sums are exact in any order of the tiles.

A block needs the sums of its own tiles, and the seams of its left, upper and upper left neighbours: the parts of
their sums that lie in this block. `seams_of` cuts these parts, `blended` adds them up.
"""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from mihatp_arch.inference.tiling import Tiling

_ONE = 2**18  # the integer that stands for 1.0: a 1028th of a code value of 8 bits
_RANGE = (-2.0, 2.0 - 1 / _ONE)  # outputs are limited to it
SEAMS = {"right": (0, 1), "below": (1, 0), "corner": (1, 1)}  # name -> (rows, columns) from the block to its receiver


class Block(NamedTuple):
    """Row and column of a block."""

    row: int
    column: int


def block_sums(
    tiles: Iterable[tuple[tuple[int, int], NDArray[np.float32]]],
    *,
    block: Block,
    tiling: Tiling,
    size: tuple[int, int],
    scale: int,
    channels: int,
) -> NDArray[np.int32]:
    """Weighted sums of the tiles of one block, [(block + blend)·s, (block + blend)·s, C] int32.

    Args:
        tiles: (row, column) of each tile of the block, and its output for its whole input, [s·side, s·side, C].
        block: row and column of the block.
        tiling: the tiles.
        size: (width, height) of the image, LR px.
        scale: s, pixels of the output for each LR pixel.
        channels: C.
    """
    side = (tiling.block + tiling.blend) * scale
    sums = np.zeros((side, side, channels), np.int32)
    given = (tiling.core + tiling.blend) * scale
    inner = slice(tiling.halo * scale, tiling.halo * scale + given)
    for (row, column), output in tiles:
        across = np.repeat(tiling.weights(column, size[0]), scale)[None, :, None]
        down = np.repeat(tiling.weights(row, size[1]), scale)[:, None, None]
        codes = np.rint(np.clip(output[inner, inner], *_RANGE) * _ONE).astype(np.int32)
        codes *= across
        codes *= down
        top = (row - block.row * tiling.tiles) * tiling.core * scale
        left = (column - block.column * tiling.tiles) * tiling.core * scale
        sums[top : top + given, left : left + given] += codes
    return sums


def seams_of(sums: NDArray[np.int32], *, tiling: Tiling, scale: int) -> dict[str, NDArray[np.int32]]:
    """The parts of a block's sums that its neighbours need: name of `SEAMS` -> [rows, columns, C] int32."""
    end = tiling.block * scale
    parts = slice(0, end), slice(end, None)
    return {name: np.ascontiguousarray(sums[parts[rows], parts[columns]]) for name, (rows, columns) in SEAMS.items()}


def blended(
    sums: NDArray[np.int32],
    seams: Mapping[str, NDArray[np.int32]],
    *,
    block: Block,
    tiling: Tiling,
    size: tuple[int, int],
    scale: int,
) -> NDArray[np.float32]:
    """The finished block, [H, W, C] float32, H and W at most s·block; not clamped.

    Args:
        sums: of the block's own tiles (`block_sums`).
        seams: of the neighbours, by the name of `SEAMS`: `right` is that of the left neighbour, `below` that of the
            upper one, `corner` that of the upper left one. A neighbour that does not exist is left out.
        block, tiling, size, scale: as for `block_sums`.
    """
    width = min(size[0] - block.column * tiling.block, tiling.block) * scale
    height = min(size[1] - block.row * tiling.block, tiling.block) * scale
    total = sums[: tiling.block * scale, : tiling.block * scale].copy()
    for seam in seams.values():
        total[: seam.shape[0], : seam.shape[1]] += seam
    return total[:height, :width].astype(np.float32) / np.float32(tiling.total * _ONE)
