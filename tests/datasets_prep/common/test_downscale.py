"""Area mean and bicubic: equal to BasicSR, without shift and without bias."""

import numpy as np
import pytest
from basicsr.utils.matlab_functions import imresize

from datasets_prep.common.downscale import KERNELS, area_reduce, reduce_patch
from datasets_prep.common.errors import UserError
from datasets_prep.slides.tiles import read_rgb
from datasets_prep.synthetic.image import synthesize

SIZES = [(192, 192), (193, 161), (120, 47), (35, 66)]


def stored_by_basicsr(hr, k):
    return (np.clip(imresize(hr / 255.0, 1 / k), 0, 1) * 255).round().astype(np.uint8)


@pytest.fixture(scope="module")
def hr():
    """Tissue, then noise with black and white in it, so that the cubic overshoots."""
    noise = np.random.default_rng(0).integers(-200, 456, (200, 400, 3)).clip(0, 255).astype(np.uint8)
    return np.concatenate([synthesize(200, 400, seed=0)[0], noise])


@pytest.mark.parametrize("k", [2, 3, 4, 8])
def test_bicubic_is_basicsr_s(hr, k):
    """BasicSR computes in float32, which rounds the few values halfway between two levels differently."""
    wrong = total = 0
    for height, width in SIZES:
        for y in (0, 17, 200, 207):
            patch = hr[y : y + height, y : y + width]
            ours, theirs = reduce_patch(patch, k, kernel="bicubic"), stored_by_basicsr(patch, k)
            assert ours.shape == theirs.shape and ours.dtype == np.uint8
            off = np.abs(ours.astype(int) - theirs)
            assert off.max() <= 1
            wrong, total = wrong + np.count_nonzero(off), total + off.size
    assert wrong < 1e-4 * total


@pytest.mark.parametrize("k", [2, 4, 8])
def test_bicubic_is_basicsr_s_on_real_tissue(shared, k):
    for path in sorted((shared / "data/monuseg/images").glob("*.png"))[:3]:
        patch = read_rgb(path)[192:384, 192:384]
        off = reduce_patch(patch, k, kernel="bicubic").astype(int) - stored_by_basicsr(patch, k)
        assert np.abs(off).max() <= 1 and np.count_nonzero(off) <= 1e-4 * off.size + 1


def test_area_is_the_exact_mean(hr):
    for k in (2, 4, 8):
        np.testing.assert_array_equal(reduce_patch(hr, k, kernel="area"), area_reduce(hr, k))


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("k", [2, 3, 4, 8])
def test_what_lies_in_hr_lies_there_in_lr(kernel, k):
    ys, xs = np.mgrid[:192, :192] + 0.5
    for y, x in ((70.3, 120.9), (96, 96), (131.5, 55.2)):
        blob = np.exp(-((ys - y) ** 2 + (xs - x) ** 2) / 300)[..., None].repeat(3, axis=2)
        lr = reduce_patch(np.rint(255 * blob).astype(np.uint8), k, kernel=kernel)[..., 0].astype(float)
        centres = (np.arange(192 // k) + 0.5) * k
        assert abs((lr.sum(1) * centres).sum() / lr.sum() - y) < 0.05 * k
        assert abs((lr.sum(0) * centres).sum() / lr.sum() - x) < 0.05 * k


@pytest.mark.parametrize("kernel", KERNELS)
def test_flips_commute_and_flat_stays(hr, kernel):
    patch = hr[100:292, :192]
    lr = reduce_patch(patch, 4, kernel=kernel)
    np.testing.assert_array_equal(reduce_patch(patch[::-1, ::-1], 4, kernel=kernel), lr[::-1, ::-1])
    np.testing.assert_array_equal(reduce_patch(patch.swapaxes(0, 1), 4, kernel=kernel), lr.swapaxes(0, 1))
    for value in (0, 1, 77, 255):
        assert np.all(reduce_patch(np.full((24, 48, 3), value, np.uint8), 8, kernel=kernel) == value)


def test_an_image_smaller_than_the_kernel_is_mirrored_again():
    patch = np.random.default_rng(0).integers(0, 256, (3, 5, 3), dtype=np.uint8)
    tiled = np.pad(patch, ((48, 48), (80, 80), (0, 0)), mode="symmetric")  # whole periods of the mirrored image
    inner = reduce_patch(tiled[:99, :165], 8, kernel="bicubic")[6:7, 10:11]
    np.testing.assert_array_equal(reduce_patch(patch, 8, kernel="bicubic"), inner)


def test_what_cannot_be_is_refused(hr):
    with pytest.raises(UserError, match="area, bicubic"):
        reduce_patch(hr, 2, kernel="lanczos")
    with pytest.raises(UserError, match="without a rest"):
        reduce_patch(hr[:191], 2, kernel="area")
