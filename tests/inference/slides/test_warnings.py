"""One line for each respect in which a slide is unlike the training; none for slides that are like it."""

import csv

import cv2
import numpy as np
import pytest
import tifffile
from PIL import Image

from datasets_prep.common.downscale import area_reduce
from datasets_prep.slides.open import open_slide
from datasets_prep.synthetic.image import synthesize
from mihatp_arch.inference.slides.job import prepare_job
from mihatp_arch.inference.slides.jpeg_quality import jpeg_quality
from mihatp_arch.inference.slides.options import SlideOptions, TileOptions
from mihatp_arch.inference.slides.plan import plan_slide, slide_tiling
from mihatp_arch.inference.slides.tissue import slide_tissue
from mihatp_arch.inference.slides.warnings import _SHARPEST_BLUR, _STAIN, sharpness, stain, warnings


class Picture:
    """An image in the role of a slide."""

    mpp_source = "assumed"

    def __init__(self, rgb, mpp):
        self.rgb, self.mpp = rgb, mpp
        self.level_sizes = ((rgb.shape[1], rgb.shape[0]),)

    def best_level_for_downsample(self, downsample):
        return 0

    def read(self, x, y, width, height, *, level=0):
        return self.rgb[y : y + height, x : x + width]


def warned(slide, *, scale=2, trained_mpp=0.25, to_mpp=0.25):
    plan = plan_slide(slide, scales=(scale,), to_mpp=to_mpp, force=True)
    tiling = slide_tiling(scale, tile=96, multiple=32)
    return list(warnings(slide, plan, tiling, slide_tissue(slide, plan, tiling), trained_mpp=trained_mpp))


@pytest.fixture(scope="module")
def tiles():
    from pathlib import Path

    folder = Path(__file__).resolve().parents[4] / "shared/data/monuseg"
    if not folder.is_dir():
        pytest.skip("no ../shared beside the checkout")
    with (folder / "manifest.csv").open() as file:
        return [np.asarray(Image.open(folder / row["image"]).convert("RGB")) for row in csv.DictReader(file)]


@pytest.mark.parametrize("scale", [2, 4, 8])
def test_the_tiles_of_the_training_are_in_range(tiles, scale):
    for tile in tiles:
        lr = area_reduce(tile, scale)
        assert sharpness(lr) > 1.1 * _SHARPEST_BLUR[scale]
        for share, (low, high) in zip(stain(lr), _STAIN.values(), strict=True):
            assert low + 0.02 < share < high - 0.02


@pytest.mark.parametrize("scale", [2, 4, 8])
def test_blurred_tiles_are_out_of_range(tiles, scale):
    blurred = [sharpness(cv2.GaussianBlur(area_reduce(tile, scale), (0, 0), 1.2)) for tile in tiles]
    assert np.mean([value < _SHARPEST_BLUR[scale] for value in blurred]) > 0.95


def test_a_blurred_slide(tiles):
    lr = area_reduce(tiles[0], 2)
    assert warned(Picture(lr, 0.5)) == []
    (line,) = warned(Picture(cv2.GaussianBlur(lr, (0, 0), 1.5), 0.5))
    assert line.startswith("it looks blurred, or enlarged: 0.1")


def test_another_stain(tiles):
    brown = area_reduce(tiles[0], 2)[..., [0, 2, 1]]  # blue absorbs most, as with DAB
    assert any("blue has" in line and "of the optical density" in line for line in warned(Picture(brown, 0.5)))


def test_another_resolution(tiles):
    picture = Picture(area_reduce(tiles[0], 2), 0.5)
    assert warned(picture, trained_mpp=0.5)[0] == "the output has 0.25 µm/px, the weights were trained for 0.5"
    assert warned(picture, trained_mpp=None) == []


def test_pen_marks(tiles):
    lr = area_reduce(tiles[0], 2).copy()
    lr[100:200, 100:200] = (20, 40, 160)
    assert any(line.startswith("pen marks on") for line in warned(Picture(lr, 0.5)))


@pytest.mark.parametrize("name", ["CMU-1-Small-Region.svs", "tcga-cr-7395-01a-01-ts1.svs"])
def test_real_slides_are_in_range(shared, name):
    with open_slide(shared / "data/slides" / name, assume_mpp=0.5) as slide:
        assert warned(slide) == []


@pytest.mark.parametrize("quality", [1, 30, 69, 70, 90, 100])
def test_the_quality_of_jpeg_is_read_from_the_slide(tmp_path, quality):
    path = tmp_path / "slide.tif"
    noise = np.random.default_rng(0).integers(0, 256, (300, 280, 3), dtype=np.uint8)
    options = {"compression": "jpeg", "compressionargs": {"level": quality}, "photometric": "rgb"}
    tifffile.imwrite(path, noise, tile=(128, 128), metadata=None, **options)
    assert jpeg_quality(path, width=280, height=300) == quality
    assert jpeg_quality(path, width=140, height=150) is None
    tifffile.imwrite(path, noise, tile=(128, 128), compression="zlib", photometric="rgb")
    assert jpeg_quality(path, width=280, height=300) is None
    Image.fromarray(noise).save(tmp_path / "no_tiff.png")
    assert jpeg_quality(tmp_path / "no_tiff.png", width=280, height=300) is None


def test_the_quality_of_a_level_in_a_subifd_is_read(tmp_path):
    noise = np.random.default_rng(0).integers(0, 256, (300, 280, 3), dtype=np.uint8)
    with tifffile.TiffWriter(tmp_path / "a.ome.tif", ome=True) as file:
        jpeg = {"tile": (128, 128), "compression": "jpeg", "photometric": "rgb"}
        file.write(noise, subifds=1, compressionargs={"level": 90}, metadata={"axes": "YXS"}, **jpeg)
        file.write(noise[::2, ::2], subfiletype=1, compressionargs={"level": 30}, **jpeg)
    assert jpeg_quality(tmp_path / "a.ome.tif", width=280, height=300) == 90
    assert jpeg_quality(tmp_path / "a.ome.tif", width=140, height=150) == 30


def test_strong_compression_is_a_line(network, tmp_path):
    tissue = synthesize(300, 300, seed=1)[0]
    resolution = {"resolution": (2e4, 2e4), "resolutionunit": "CENTIMETER"}
    for quality, lines in ((69, 1), (70, 0)):
        path = tmp_path / f"{quality}.tif"
        options = {"compression": "jpeg", "compressionargs": {"level": quality}, "photometric": "rgb"}
        tifffile.imwrite(path, tissue, tile=(128, 128), metadata=None, **options, **resolution)
        with open_slide(path) as slide:
            notes = prepare_job(network, slide, SlideOptions(), TileOptions(tile=96)).notes
        assert sum(f"JPEG of quality {quality}" in note for note in notes) == lines
