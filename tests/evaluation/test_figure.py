"""The side-by-side picture: every image and its crop where they belong."""

import cv2
import numpy as np
import pytest

from mihatp_arch.evaluation.figure import busiest_crop, side_by_side


def flat_with_detail(width: int, y: int, x: int, size: int) -> np.ndarray:
    """Grey, but for a checkerboard at (y, x)."""
    image = np.full((width, width, 3), 128, np.uint8)
    rows, columns = np.indices((size, size))
    image[y : y + size, x : x + size] = np.where((rows + columns) % 2, 255, 0)[..., None]
    return image


@pytest.mark.parametrize("at", [(0, 0), (64, 32), (128, 128), (96, 0)])
def test_the_crop_is_where_the_detail_is(at):
    assert busiest_crop(flat_with_detail(192, *at, 64), 64) == at


def test_the_crop_stays_inside_an_image_that_is_not_square():
    image = np.random.default_rng(0).integers(0, 256, (70, 150, 3), dtype=np.uint8)
    y, x = busiest_crop(image, 64)
    assert 0 <= y <= 70 - 64 and 0 <= x <= 150 - 64


def test_the_crop_may_be_the_whole_image():
    assert busiest_crop(flat_with_detail(64, 0, 0, 8), 64) == (0, 0)


@pytest.mark.parametrize("width", [64, 192])
def test_a_png_with_a_column_for_each_image(tmp_path, width):
    gt = np.zeros((width, width, 3), np.uint8)
    gt[...] = (200, 30, 30)  # BGR: blue
    images = {"LR x4": gt[::4, ::4], "HAT": gt, "HR": gt}
    side_by_side(images, {"HAT": "30.00 dB"}, tmp_path / "figure.png")
    figure = cv2.imread(str(tmp_path / "figure.png"))
    assert figure.shape == (int(4.9 * 150), round(2.1 * 3 * 150), 3)
    blue = (figure == (200, 30, 30)).all(-1)
    for third in np.array_split(blue, 3, axis=1):
        upper, lower = np.array_split(third, 2, axis=0)
        assert upper.mean() > 0.3 and lower.mean() > 0.3  # the image with its frame, and its crop
    yellow = (figure == (0, 255, 255)).all(-1)
    assert yellow[: figure.shape[0] // 2].any()
    assert not yellow[figure.shape[0] // 2 :].any()


def test_the_crop_shows_the_same_place_of_every_method(tmp_path):
    """Detail in the lower right of HR; a method that lacks it shows plain grey there."""
    gt = flat_with_detail(192, 128, 128, 64)
    side_by_side({"none": np.full_like(gt, 128), "HR": gt}, {}, tmp_path / "figure.png")
    figure = cv2.imread(str(tmp_path / "figure.png"), cv2.IMREAD_GRAYSCALE)
    lower_left, lower_right = np.array_split(figure[figure.shape[0] // 2 :], 2, axis=1)
    height, width = lower_left.shape
    inside = np.s_[height // 3 : 2 * height // 3, width // 3 : 2 * width // 3]
    assert (lower_left[inside] == 128).all()
    assert lower_right[inside].std() > 30
