"""Red ink is taken out of the tissue; blood and eosin are not."""

import runpy
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from datasets_prep.slides.tiles import read_rgb
from datasets_prep.tissue.pen_marks import find_artefacts
from datasets_prep.tissue.red_ink import find_red_ink

BENCHMARK = Path(__file__).parents[3] / "benchmarks" / "tissue" / "pen_marks.py"
CRIMSON, BLOOD = (180, 40, 80), (150, 36, 42)


@pytest.fixture(scope="module")
def measure():
    return runpy.run_path(str(BENCHMARK))["measure"]


@pytest.fixture
def tiles(shared):
    return [read_rgb(path) for path in sorted((shared / "data/monuseg/images").glob("*.png"))]


@pytest.mark.slow
@pytest.mark.parametrize(("reduce", "overviews"), [(16, 6), (32, 16), (64, 24)])
def test_strokes_are_found_and_tissue_is_not_lost(measure, tiles, reduce, overviews):
    found, area = Counter(), Counter()
    for seed in range(100, 100 + overviews):
        for name, (pixels, of) in measure(tiles, reduce, seed).items():
            found[name] += pixels
            area[name] += of
    shares = {name: found[name] / area[name] for name in area}
    assert shares["stroke on glass"] > 0.8 and shares["stroke on tissue"] > 0.8, shares
    assert shares["haemorrhage"] < 0.02 and shares["eosin-rich tissue"] < 0.02, shares
    assert shares["tissue"] < 0.005 and shares["tissue beside a stroke"] < 0.005, shares


def drawn(shape, colour):
    """An overview of glass with an area of one colour."""
    rgb = np.full((*shape.shape, 3), 243, np.uint8)
    rgb[shape] = colour
    return rgb


def test_the_shape_decides_where_the_colour_cannot():
    """Crimson ink has the colour of dense eosin: a stroke of it is ink, a blot is tissue."""
    y, x = np.mgrid[:120, :120]
    line, ring = abs(x - y) < 9, abs(np.hypot(x - 60, y - 60) - 40) < 6
    blot = np.hypot(x - 60, y - 60) < 30
    for shape, is_ink in ((line, True), (ring, True), (blot, False)):
        for colour in (CRIMSON, BLOOD):
            found = find_artefacts(drawn(shape, colour), scale=(16, 16)).pen
            assert found[shape].mean() > 0.95 if is_ink else not found.any()
            assert not found[np.hypot(x - 60, y - 60) > 58].any() or shape is line


def test_thin_lines_are_vessels():
    _, x = np.mgrid[:120, :120]
    assert not find_artefacts(drawn(abs(x - 60) < 3, CRIMSON), scale=(16, 16)).either.any()  # 5 px: 20 µm
    assert find_artefacts(drawn(abs(x - 60) < 5, CRIMSON), scale=(16, 16)).pen.any()  # 9 px: 36 µm


def test_nothing_red_is_nothing_found():
    assert not find_red_ink(np.zeros((5, 7, 3), np.float32), least_width=3).any()
