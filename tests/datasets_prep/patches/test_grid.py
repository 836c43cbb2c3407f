"""The grid and the area mean: no shift, no bias, no pixel in two patches."""

import numpy as np
import pytest

from datasets_prep.common.downscale import area_reduce
from datasets_prep.common.errors import UserError
from datasets_prep.patches.grid import check_sizes, grid


@pytest.mark.parametrize("k", [2, 3, 4, 8, 24])
def test_area_mean_is_exact_and_rounds_half_up(k):
    hr = np.random.default_rng(k).integers(0, 256, (48, 72, 3), dtype=np.uint8)
    exact = hr.reshape(48 // k, k, 72 // k, k, 3).mean(axis=(1, 3))
    lr = area_reduce(hr, k)
    assert lr.dtype == np.uint8
    np.testing.assert_array_equal(lr, np.floor(exact + 0.5))


def test_rounding_is_half_up_and_extremes_stay():
    assert area_reduce(np.array([[[0], [1]], [[0], [1]]], np.uint8), 2).item() == 1
    assert area_reduce(np.full((16, 16, 3), 255, np.uint8), 8).min() == 255


@pytest.mark.parametrize("k", [2, 4, 8])
def test_lr_is_not_shifted(k):
    ys, xs = np.mgrid[:64, :64] + 0.5
    blob = np.exp(-((ys - 27) ** 2 + (xs - 38) ** 2) / 60)[..., None].repeat(3, axis=2)
    lr = area_reduce((255 * blob).astype(np.uint8), k)[..., 0].astype(float)
    centres = (np.arange(64 // k) + 0.5) * k
    assert abs((lr.sum(1) * centres).sum() / lr.sum() - 27) < 0.05 * k
    assert abs((lr.sum(0) * centres).sum() / lr.sum() - 38) < 0.05 * k


def test_sizes_that_do_not_divide_are_refused():
    with pytest.raises(UserError, match="without a rest"):
        area_reduce(np.zeros((10, 12, 3), np.uint8), 4)
    check_sizes(patch_size=192, scales=(2, 4, 8))
    for patch_size, scales in ((100, (8,)), (0, (2,)), (192, ()), (192, (2, 2)), (192, (1,)), (192, (-2,))):
        with pytest.raises(UserError):
            check_sizes(patch_size=patch_size, scales=scales)


@pytest.mark.parametrize(("height", "width", "count"), [(192, 192, 1), (1000, 1000, 25), (191, 500, 0), (400, 383, 2)])
def test_grid_is_anchored_and_disjoint(height, width, count):
    hits = np.zeros((height, width), int)
    places = grid(width, height, patch_size=192)
    for x, y in places:
        assert x % 192 == y % 192 == 0
        hits[y : y + 192, x : x + 192] += 1
    assert len(places) == count
    assert hits.max() <= 1 and hits.sum() == count * 192**2


@pytest.mark.parametrize(
    ("side", "scales", "near"), [(192, (5,), 190), (100, (2, 4, 8), 96), (0, (2, 3), 6), (3, (8,), 8)]
)
def test_the_side_that_is_named_is_a_multiple(side, scales, near):
    with pytest.raises(UserError, match=f": {near} is one$"):
        check_sizes(patch_size=side, scales=scales)
    check_sizes(patch_size=near, scales=scales)
