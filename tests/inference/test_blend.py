"""Sums of tiles are exact: any order of the tiles gives the same bits, and constants stay what they are."""

import numpy as np
import pytest

from mihatp_arch.inference.blend import SEAMS, Block, blended, block_sums, seams_of
from mihatp_arch.inference.tiling import Tiling

TILING = Tiling(core=20, blend=6, halo=3, tiles=2)
SIZE = (97, 61)
SCALE = 2


def outputs(seed=0):
    """(row, column) -> output of each tile, [s·side, s·side, 3]."""
    draw = np.random.default_rng(seed)
    side = TILING.side * SCALE
    return {
        (row, column): draw.uniform(-0.5, 1.5, (side, side, 3)).astype(np.float32)
        for row in range(TILING.count(SIZE[1]))
        for column in range(TILING.count(SIZE[0]))
    }


def sums_of(tiles, block):
    rows, columns = (range(at * TILING.tiles, (at + 1) * TILING.tiles) for at in block)
    inside = [(tile, output) for tile, output in tiles if tile[0] in rows and tile[1] in columns]
    return block_sums(inside, block=block, tiling=TILING, size=SIZE, scale=SCALE, channels=3)


def whole(tiles):
    """The blended image, block by block."""
    tiles = list(tiles)
    image = np.full((SIZE[1] * SCALE, SIZE[0] * SCALE, 3), np.nan, np.float32)
    seams = {}
    side = TILING.block * SCALE
    for row in range(TILING.blocks(SIZE[1])):
        for column in range(TILING.blocks(SIZE[0])):
            block = Block(row, column)
            sums = sums_of(tiles, block)
            seams[block] = seams_of(sums, tiling=TILING, scale=SCALE)
            received = {
                name: seams[row - down, column - right][name]
                for name, (down, right) in SEAMS.items()
                if row >= down and column >= right
            }
            done = blended(sums, received, block=block, tiling=TILING, size=SIZE, scale=SCALE)
            image[row * side :, column * side :][: done.shape[0], : done.shape[1]] = done
    return image


def test_blending_is_the_weighted_mean():
    tiles = outputs()
    given = (TILING.core + TILING.blend) * SCALE
    inner = slice(TILING.halo * SCALE, TILING.halo * SCALE + given)
    rows, columns = (TILING.count(length) * TILING.core + TILING.blend for length in SIZE[::-1])
    expected = np.zeros((rows * SCALE, columns * SCALE, 3))
    for (row, column), output in tiles.items():
        down = np.repeat(TILING.weights(row, SIZE[1]), SCALE)[:, None, None]
        across = np.repeat(TILING.weights(column, SIZE[0]), SCALE)[None, :, None]
        top, left = (at * TILING.core * SCALE for at in (row, column))
        expected[top : top + given, left : left + given] += output[inner, inner].astype(np.float64) * down * across
    expected = expected[: SIZE[1] * SCALE, : SIZE[0] * SCALE] / TILING.total
    assert np.abs(whole(tiles.items()) - expected).max() < 3e-6


@pytest.mark.parametrize("seed", range(3))
def test_any_order_of_the_tiles_gives_the_same_bits(seed):
    tiles = list(outputs().items())
    first = whole(tiles)
    np.random.default_rng(seed).shuffle(tiles)
    assert np.array_equal(whole(tiles), first)


@pytest.mark.parametrize("value", [0.0, 1.0, 128 / 255, -0.25])
def test_equal_tiles_are_the_same_everywhere(value):
    image = whole((tile, np.full_like(output, value)) for tile, output in outputs().items())
    assert len(np.unique(image)) == 1 and abs(image[0, 0, 0] - value) < 2**-18


def test_values_far_outside_the_range_do_not_overflow():
    largest = Tiling(core=22, blend=22, halo=0, tiles=2)
    for value in (-9.0, 9.0):
        tiles = [((row, column), np.full((44, 44, 1), value, np.float32)) for row in (0, 1) for column in (0, 1)]
        sums = block_sums(tiles, block=Block(0, 0), tiling=largest, size=(50, 50), scale=1, channels=1)
        done = blended(sums, {}, block=Block(0, 0), tiling=largest, size=(50, 50), scale=1)
        assert np.abs(done - np.clip(value, -2, 2)).max() < 1e-5
