"""The share of tissue in a square: exact, and exactly zero beside the mask."""

import numpy as np

from datasets_prep.tissue.coverage import coverage


def test_coverage_is_exact():
    rng = np.random.default_rng(0)
    mask = (rng.random((23, 31)) < 0.5).astype(np.uint8)
    scale = (4.003, 3.7)
    size = 19.0
    xs, ys = rng.uniform(-30, 140, 200), rng.uniform(-30, 100, 200)
    expected = np.zeros(200)
    for n, (x, y) in enumerate(zip(xs, ys, strict=True)):
        for i, j in np.argwhere(mask):
            wide = min((j + 1) * scale[0], x + size) - max(j * scale[0], x)
            high = min((i + 1) * scale[1], y + size) - max(i * scale[1], y)
            expected[n] += max(wide, 0) * max(high, 0) / size**2
    found = coverage(mask, scale=scale, xs=xs, ys=ys, size=size)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, atol=1e-6)
    assert expected.max() > 0.6 and (expected == 0).any()
    within = coverage(mask, scale=scale, xs=xs, ys=ys, size=1.5)  # mostly inside a single pixel
    assert 0.3 < np.isclose(within, 1).mean() + np.isclose(within, 0).mean() < 1


def test_a_square_off_the_mask_has_a_share_of_exactly_nothing():
    mask = np.ones((300, 400), np.uint8)
    mask[:, 200:] = 0
    xs = np.linspace(200 * 4.003, 399 * 4.003 - 7, 997)[1:]
    assert not coverage(mask, scale=(4.003, 4.003), xs=xs, ys=np.full(996, 7.3), size=7).any()
    inside = coverage(mask, scale=(4.003, 4.003), xs=xs - 200 * 4.003, ys=np.full(996, 7.3), size=7)
    assert inside.max() == 1 and inside[:900].min() > 0.999999
    assert coverage(mask, scale=(64.0, 64.0), xs=[], ys=[], size=192).shape == (0,)
