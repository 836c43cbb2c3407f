"""CLAM's steps against results that are counted by hand."""

from dataclasses import replace

import cv2
import numpy as np
import pytest

from datasets_prep.common.errors import UserError
from datasets_prep.tissue.clam import clam_regions
from datasets_prep.tissue.presets import PRESETS, Preset
from datasets_prep.tissue.segmentation import find_tissue, tissue_from_regions

PLAIN = replace(PRESETS["tcga"], median=1, close=0)  # no filter, so that rectangles stay rectangles
SCALE = (64.0, 64.0)  # the unit is 64 px of the picture: a region must be larger than 1024 px, a hole than 256 px
PINK = (200, 100, 150)


def picture(height, width, *boxes, holes=()):
    """A white image with pink boxes (x, y, width, height), and white boxes in them."""
    rgb = np.full((height, width, 3), 255, np.uint8)
    for colour, places in ((PINK, boxes), (255, holes)):
        for x, y, w, h in places:
            rgb[y : y + h, x : x + w] = colour
    return rgb


def test_the_presets_are_clams():
    names = ("threshold", "median", "close", "otsu", "tissue_area", "hole_area", "max_holes")
    assert {key: tuple(getattr(preset, name) for name in names) for key, preset in PRESETS.items()} == {
        "clam-default": (8, 7, 4, False, 100, 16, 8),
        "tcga": (8, 7, 4, False, 16, 4, 8),
        "biopsy": (15, 11, 2, False, 1, 1, 2),
        "resection": (15, 11, 4, False, 100, 16, 8),
    }


def slow_binary(rgb, preset):
    """Saturation, median, threshold and closing in plain NumPy; only the saturation comes from OpenCV's rounding."""
    saturation = cv2.cvtColor(rgb, cv2.COLOR_RGB2HSV)[..., 1]
    half = preset.median // 2
    windows = np.lib.stride_tricks.sliding_window_view(np.pad(saturation, half, mode="edge"), (preset.median,) * 2)
    binary = np.median(windows, axis=(2, 3)) > preset.threshold
    side = preset.close
    if side:
        before, after = side // 2, side - 1 - side // 2  # the anchor of a square of even side is right of its middle
        for pick, outside in ((np.max, False), (np.min, True)):
            padded = np.pad(binary, ((before, after), (before, after)), constant_values=outside)
            binary = pick(np.lib.stride_tricks.sliding_window_view(padded, (side, side)), axis=(2, 3))
    return binary


def blobs(seed, *, height=90, width=120):
    """Random pale and pink blobs on white, with holes."""
    noise = cv2.GaussianBlur(np.random.default_rng(seed).standard_normal((height, width)), (0, 0), 3.5)
    strength = np.clip(noise / noise.std() + 0.9, 0, 1)[..., None]
    return np.rint(255 - strength * (255 - np.array(PINK)) * 0.3).astype(np.uint8)


@pytest.mark.parametrize(("median", "close"), [(7, 4), (11, 2), (3, 3), (5, 0)])
@pytest.mark.parametrize("scale", [(1.0, 1.0), (2.0004, 2.0006), (31.7, 16.0)])
def test_regions_are_what_the_steps_written_out_leave(median, close, scale):
    every = Preset(threshold=8, median=median, close=close, tissue_area=0, hole_area=0, max_holes=10**6)
    holes = 0
    for seed in range(3):
        rgb = blobs(seed)
        expected = slow_binary(rgb, every)
        assert 0.1 < expected.mean() < 0.9
        regions = clam_regions(rgb, scale=scale, preset=every)
        holes += sum(len(region.holes) for region in regions)
        mask = tissue_from_regions(regions, rgb=rgb, scale=scale, remove_artefacts=False).mask
        _, labels, boxes, _ = cv2.connectedComponentsWithStats(expected.astype(np.uint8))
        lines = boxes[:, 2:4].min(axis=1) < 2  # they have no area, so they are no region
        np.testing.assert_array_equal(mask, expected & ~lines[labels])
    assert holes > 3


@pytest.mark.parametrize(
    ("box", "scale", "kept"),
    [
        ((5, 5, 33, 33), SCALE, False),  # 32·32 = 1024 px between the centres of the border: not larger
        ((5, 5, 33, 34), SCALE, True),
        ((5, 5, 65, 33), (64.0, 32.0), False),  # the unit is 128 px
        ((5, 5, 65, 34), (64.0, 32.0), True),
        ((5, 5, 27, 65), (50.0, 50.0), False),  # the unit is 104 px, truncated from 104.86
        ((5, 5, 38, 46), (50.0, 50.0), True),  # 37·45 = 1665 lies between 16·104 and 16·104.86
    ],
)
def test_a_region_must_be_larger_than_its_threshold(box, scale, kept):
    assert len(clam_regions(picture(90, 90, box), scale=scale, preset=PLAIN)) == kept


def test_all_holes_are_taken_from_the_area():
    solid = clam_regions(picture(60, 60, (5, 5, 40, 40)), scale=SCALE, preset=PLAIN)  # 39·39 = 1521
    assert [region.holes for region in solid] == [()]
    # The outline of a hole runs on the tissue around it, without the corners: 32·8 - 2 = 254 px, too small to
    # stay a hole; 1521 - 254 is enough, 1521 - 2·254 is not.
    one = picture(60, 60, (5, 5, 40, 40), holes=[(8, 8, 31, 7)])
    assert [region.holes for region in clam_regions(one, scale=SCALE, preset=PLAIN)] == [()]
    two = picture(60, 60, (5, 5, 40, 40), holes=[(8, 8, 31, 7), (8, 20, 31, 7)])
    assert not clam_regions(two, scale=SCALE, preset=PLAIN)


