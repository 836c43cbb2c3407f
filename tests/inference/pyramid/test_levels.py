"""The geometry of the pyramid."""

import pytest

from datasets_prep.common.errors import UserError
from mihatp_arch.inference.pyramid import TILE, Layout, level_count

SIZES = [(1, 1), (512, 100), (513, 2), (1024, 1024), (1025, 3), (40_000, 39_999), (100_001, 77), (5, 200_000)]


@pytest.mark.parametrize(("width", "height"), SIZES)
def test_the_coarsest_level_is_the_first_that_fits_in_one_tile(width, height):
    layout = Layout(width, height)
    assert layout.levels == level_count(width, height)
    fits = [max(layout.size(level)) <= TILE for level in range(layout.levels)]
    assert fits == [False] * (layout.levels - 1) + [True]
    assert layout.tiles(layout.levels - 1) == (1, 1)


@pytest.mark.parametrize(("width", "height"), SIZES)
def test_each_level_is_exactly_half_of_the_one_before(width, height):
    layout = Layout(width, height)
    canvas = layout.size(0)
    assert 0 <= canvas[0] - width < 2 ** (layout.levels - 1)
    assert 0 <= canvas[1] - height < 2 ** (layout.levels - 1)
    for level in range(layout.levels):
        assert tuple(side * 2**level for side in layout.size(level)) == canvas


@pytest.mark.parametrize(("block_size", "levels"), [(512, 1), (1024, 2), (1536, 1), (2048, 3), (3072, 2), (4096, 4)])
def test_levels_at_which_a_block_consists_of_whole_tiles(block_size, levels):
    assert Layout(40_000, 40_000, block_size=block_size).whole_levels == levels
    assert Layout(600, 100, block_size=block_size).whole_levels == min(2, levels)


def test_blocks_cover_the_image():
    layout = Layout(5000, 4096)
    assert layout.blocks == (2, 3)
    assert layout.block_shape(0, 0) == (2048, 2048)
    assert layout.block_shape(1, 2) == (2048, 904)


@pytest.mark.parametrize(
    ("width", "height", "block_size"), [(0, 5, 512), (5, -1, 512), (5, 5, 0), (5, 5, 500), (5, 5, 768)]
)
def test_impossible_sizes_are_refused(width, height, block_size):
    with pytest.raises(UserError, match=r"give a multiple of 512|must have 1 or more"):
        Layout(width, height, block_size=block_size)
