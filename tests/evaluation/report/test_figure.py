"""The side-by-side picture: every image and its crop where they belong; the plots have what they are told."""

from dataclasses import replace

import cv2
import numpy as np
import pytest

from mihatp_arch.evaluation.report import plots
from mihatp_arch.evaluation.report.figure import Patch, draw_crops, enlarged, worst_crop
from mihatp_arch.evaluation.results.cost import Cost
from mihatp_arch.evaluation.results.differences import Difference
from mihatp_arch.evaluation.results.statistics import Facts, MethodResult


def flat_with_detail(width: int, y: int, x: int, size: int) -> np.ndarray:
    """Grey, but for a checkerboard at (y, x)."""
    image = np.full((width, width, 3), 128, np.uint8)
    rows, columns = np.indices((size, size))
    image[y : y + size, x : x + size] = np.where((rows + columns) % 2, 255, 0)[..., None]
    return image


@pytest.mark.parametrize("at", [(0, 0), (64, 32), (128, 128), (96, 0)])
def test_the_crop_is_where_the_error_is(at):
    detail = flat_with_detail(192, *at, 64)
    assert worst_crop(np.square(detail.astype(float) - 128).mean(-1), 64) == at


def test_the_crop_stays_inside_an_image_that_is_not_square():
    y, x = worst_crop(np.random.default_rng(0).random((70, 150)), 64)
    assert 0 <= y <= 70 - 64 and 0 <= x <= 150 - 64


def test_the_crop_may_be_the_whole_image():
    assert worst_crop(np.ones((64, 64)), 64) == (0, 0)


def test_pixels_are_repeated_not_blended():
    small = np.arange(12, dtype=np.uint8).reshape(2, 2, 3)
    large = enlarged(small, 8)
    assert large.shape == (8, 8, 3)
    for y in range(8):
        for x in range(8):
            assert (large[y, x] == small[y // 4, x // 4]).all()
    np.testing.assert_array_equal(enlarged(large, 8), large)


def drawn(path, *patches: Patch) -> np.ndarray:
    draw_crops(patches, path)
    return cv2.imread(str(path))


@pytest.mark.parametrize("width", [64, 192])
def test_a_row_for_each_patch_and_a_column_for_each_image(tmp_path, width):
    gt = np.zeros((width, width, 3), np.uint8)
    gt[...] = (200, 30, 30)  # BGR: blue
    images = {"LR x4": gt[::4, ::4], "HAT": gt, "HR": gt}
    patches = [Patch(title, images, {"HAT": "30.00 dB"}) for title in ("worst", "best")]
    figure = drawn(tmp_path / "figure.png", *patches)
    blue = (figure == (200, 30, 30)).all(-1)
    for row in np.array_split(blue, 2, axis=0):
        for cell in np.array_split(row, 4, axis=1):
            assert cell.mean() > 0.4
    yellow = (figure == (0, 255, 255)).all(-1)  # the frame, on the whole patch in the first column alone
    quarter = figure.shape[1] // 4
    assert yellow[:, :quarter].any()
    assert not yellow[:, quarter:].any()


def test_the_crop_shows_the_same_place_of_every_method(tmp_path):
    """Detail in the lower right of HR; a method that lacks it shows plain grey there."""
    gt = flat_with_detail(192, 128, 128, 64)
    figure = drawn(tmp_path / "figure.png", Patch("x", {"none": np.full_like(gt, 128), "HR": gt}, {}))
    _, middle, right = np.array_split(cv2.cvtColor(figure, cv2.COLOR_BGR2GRAY), 3, axis=1)
    height, width = middle.shape
    inside = np.s_[height // 2 : 2 * height // 3, width // 3 : 2 * width // 3]
    assert (middle[inside] == 128).all()
    assert right[inside].std() > 30


def test_plots_are_drawn_with_and_without_a_network(tmp_path):
    lines = [
        MethodResult("bicubic", {"psnr": (26.0, 0.5)}, {}, {}),
        MethodResult("HAT", {"psnr": (28.0, 0.5)}, {}, {}, facts=Facts(cost=Cost(100, 0, 1.5, 20.0, 3.0))),
    ]
    both, one = tmp_path / "both.png", tmp_path / "one.png"
    plots.quality_against_cost(lines, both, baseline=None)
    plots.quality_against_cost(lines[:1], one, baseline=None)
    assert cv2.imread(str(both)).shape == cv2.imread(str(one)).shape
    assert (cv2.imread(str(both)) != cv2.imread(str(one))).any()


def test_the_plot_of_cost_shows_the_paired_difference_and_not_the_spread_of_the_sets(tmp_path):
    """Another spread of the sets changes nothing; another interval does."""

    def drawn(name: str, *, sd: float, low: float) -> np.ndarray:
        over = Difference(0.5, (low, 0.9), 0.01, 0.01, 1.0, 8)
        cost = Facts(cost=Cost(100, 0, 1.5, 20.0, 3.0))
        lines = [
            MethodResult("bicubic", {"psnr": (26.0, sd)}, {}, {}),
            MethodResult("HAT", {"psnr": (28.0, sd)}, {}, {}, over, facts=cost),
            MethodResult("SwinIR", {"psnr": (28.0, sd)}, {}, {}, replace(over, interval=None), facts=cost),
        ]
        plots.quality_against_cost(lines, tmp_path / name, baseline="bicubic")
        return cv2.imread(str(tmp_path / name))

    first = drawn("a.png", sd=0.5, low=0.1)
    assert (drawn("b.png", sd=2.0, low=0.1) == first).all()
    assert (drawn("c.png", sd=0.5, low=0.4) != first).any()


def test_the_sweep_has_a_panel_for_each_parameter(tmp_path):
    curves = {"tau": [(0.5, 26.0, 0.7), (0.05, 27.0, 0.8)], "beta": [(0.01, 27.0, 0.8)]}
    widths = {}
    for names in (("tau",), ("tau", "beta")):
        path = tmp_path / f"{len(names)}.png"
        plots.sweep({name: curves[name] for name in names}, path, chosen={"tau": 0.05})
        widths[len(names)] = cv2.imread(str(path)).shape[1]
    assert widths[2] == 2 * widths[1]
