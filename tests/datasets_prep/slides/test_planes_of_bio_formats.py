"""TIFFs of `bfconvert -compression JPEG`: planes of R, G and B whose tag says YCbCr."""

import numpy as np
import pytest
import tifffile

from datasets_prep.common.read_tiff import read_tiff
from datasets_prep.slides.open import open_slide
from datasets_prep.synthetic.image import synthesize


@pytest.fixture
def written(tmp_path):
    """Such a file with a level of half the size, and the pixels of its level 0."""
    path = tmp_path / "a.ome.tif"
    planes = np.moveaxis(synthesize(300, 400, seed=3)[0], 2, 0)
    tiles = {"photometric": "rgb", "planarconfig": "separate", "tile": (128, 128), "compression": "jpeg"}
    with tifffile.TiffWriter(path, ome=True) as file:
        size = {"PhysicalSizeX": 0.25, "PhysicalSizeXUnit": "µm", "PhysicalSizeY": 0.25, "PhysicalSizeYUnit": "µm"}
        file.write(planes, subifds=1, metadata={"axes": "CYX", **size}, **tiles)
        file.write(planes[:, ::2, ::2], subfiletype=1, **tiles)
    pixels = tifffile.imread(path)
    with tifffile.TiffFile(path, mode="r+b") as file:
        main = file.pages.first
        for page in (main, *(main.pages or [])):
            assert page.aspage().tags["PhotometricInterpretation"].value == tifffile.PHOTOMETRIC.RGB
            page.aspage().tags["PhotometricInterpretation"].overwrite(tifffile.PHOTOMETRIC.YCBCR)
    return path, np.moveaxis(pixels, 0, 2)


def test_a_slide_has_the_colours_of_its_planes(written):
    path, pixels = written
    with open_slide(path) as slide:
        assert slide.level_sizes == ((400, 300), (200, 150))
        np.testing.assert_array_equal(slide.read(0, 0, 400, 300), pixels)
        assert np.abs(slide.read(0, 0, 200, 150, level=1) - pixels[::2, ::2].astype(int)).mean() < 8


def test_a_picture_has_the_colours_of_its_planes(written):
    path, pixels = written
    np.testing.assert_array_equal(np.asarray(read_tiff(path, largest=10**6)), pixels)
