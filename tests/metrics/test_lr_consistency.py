"""LR consistency: the reduction is that of the data sets, and what the LR image does not show counts."""

import cv2
import numpy as np
import pytest
from basicsr.metrics import calculate_metric
from basicsr.utils.registry import METRIC_REGISTRY

from datasets_prep.common.downscale import area_reduce, reduce_patch
from datasets_prep.slides.tiles import read_rgb
from mihatp_arch.errors import UserError
from mihatp_arch.metrics.lr_consistency import calculate_lr_consistency, lr_consistency

SCALES = [2, 3, 4, 8]


def noise(height: int = 48, width: int = 72, *, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def enlarge(lq: np.ndarray, k: int) -> np.ndarray:
    return lq.repeat(k, axis=0).repeat(k, axis=1)


def metric(img: np.ndarray, img2: np.ndarray, *, crop_border: int = 0, scale: int = 4) -> float:
    options = {"type": "calculate_lr_consistency", "crop_border": crop_border, "scale": scale, "better": "lower"}
    return calculate_metric({"img": img, "img2": img2}, options)


@pytest.mark.parametrize("k", [1, *SCALES])
def test_nearest_neighbour_is_consistent(k):
    assert lr_consistency(enlarge(noise(), k), noise()) == 0


@pytest.mark.parametrize("k", SCALES)
def test_hr_is_consistent_with_the_lr_of_the_data_sets(k):
    hr = noise(48 * k, 72 * k)
    assert lr_consistency(hr, area_reduce(hr, k)) == 0
    assert lr_consistency(hr[..., 0], area_reduce(hr, k)[..., 0]) == 0
    assert lr_consistency(hr[..., :1], area_reduce(hr, k)[..., :1]) == 0


@pytest.mark.parametrize("k", [1, *SCALES])
def test_the_mean_is_that_of_opencv_in_float64(k):
    """OpenCV rounds uint8 half up only at k = 2."""
    for image in (noise(48 * k, 72 * k), noise(48 * k, 72 * k) & 1, noise(48 * k, 72 * k)[..., 0]):
        mean = cv2.resize(image.astype(np.float64), (72, 48), interpolation=cv2.INTER_AREA)
        np.testing.assert_array_equal(area_reduce(image, k), np.floor(mean + 0.5).astype(np.uint8))


def test_halves_are_rounded_up_as_in_the_data_sets():
    hr = np.zeros((8, 8, 3), np.uint8)
    hr[::2] = 1  # the mean of each LR pixel is 0.5
    for k in (2, 4, 8):
        assert area_reduce(hr, k).all() and lr_consistency(hr, area_reduce(hr, k)) == 0


@pytest.mark.parametrize("k", SCALES)
def test_is_in_grey_levels(k):
    lq = noise() // 2
    assert lr_consistency(enlarge(lq + 5, k), lq) == 5
    assert lr_consistency(enlarge(lq, k), lq + 5) == 5
    half = enlarge(lq, k)
    half[:, : half.shape[1] // 2] += 4
    assert lr_consistency(half, lq) == 2


def test_detail_below_an_lr_pixel_is_free_and_above_it_is_not():
    lq = np.full((12, 12, 3), 128, np.uint8)
    fine, coarse = enlarge(lq, 4), enlarge(lq, 4)
    fine[::2], fine[1::2] = 108, 148
    coarse[:24], coarse[24:] = 108, 148
    assert lr_consistency(fine, lq) == 0
    assert lr_consistency(coarse, lq) == 20


def test_the_registered_one_is_lr_consistency_with_the_area_lr_of_hr():
    assert METRIC_REGISTRY.get("calculate_lr_consistency") is calculate_lr_consistency
    sr, hr = noise(seed=1), noise(seed=2)
    for scale in SCALES:
        assert metric(hr, hr, scale=scale) == 0
        assert metric(sr, hr, scale=scale) == lr_consistency(sr, area_reduce(hr, scale)) > 0


def test_it_grows_with_blur():
    hr = enlarge(noise(), 2)
    errors = [metric(cv2.GaussianBlur(hr, (0, 0), sigma), hr, scale=2) for sigma in (0.5, 1, 2, 4)]
    assert errors[0] > 0 and errors == sorted(errors)


def test_the_border_is_left_out():
    hr = noise()
    sr = hr.copy()
    sr[:4], sr[-4:], sr[:, :4], sr[:, -4:] = 0, 0, 0, 0
    assert metric(sr, hr) > 0
    assert metric(sr, hr, crop_border=4) == 0
    sr[4, 4] = ~sr[4, 4]
    assert metric(sr, hr, crop_border=4) > 0


@pytest.mark.parametrize(
    "sr, lq",
    [
        (noise(48, 72), noise(12, 12)),  # x4 by x6
        (noise(49, 72), noise(12, 18)),
        (noise(12, 18), noise(24, 36)),
        (noise(48, 72), noise(12, 18)[..., 0]),
        (noise(48, 72) / 255, noise(12, 18)),
        (noise(48, 72), noise(0, 18)),
    ],
)
def test_shapes_that_do_not_fit_are_one_line(sr, lq):
    with pytest.raises(UserError) as error:
        lr_consistency(sr, lq)
    assert "shape" in str(error.value) and "\n" not in str(error.value)


@pytest.mark.parametrize(
    "size, crop_border, scale, line",
    [
        ((48, 72), 2, 4, "scale 4 must divide crop_border \\(2\\)"),
        ((48, 71), 0, 4, "71x48"),
        ((48, 72), 0, 0, "scale 0"),
        ((48, 72), 24, 4, "crop_border 24 does not fit an image of 72x48"),
        ((48, 72), -4, 4, "crop_border -4"),
    ],
)
def test_options_that_do_not_fit_are_one_line(size, crop_border, scale, line):
    with pytest.raises(UserError, match=line):
        metric(noise(*size), noise(*size), crop_border=crop_border, scale=scale)


def test_images_of_two_shapes_are_refused():
    with pytest.raises(UserError, match="differ in shape"):
        metric(noise(48, 72), noise(72, 48))


@pytest.mark.parametrize("k", [2, 4, 8])
def test_real_tissue(shared, k):
    """HR fits its own area LR exactly and its bicubic LR closely; smooth interpolation fits neither as well."""
    for path in sorted((shared / "data/monuseg/images").glob("*.png"))[:4]:
        hr = read_rgb(path)[:960, :960]
        area, bicubic = (reduce_patch(hr, k, kernel=kernel) for kernel in ("area", "bicubic"))
        smooth = cv2.resize(area, (960, 960), interpolation=cv2.INTER_CUBIC)
        assert lr_consistency(hr, area) == 0
        assert 0 < lr_consistency(hr, bicubic) < 4
        assert 0.2 < lr_consistency(smooth, area) == metric(smooth, hr, scale=k) < 8
