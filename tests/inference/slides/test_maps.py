"""Trust maps: the values of the finished blocks, as pyramids and outlines for QuPath."""

import json

import numpy as np
import openslide
import pytest
import tifffile

from mihatp_arch.errors import UserError
from mihatp_arch.inference.slides.maps import GREY_PER_CODE, cell
from mihatp_arch.inference.slides.options import SlideOptions, TileOptions
from mihatp_arch.inference.slides.upscale_slide import upscale_slide


def upscaled(weights, slide, output, **options):
    from mihatp_arch.inference.slides.task import loaded

    tiles = TileOptions(tile=96, block=512, ensemble=True)
    options = SlideOptions(maps=True, lossless=True, **options)
    return upscale_slide(loaded(weights), slide, output, options=options, tiles=tiles, say=None, progress=False)


@pytest.fixture(scope="module")
def result(weights, slide, tmp_path_factory):
    return upscaled(weights, slide, tmp_path_factory.mktemp("maps") / "out.tif")


def test_the_files(result):
    names = ("inconsistency.tif", "inconsistency.geojson", "deviation.tif", "deviation.geojson")
    assert [path.name for path in result.maps] == [f"out.{name}" for name in names]
    assert all(path.exists() for path in result.maps)


def test_inconsistency_is_that_of_the_written_image(result, slide):
    with openslide.OpenSlide(slide) as lr_slide, openslide.OpenSlide(result.output) as sr_slide:
        lr = np.asarray(lr_slide.read_region((0, 0), 0, (700, 560)).convert("RGB")).astype(float)
        sr = np.asarray(sr_slide.read_region((0, 0), 0, (1400, 1120)).convert("RGB")).astype(float)
    missing = np.abs(sr.reshape(560, 2, 700, 2, 3).mean((1, 3)) - lr).mean(-1)
    side = cell(2)
    means = missing[:, : 700 // side * side].reshape(560 // side, side, 700 // side, side).mean((1, 3))
    grey = tifffile.imread(result.maps[0])
    assert grey.shape == (70, 88)
    # the written image is rounded to whole codes, and clipped
    assert np.abs(grey[:, : 700 // side] / GREY_PER_CODE - means).max() < 0.3


def test_a_pixel_of_the_map_has_its_size(result):
    with openslide.OpenSlide(result.maps[0]) as handle:
        assert float(handle.properties["openslide.mpp-x"]) == pytest.approx(0.25 * 16)
        assert "grey / 16 = code values" in handle.properties["tiff.ImageDescription"]


def test_the_worst_tiles_are_outlined(result):
    features = json.loads(result.maps[1].read_text())["features"]
    values = [float(feature["properties"]["name"].split()[1]) for feature in features]
    assert 0 < len(features) <= 20
    assert values == sorted(values, reverse=True)
    corners = np.array(features[0]["geometry"]["coordinates"][0])
    assert (corners[0] % 128 == 0).all()
    assert corners.min() >= 0
    assert (corners.max(axis=0) <= (1400, 1120)).all()
    assert features[0]["properties"]["classification"]["name"] == "largest inconsistency"


def test_only_maps_of_this_program_are_replaced(result, weights, slide, tmp_path):
    before = [path.read_bytes() for path in result.maps]
    assert upscaled(weights, slide, result.output, overwrite=True).maps == result.maps
    assert [path.read_bytes() for path in result.maps] == before
    (tmp_path / "out.deviation.geojson").write_text('{"type": "FeatureCollection"}')
    with pytest.raises(UserError, match=r"out\.deviation\.geojson is no file of this program"):
        upscaled(weights, slide, tmp_path / "out.tif")
    assert [path.name for path in tmp_path.iterdir()] == ["out.deviation.geojson"]


@pytest.mark.parametrize(("scale", "side"), [(2, 8), (3, 4), (4, 4), (8, 2), (16, 1), (32, 1)])
def test_a_pixel_of_a_map_has_about_16_px_of_the_output(scale, side):
    assert cell(scale) == side
