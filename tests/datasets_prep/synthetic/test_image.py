"""Procedural H&E: the label map is exact, the image is stained, everything follows from the seed."""

import numpy as np
import pytest
from skimage.color import rgb2hed
from skimage.measure import label, regionprops

from datasets_prep.common.downscale import area_reduce
from datasets_prep.common.errors import UserError
from datasets_prep.synthetic.image import synthesize


@pytest.fixture(scope="module")
def scene():
    return synthesize(512, 512, seed=11)


def test_shapes_types_and_determinism(scene):
    rgb, instances = scene
    assert rgb.shape == (512, 512, 3) and rgb.dtype == np.uint8
    assert instances.shape == (512, 512) and instances.dtype == np.uint16
    again = synthesize(512, 512, seed=11)
    np.testing.assert_array_equal(rgb, again[0])
    np.testing.assert_array_equal(instances, again[1])
    assert (synthesize(512, 512, seed=12)[0] != rgb).mean() > 0.5


@pytest.mark.parametrize("seed", range(4))
def test_labels_are_the_dark_nuclei(seed):
    rgb, instances = synthesize(384, 384, seed=seed)
    hematoxylin = rgb2hed(rgb)[..., 0]
    inside, outside = hematoxylin[instances > 0], hematoxylin[instances == 0]
    assert inside.mean() > outside.mean() + 2 * outside.std()
    for region in regionprops(instances, intensity_image=hematoxylin):
        if region.area > 100:
            assert region.intensity_mean > outside.mean() + outside.std()


def test_label_edges_are_image_edges(scene):
    """Labels that are shifted by two pixels fit the stain of the image less well than labels without a shift."""
    rgb, instances = scene
    red = rgb[..., 0].astype(float)  # hematoxylin absorbs red, eosin absorbs almost none
    nuclei = (instances > 0).astype(float)

    def agreement(dy, dx):
        return -np.corrcoef(np.roll(nuclei, (dy, dx), (0, 1))[8:-8, 8:-8].ravel(), red[8:-8, 8:-8].ravel())[0, 1]

    here = agreement(0, 0)
    assert all(here > agreement(dy, dx) for dy in (-2, 0, 2) for dx in (-2, 0, 2) if (dy, dx) != (0, 0))


def test_nuclei_have_the_size_of_nuclei_and_each_its_own_number(scene):
    _, instances = scene
    numbers = np.unique(instances)
    np.testing.assert_array_equal(numbers, np.arange(len(numbers)))
    assert len(numbers) > 60
    inner = [
        region
        for region in regionprops(instances)
        if min(region.bbox[:2]) > 0 and max(region.bbox[2:]) < 512 and region.area > 20
    ]
    lengths = np.array([region.axis_major_length for region in inner])
    assert lengths.min() > 18 and lengths.max() < 50
    whole = [label(region.image, connectivity=2).max() == 1 for region in inner]
    assert np.mean(whole) > 0.98


def test_looks_stained_and_has_glass_and_detail(scene):
    rgb, _ = scene
    red, green, blue = rgb.reshape(-1, 3).mean(axis=0)
    assert red > green + 20 and blue > green + 20  # pink and purple
    assert 0.005 < (rgb.min(axis=2) > 225).mean() < 0.5
    detail = rgb.astype(float) - area_reduce(rgb, 4).repeat(4, 0).repeat(4, 1)
    assert detail.std() > 5


@pytest.mark.parametrize(("height", "width"), [(1, 1), (1, 40), (33, 7), (64, 500)])
def test_any_size(height, width):
    rgb, instances = synthesize(height, width, seed=5)
    assert rgb.shape == (height, width, 3) and instances.shape == (height, width)


@pytest.mark.parametrize(("height", "width"), [(0, 10), (10, -1), (10, 5000)])
def test_impossible_sizes_are_refused(height, width):
    with pytest.raises(UserError, match="1 to 4096"):
        synthesize(height, width, seed=0)