def test_the_largest_holes_stay_and_each_must_be_larger_than_its_threshold():
    sides = [20, 14, 30, 17, 16, 25, 15, 22, 18, 19, 27, 14]  # (s+1)²-2: 14 gives 223, 15 gives 254, 16 gives 287
    places = [(5 + 40 * (i % 4), 5 + 40 * (i // 4), side, side) for i, side in enumerate(sides)]
    rgb = picture(130, 170, (0, 0, 170, 130), holes=places)

    def kept(max_holes):
        preset = replace(PLAIN, max_holes=max_holes)
        (region,) = clam_regions(rgb, scale=SCALE, preset=preset)
        return [round((np.ptp(hole[:, 0]) / 64) - 1) for hole in region.holes]

    assert kept(8) == [30, 27, 25, 22, 20, 19, 18, 17]
    assert kept(2) == [30, 27]
    assert kept(12) == [30, 27, 25, 22, 20, 19, 18, 17, 16]
    assert kept(0) == []


def test_saturation_must_be_larger_than_the_threshold():
    rgb = np.full((60, 60, 3), 255, np.uint8)
    rgb[:, :, 1] = 247  # S = 8
    assert not clam_regions(rgb, scale=SCALE, preset=PLAIN)
    rgb[:, :, 1] = 246
    assert len(clam_regions(rgb, scale=SCALE, preset=PLAIN)) == 1


def test_otsu_finds_the_threshold_itself():
    rgb = picture(80, 80, (10, 10, 50, 50))
    rgb[rgb[..., 1] == 255] = (255, 235, 245)  # S = 20
    plain, otsu = (clam_regions(rgb, scale=SCALE, preset=replace(PLAIN, otsu=otsu)) for otsu in (False, True))
    assert plain[0].outer.max() == 79 * 64
    assert (otsu[0].outer.min(), otsu[0].outer.max()) == (10 * 64, 59 * 64)


def test_coordinates_are_truncated_int32():
    scale = (4.7, 3.3)
    preset = replace(PLAIN, tissue_area=0)
    (region,) = clam_regions(picture(40, 40, (3, 9, 20, 20)), scale=scale, preset=preset)
    assert region.outer.dtype == np.int32
    xs, ys = np.array([3, 22]) * scale[0], np.array([9, 28]) * scale[1]
    assert {*region.outer[:, 0]} >= {int(xs[0]), int(xs[1])}
    assert (*region.outer.min(0), *region.outer.max(0)) == (int(xs[0]), int(ys[0]), int(xs[1]), int(ys[1]))


@pytest.mark.parametrize("shape", [(0, 0), (0, 9), (1, 1), (2, 300), (300, 300)])
@pytest.mark.parametrize("name", PRESETS)
def test_a_picture_without_tissue_has_none(shape, name):
    found = find_tissue(np.full((*shape, 3), 240, np.uint8), scale=SCALE, preset=name)
    assert found.regions == []
    assert found.mask.shape == found.artefacts.shape == shape
    assert not found.mask.any()
    assert (found.preset, found.pen_share, found.black_share) == (name, 0, 0)


def test_a_picture_of_tissue_alone_is_covered():
    found = find_tissue(picture(50, 70, (0, 0, 70, 50)), scale=SCALE)
    assert found.mask.all() and found.mask.dtype == np.uint8
    assert found.preset == "tcga"


def test_small_tissue_is_found_by_the_areas_of_biopsy():
    rgb = picture(60, 60, (20, 20, 20, 20))
    found = find_tissue(rgb, scale=SCALE)
    assert len(found.regions) == 1 and 350 < found.mask.sum() <= 400
    assert found.preset == "tcga with the areas of biopsy"
    without = find_tissue(rgb, scale=SCALE, fallback=False)
    assert (without.regions, without.preset) == ([], "tcga")
    assert find_tissue(rgb, scale=SCALE, preset="biopsy").preset == "biopsy"
    with pytest.raises(UserError, match="tcga, biopsy, resection"):
        find_tissue(rgb, scale=SCALE, preset="x")


def test_what_a_stroke_divides_is_measured_as_one():
    rgb = picture(60, 80, (5, 5, 34, 20), (45, 5, 33, 20), (5, 40, 30, 15))  # 627 px, 608 px and less
    ignore = np.zeros((60, 80), bool)
    ignore[10:20, 36:48] = True
    assert not clam_regions(rgb, scale=SCALE, preset=PLAIN)
    regions = clam_regions(rgb, scale=SCALE, preset=PLAIN, ignore=ignore)
    assert sorted(region.outer[:, 0].min() // 64 for region in regions) == [5, 45]
    mask = tissue_from_regions(regions, rgb=rgb, scale=SCALE, remove_artefacts=False).mask
    np.testing.assert_array_equal(mask[:40], (rgb[:40, :, 1] < 255) & ~ignore[:40])
    assert not mask[40:].any()
