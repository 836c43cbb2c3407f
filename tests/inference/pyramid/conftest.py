"""Fixtures of the tests of the pyramid: an SR image, and functions that give and commit its blocks."""

from collections.abc import Callable, Iterable

import numpy as np
import pytest
from numpy.typing import NDArray

from mihatp_arch.inference.pyramid import Layout, TileStore

Block = Callable[[Layout, int, int], NDArray[np.uint8]]
Commit = Callable[[TileStore, Iterable[tuple[int, int]]], None]


@pytest.fixture(scope="session")
def sr() -> NDArray[np.uint8]:
    """An SR image of 1300×1700 px, [H, W, 3]: noise with a constant area. Its pyramid has three levels."""
    pixels = np.random.default_rng(0).integers(0, 256, (1300, 1700, 3), np.uint8)
    pixels[600:, :600] = 243
    return pixels


@pytest.fixture(scope="session")
def block(sr: NDArray[np.uint8]) -> Block:
    """`block(layout, row, column)`: the pixels of this block of `sr`."""

    def block(layout: Layout, row: int, column: int) -> NDArray[np.uint8]:
        height, width = layout.block_shape(row, column)
        top, left = row * layout.block_size, column * layout.block_size
        return sr[top : top + height, left : left + width]

    return block


@pytest.fixture(scope="session")
def commit(block: Block) -> Commit:
    """`commit(store, positions)` commits these blocks of `sr`."""

    def commit(store: TileStore, positions: Iterable[tuple[int, int]]) -> None:
        for row, column in positions:
            store.commit(row, column, block(store.layout, row, column))

    return commit
