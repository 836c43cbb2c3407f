"""Tiles cover every pixel with the same total weight, whatever the size of the image."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from datasets_prep.common.errors import UserError
from mihatp_arch.inference.tiling import Tiling, fitting

TILINGS = st.integers(1, 22).flatmap(
    lambda blend: st.builds(
        Tiling,
        core=st.integers(blend, 200),
        blend=st.just(blend),
        halo=st.integers(0, 40),
        tiles=st.integers(1, 5),
    )
)


def sum_of_weights(tiling, length):
    """Sum of the weights of all tiles at each pixel of an axis."""
    total = np.zeros(tiling.count(length) * tiling.core + tiling.blend, np.int64)
    for tile in range(tiling.count(length)):
        total[tile * tiling.core :][: tiling.core + tiling.blend] += tiling.weights(tile, length)
    return total[:length]


@settings(deadline=None)
@given(TILINGS, st.integers(1, 2000))
def test_the_weights_of_each_pixel_have_the_same_sum(tiling, length):
    total = sum_of_weights(tiling, length)
    assert len(total) == length and (total == 2 * tiling.blend).all()
    assert tiling.total == (2 * tiling.blend) ** 2


@settings(deadline=None)
@given(TILINGS, st.integers(1, 2000))
def test_each_tile_belongs_to_one_block(tiling, length):
    tiles = [tile for block in range(tiling.blocks(length)) for tile in tiling.tiles_of_block(block, length)]
    assert tiles == list(range(tiling.count(length)))


def test_neighbours_cross_fade_and_borders_do_not():
    first, middle, last = (Tiling(core=5, blend=2, halo=1).weights(tile, 17) for tile in range(3))
    assert first.tolist() == [4, 4, 4, 4, 4, 3, 1]
    assert middle.tolist() == [1, 3, 4, 4, 4, 3, 1]
    assert last.tolist() == [1, 3, 4, 4, 4, 4, 4]


@settings(deadline=None)
@given(
    st.integers(1, 500),
    st.integers(1, 500),
    st.integers(48, 300),
    st.sampled_from([1, 8, 12, 16, 24, 32]),
    st.integers(0, 30),
)
def test_fitting_tiles_are_as_small_as_the_image_allows(width, height, side, multiple, halo):
    try:
        tiling = fitting(width, height, side=side, multiple=multiple, halo=halo)
    except UserError:
        assert side // multiple * multiple < 2 * (halo + 16)
        return
    assert tiling.side <= side and tiling.side % multiple == 0 and tiling.halo >= halo
    one = tiling.count(width) == tiling.count(height) == 1
    assert one or multiple % 2 or tiling.core % multiple == 0 or tiling.core < multiple + 16
    smaller = tiling.side - multiple
    assert smaller < 2 * (halo + 16) or smaller < max(width, height) + 2 * halo
    if tiling.side < side // multiple * multiple:
        assert tiling.count(width) == tiling.count(height) == 1


@pytest.mark.parametrize(
    "sizes", [{"core": 4, "blend": 5}, {"core": 60, "blend": 23}, {"core": 0}, {"blend": 0}, {"tiles": 0}, {"halo": -1}]
)
def test_impossible_sizes_are_refused(sizes):
    with pytest.raises(UserError, match="tiles"):
        Tiling(**sizes)
