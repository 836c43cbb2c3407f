"""Tissue segmentation on glass, under pen, beside a black border, inside outlines, and on a real slide."""

import cv2
import numpy as np
import pytest

from datasets_prep.common.downscale import area_reduce
from datasets_prep.slides.levels import overview
from datasets_prep.slides.open import open_slide
from datasets_prep.synthetic.image import synthesize
from datasets_prep.tissue.clam import Region, clam_regions
from datasets_prep.tissue.presets import PRESETS
from datasets_prep.tissue.segmentation import find_tissue, tissue_from_regions


@pytest.fixture(scope="module")
def scene():
    """An overview at 1/32 of tissue on glass, partly under pen and black, and the masks of tissue, pen and black."""
    rng = np.random.default_rng(0)
    texture = area_reduce(synthesize(1024, 1024, seed=5)[0], 32)
    texture = np.pad(texture, ((0, 224), (0, 288), (0, 0)), mode="symmetric")
    rgb = np.clip(rng.normal(242, 1.5, texture.shape), 0, 255)
    tissue = np.zeros(rgb.shape[:2], np.uint8)
    cv2.ellipse(tissue, (110, 128), (80, 105), 15, 0, 360, 1, -1)
    rgb[tissue > 0] = texture[tissue > 0]
    pen = np.zeros_like(tissue)
    for ink, start, end in (((48, 74, 178), (20, 20), (200, 50)), ((52, 150, 84), (150, 150), (270, 230))):
        stroke = np.zeros_like(tissue)
        cv2.line(stroke, start, end, 1, 9)
        rgb[stroke > 0] *= np.array(ink) / 255
        pen |= stroke
    black = np.zeros_like(tissue)
    cv2.line(black, (20, 205), (110, 250), 1, 8)
    rgb[black > 0] *= 0.11
    black[:, 290:] = 1
    rgb[:, 290:] = np.abs(rng.normal(0, 3, rgb[:, 290:].shape))
    return np.rint(rgb).astype(np.uint8), tissue, pen, black


def test_pen_and_black_are_no_tissue(scene):
    rgb, tissue, pen, black = scene
    found = find_tissue(rgb, scale=(32.0, 32.0))
    truth = (tissue > 0) & (pen == 0) & (black == 0)
    mask = found.mask > 0
    assert (mask & truth).sum() / (mask | truth).sum() >= 0.95
    assert found.artefacts[(pen | black) > 0].mean() > 0.99
    assert not (mask & ((pen | black) > 0)).any()
    assert abs(found.pen_share - pen.mean()) < 0.03
    assert abs(found.black_share - black.mean()) < 0.03


def test_clam_to_the_letter_takes_pen_and_black_for_tissue(scene):
    # This is why artefacts are removed by default: at 0 to 10, noise is fully saturated.
    rgb, _, pen, _ = scene
    found = find_tissue(rgb, scale=(32.0, 32.0), remove_artefacts=False)
    assert found.mask[pen > 0].mean() > 0.95
    assert found.mask[:, 292:].mean() > 0.95
    assert not found.artefacts.any() and found.pen_share == found.black_share == 0
    letter = clam_regions(rgb, scale=(32.0, 32.0), preset=PRESETS["tcga"])
    assert len(letter) == len(found.regions)
    for a, b in zip(letter, found.regions, strict=True):
        np.testing.assert_array_equal(a.outer, b.outer)


def test_outlined_tissue_is_filled_without_its_holes_and_artefacts(scene):
    rgb, *_ = scene
    box = np.array([[0, 0], [1600, 0], [1600, 3200], [0, 3200]], np.int32)
    hole = np.array([[320, 1600], [800, 1600], [800, 2080], [320, 2080]], np.int32)
    island = np.array([[480, 1760], [560, 1760], [560, 1840], [480, 1840]], np.int32)
    outside = np.array([[90000, 0], [99000, 0], [99000, 9000]], np.int32)
    regions = [Region(box, (hole,)), Region(island), Region(outside)]
    found = tissue_from_regions(regions, rgb=rgb, scale=(16.0, 16.0), remove_artefacts=False)
    expected = np.zeros(rgb.shape[:2], np.uint8)
    expected[:201, :101] = 1
    expected[101:130, 21:50] = 0  # the outline of the hole itself is tissue
    expected[110:116, 30:36] = 1
    np.testing.assert_array_equal(found.mask, expected)
    cleared = tissue_from_regions(regions, rgb=rgb, scale=(16.0, 16.0))
    np.testing.assert_array_equal(cleared.mask, expected & ~cleared.artefacts)
    assert cleared.artefacts.any() and cleared.pen_share > 0


def test_a_real_slide_has_tissue(shared):
    path = shared / "data/slides/tcga-cr-7395-01a-01-ts1.svs"
    with open_slide(path, assume_mpp=0.25) as slide:
        rgb, scale = overview(slide)
    found = find_tissue(rgb, scale=scale)
    assert found.preset == "tcga"
    assert 0.5 < found.mask.mean() < 0.8
    assert found.pen_share == found.black_share == 0
    # Glass and unscanned areas are outside, and almost all stained pixels are inside.
    assert rgb[found.mask == 0].mean() > 225
    stained = rgb[..., 1] < 150
    assert found.mask[stained].mean() > 0.99
