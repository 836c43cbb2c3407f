"""The quality filter: what it rejects, and that it accepts real tissue in focus."""

import cv2
import numpy as np
import pytest

from datasets_prep.common.errors import UserError
from datasets_prep.patches.grid import grid
from datasets_prep.patches.options import QualityFilter
from datasets_prep.patches.quality import find_flaw, saturation, sharpness
from datasets_prep.slides.tiles import read_rgb
from datasets_prep.synthetic.image import synthesize


def test_glass_black_and_blur_are_told_from_tissue():
    tissue = synthesize(192, 192, seed=0)[0]
    rng = np.random.default_rng(0)
    quality = QualityFilter()
    assert find_flaw(tissue, quality) is None
    assert find_flaw(rng.integers(238, 246, (192, 192, 3), dtype=np.uint8), quality) == "pale"
    assert find_flaw(rng.integers(0, 30, (192, 192, 3), dtype=np.uint8), quality) == "black"
    assert find_flaw(cv2.GaussianBlur(tissue, (0, 0), 4), quality) == "blurred"
    assert find_flaw(cv2.GaussianBlur(tissue, (0, 0), 4), QualityFilter(min_sharpness=0)) is None


def test_saturation_and_sharpness_by_hand():
    rgb = np.zeros((4, 4, 3), np.uint8)
    rgb[:2] = (200, 100, 100)  # S = 1/2
    rgb[2:] = 77  # S = 0
    assert saturation(rgb) == pytest.approx(0.25, abs=0.002)
    assert sharpness(rgb[2:]) == 0
    grey = np.zeros((5, 5, 3), np.uint8)
    grey[2, 2] = 10
    kernel = np.zeros((5, 5))
    kernel[2, 2], kernel[1, 2], kernel[3, 2], kernel[2, 1], kernel[2, 3] = -40, 10, 10, 10, 10
    assert sharpness(grey) == pytest.approx(kernel.var())


def test_no_real_tissue_in_focus_is_refused(shared):
    quality = QualityFilter()
    for path in sorted((shared / "data/monuseg/images").glob("*.png")):
        rgb = read_rgb(path)
        for x, y in grid(rgb.shape[1], rgb.shape[0], patch_size=192):
            assert find_flaw(rgb[y : y + 192, x : x + 192], quality) in (None, "pale"), (path.name, x, y)


@pytest.mark.parametrize("options", [{"min_saturation": 1.0}, {"min_saturation": -0.1}, {"min_sharpness": -1}])
def test_shares_out_of_range_are_refused(options):
    with pytest.raises(UserError):
        QualityFilter(**options)
