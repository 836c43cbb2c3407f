"""Pen marks and black are found, and H&E is not mistaken for them."""

import cv2
import numpy as np
import pytest

from datasets_prep.common.downscale import area_reduce
from datasets_prep.slides.tiles import read_rgb
from datasets_prep.synthetic.image import synthesize
from datasets_prep.tissue.pen_marks import find_artefacts

INKS = {
    "blue": (48, 74, 178),
    "bright blue": (40, 60, 200),
    "green": (52, 150, 84),
    "dark green": (15, 70, 40),
    "cyan": (40, 180, 210),
    "teal": (20, 110, 110),
    "black": (26, 25, 30),
    "brown black": (45, 35, 30),
    "grey": (70, 70, 75),
    "dark navy": (15, 20, 55),
}
ON_GLASS = {"violet": (90, 40, 170), "pale blue": (150, 185, 235), "red": (210, 40, 40), "orange": (230, 110, 30)}


def glass(height, width, *, seed=0):
    rng = np.random.default_rng(seed)
    return np.clip(rng.normal(242, 2, (height, width, 3)), 0, 255).astype(np.uint8)


@pytest.fixture(scope="module")
def texture():
    """64×64 pixels of synthetic tissue at 1/16."""
    return area_reduce(synthesize(1024, 1024, seed=3)[0], 16)


def drawn(rgb, ink, *, thick):
    """The image with a soft diagonal stroke of ink, and the share of each pixel that the stroke covers."""
    height, width, _ = rgb.shape
    stroke = np.zeros((height, width), np.float32)
    cv2.line(stroke, (0, height // 3), (width, 2 * height // 3), 1, thick, cv2.LINE_AA)
    stroke = cv2.GaussianBlur(stroke, (0, 0), 0.7)
    light = rgb * (1 - stroke[..., None] * (1 - np.array(ink) / 255))
    noise = np.random.default_rng(1).normal(0, 2, light.shape)
    return np.clip(light + noise, 0, 255).astype(np.uint8), stroke


def assert_found(rgb, ink, *, thick=12):
    rgb, stroke = drawn(rgb, ink, thick=thick)
    artefacts = find_artefacts(rgb, scale=(16, 16))
    assert artefacts.either[stroke > 0.9].mean() > 0.95
    away = cv2.dilate((stroke > 0.02).astype(np.uint8), np.ones((5, 5), np.uint8)) == 0
    assert away.mean() > 0.3
    assert not artefacts.either[away].any()
    return artefacts


@pytest.mark.parametrize("name", INKS)
def test_ink_is_found_on_glass_and_over_tissue(texture, name):
    assert_found(glass(64, 64), INKS[name])
    assert_found(texture, INKS[name])


@pytest.mark.parametrize("name", ON_GLASS)
def test_pale_and_warm_ink_is_found_on_glass(name):
    assert not assert_found(glass(64, 64), ON_GLASS[name]).black.any()


def test_ink_counts_as_pen_and_black_as_black():
    green = assert_found(glass(64, 64), INKS["green"])
    assert green.pen.any() and not green.black.any()
    black = assert_found(glass(64, 64), INKS["black"])
    assert black.black.any() and not black.pen.any()


def test_a_finer_picture_gives_the_same_artefacts_at_its_own_size():
    coarse, _ = drawn(glass(61, 83), INKS["blue"], thick=8)
    fine = coarse.repeat(4, 0).repeat(4, 1)
    expected = find_artefacts(coarse, scale=(16, 16)).pen.repeat(4, 0).repeat(4, 1)
    np.testing.assert_array_equal(find_artefacts(fine, scale=(4, 4)).pen, expected)
    cut = find_artefacts(fine[:-3, :-2], scale=(4, 4)).pen  # the last cells are incomplete
    np.testing.assert_array_equal(cut, expected[:-3, :-2])


@pytest.mark.parametrize("noise", [0, 3, 8])
@pytest.mark.parametrize("scale", [4, 16, 64])
def test_black_canvas_with_jpeg_noise_is_black(noise, scale):
    rgb = glass(128, 160)
    rgb[:, 96:] = np.clip(np.random.default_rng(0).normal(0, noise, (128, 64, 3)), 0, 255)
    done, data = cv2.imencode(".jpg", rgb, [cv2.IMWRITE_JPEG_QUALITY, 60])
    assert done
    artefacts = find_artefacts(np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR), np.uint8), scale=(scale, scale))
    edge = 3 * max(1, 16 // scale)
    assert artefacts.black[:, 96:].all()
    assert not artefacts.either[:, : 96 - edge].any()


def test_specks_and_glass_are_no_artefacts():
    rgb = glass(64, 64)
    rgb[10:12, 10:40] = 20  # 2 px thick
    rgb[30, 30] = (20, 40, 200)
    artefacts = find_artefacts(rgb, scale=(32, 32))
    assert not artefacts.either.any()
    rgb[10:13, 10:40] = 20
    assert find_artefacts(rgb, scale=(32, 32)).black[9:14, 10:40].all()  # 3 px, and its edges


@pytest.mark.parametrize("shape", [(0, 0), (0, 5), (1, 1), (1, 40), (2, 2)])
def test_tiny_pictures_have_maps_of_their_size(shape):
    for scale in (1, 16):
        artefacts = find_artefacts(np.full((*shape, 3), 200, np.uint8), scale=(scale, scale))
        assert artefacts.pen.shape == artefacts.black.shape == shape
        assert not artefacts.either.any()


@pytest.mark.parametrize("reduce", [1, 4, 16, 32])
def test_synthetic_tissue_twice_as_dense_is_no_mark(reduce):
    for seed in range(3):
        rgb = synthesize(512, 512, seed=seed)[0]
        dense = np.rint(245 * (np.minimum(rgb, 245) / 245.0) ** 2).astype(np.uint8)
        assert not find_artefacts(area_reduce(dense, reduce), scale=(reduce, reduce)).either.any()


def test_real_tissue_is_no_mark(shared):
    paths = sorted((shared / "data/monuseg/images").glob("*.png"))
    assert paths
    for path in paths:
        rgb = read_rgb(path)
        for reduce in (4, 16, 32):
            side = 1000 // reduce * reduce
            artefacts = find_artefacts(area_reduce(rgb[:side, :side], reduce), scale=(reduce, reduce))
            assert artefacts.either.mean() < 0.005, (path.name, reduce)
