import cv2
import numpy as np
import pytest
from skimage.draw import ellipse
from skimage.measure import regionprops_table

from mihatp_arch.inference.nuclei.morphometry import FEATURES, joined, measure
from mihatp_arch.metrics.stain import hematoxylin
from mihatp_arch.nuclei.outlines import outline

MPP = 0.25


@pytest.fixture(scope="module")
def image():
    """Three nuclei, the second one without a neighbour number, and noisy colours."""
    labels = np.zeros((120, 160), np.int32)
    labels[ellipse(30, 30, 9, 17, rotation=0.4)] = 3
    labels[ellipse(80, 100, 12, 12)] = 1
    labels[90:110, 20:24] = labels[106:110, 20:50] = 7  # an L: it is not convex
    return labels, np.random.default_rng(0).integers(40, 230, (120, 160, 3), dtype=np.uint8)


def test_the_features_are_those_of_scikit_image(image):
    labels, rgb = image
    nuclei = measure(labels, rgb, mpp=MPP)
    wanted = ("label", "centroid", "area", "perimeter", "eccentricity", "solidity")
    table = regionprops_table(labels, properties=wanted)
    assert table["label"].tolist() == [1, 3, 7]
    np.testing.assert_allclose(nuclei.features["area"], table["area"] * MPP**2)
    np.testing.assert_allclose(nuclei.features["eccentricity"], table["eccentricity"], atol=1e-6)
    np.testing.assert_allclose(nuclei.features["perimeter"], table["perimeter"] * MPP, rtol=0.06)
    np.testing.assert_allclose(nuclei.features["solidity"], table["solidity"], atol=0.03)
    np.testing.assert_allclose(nuclei.centres, np.stack([table["centroid-1"], table["centroid-0"]], 1) * MPP + MPP / 2)
    density = hematoxylin(rgb[..., ::-1])
    for number, mean, deviation in zip(
        (1, 3, 7), nuclei.features["hematoxylin"], nuclei.features["texture"], strict=True
    ):
        assert mean == pytest.approx(density[labels == number].mean())
        assert deviation == pytest.approx(density[labels == number].std())


def test_outlines_enclose_the_nuclei(image):
    labels, rgb = image
    nuclei = measure(labels, rgb, mpp=MPP, corner=(100, 200))
    for points, area, centre in zip(nuclei.outlines, nuclei.features["area"], nuclei.centres, strict=True):
        assert cv2.contourArea(points) == pytest.approx(area, rel=0.02)
        assert cv2.pointPolygonTest(points, tuple(map(float, centre)), False) > 0 or area < 15  # that of the L is not
    assert (nuclei.centres > (100, 200)).all()


def test_types_are_those_of_most_pixels(image):
    labels, rgb = image
    types = np.where(labels == 3, 2, 0).astype(np.uint8)
    types[labels == 1] = 1
    assert measure(labels, rgb, mpp=MPP, types=types).types.tolist() == [1, 2, 0]


def test_a_nucleus_of_one_pixel_has_all_features():
    labels = np.zeros((5, 5), np.int32)
    labels[2, 2] = 9
    nuclei = measure(labels, np.full((5, 5, 3), 128, np.uint8), mpp=1)
    assert nuclei.features["area"].tolist() == [1]
    assert all(np.isfinite(nuclei.features[name]).all() for name in FEATURES)
    assert len(outline(labels == 9)) >= 3


def test_no_nuclei():
    nuclei = measure(np.zeros((4, 4), np.int32), np.zeros((4, 4, 3), np.uint8), mpp=1)
    assert len(nuclei) == len(joined([nuclei, nuclei])) == 0


def test_two_sizes_are_a_fault():
    with pytest.raises(ValueError, match="label map of"):
        measure(np.zeros((4, 4), np.int32), np.zeros((4, 5, 3), np.uint8), mpp=1)


def test_a_ragged_hole_is_not_the_outline():
    """The hole, a comb, has more points than the square around it."""
    mask = np.ones((41, 41), bool)
    mask[2:39, 3:38:2] = False
    mask[20, 3:38] = False
    assert cv2.contourArea(outline(mask)) == pytest.approx(41 * 41, abs=2)
