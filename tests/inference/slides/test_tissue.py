"""Which tiles are computed, and what the others become; and slides with an area that cannot be decoded."""

import re
from dataclasses import replace
from itertools import product
from pathlib import Path

import numpy as np
import pytest
import tifffile
from helpers.slides import write_pyramid

from datasets_prep.common.errors import UserError
from datasets_prep.slides.open import open_for_reading, open_slide
from datasets_prep.slides.skipping import SkippingSlide
from datasets_prep.tissue.clam import Region
from datasets_prep.tissue.geojson import write_geojson
from mihatp_arch.inference.slides.job import prepare_job
from mihatp_arch.inference.slides.jpeg_quality import cut_off_tiles, damaged_tiles
from mihatp_arch.inference.slides.options import SlideOptions, TileOptions
from mihatp_arch.inference.slides.pixels import damaged_cells

TILES = TileOptions(tile=96, block=512)  # core 64 LR px
RESOLUTION = {"resolution": (2e4, 2e4), "resolutionunit": "CENTIMETER"}


def job_of(network, path, **options):
    with open_for_reading(path, assume_mpp=None) as opened:
        return prepare_job(network, opened, SlideOptions(**options), TILES)


def test_tissue_and_the_tiles_within_32_um_are_computed(network, tmp_path):
    canvas = np.full((900, 900, 3), 240, np.uint8)
    canvas[150:390, 230:300] = (150, 80, 160)  # of 0.5 µm/px: 64 px are 32 µm; a tile has 144 px, every 128 px
    path = tmp_path / "square.tif"
    tifffile.imwrite(path, canvas, tile=(256, 256), compression="zlib", photometric="rgb", **RESOLUTION)
    with open_for_reading(path, assume_mpp=None) as opened:
        large = TileOptions(tile=160, block=512)
        tissue = prepare_job(network, opened, SlideOptions(), large).tissue
        assert {tuple(map(int, at)) for at in np.argwhere(tissue.tiles)} == set(product((1, 2, 3), (1, 2)))
        assert {tuple(map(int, at)) for at in np.argwhere(tissue.computed)} == set(product((0, 1, 2, 3), (1, 2)))
        assert prepare_job(network, opened, SlideOptions(whole=True), large).tissue.computed.all()


@pytest.mark.parametrize("kind", [Path, str])
def test_outlines_decide_where_they_are_given(network, slide, tmp_path, kind):
    square = Region(np.array([(150, 90), (180, 90), (180, 120), (150, 120)], np.int32))  # tile (1, 2) alone
    write_geojson(tmp_path / "tissue.geojson", [square])
    tissue = job_of(network, slide, tissue=kind(tmp_path / "tissue.geojson")).tissue
    assert np.argwhere(tissue.tiles).tolist() == [[1, 2]]
    assert np.array_equal(tissue.computed, tissue.tiles)
    with pytest.raises(UserError, match="give one of them"):
        SlideOptions(whole=True, tissue=tmp_path / "tissue.geojson")


@pytest.fixture
def half_a_tile(tmp_path):
    """A slide of 3×2 JPEG tiles; the second half of the data of tile (1, 1) is zeros, and decodes as grey."""
    pixels = np.random.default_rng(0).integers(0, 255, (512, 700, 3), dtype=np.uint8)
    path = write_pyramid(tmp_path / "half.tif", [pixels], tile=(256, 256), compression="jpeg", **RESOLUTION)
    data = bytearray(path.read_bytes())
    with tifffile.TiffFile(path) as file:
        start, length = file.pages[0].dataoffsets[4], file.pages[0].databytecounts[4]
    data[start + length // 2 : start + length] = bytes(length - length // 2)
    path.write_bytes(data)
    return path


def test_a_tile_that_ends_early_is_refused(network, half_a_tile):
    with open_for_reading(half_a_tile, assume_mpp=None) as opened:
        assert list(damaged_cells(opened, 0)) == []  # libjpeg decodes it, with a warning that nobody sees
    with pytest.raises(UserError, match=r"1 JPEG tiles of level 0 end early \(x 256 y 256\), their rest is grey: "):
        job_of(network, half_a_tile)
    job = job_of(network, half_a_tile, skip_damaged=True)
    assert job.notes[0] == "1 JPEG tiles of level 0 end early (x 256 y 256), their rest is grey"


@pytest.fixture
def hole_in_a_tile(tmp_path):
    """A slide of 3×2 JPEG tiles; 512 bytes in the middle of the data of tile (0, 2) are random."""
    pixels = np.random.default_rng(0).integers(0, 255, (512, 700, 3), dtype=np.uint8)
    path = write_pyramid(tmp_path / "hole.tif", [pixels], tile=(256, 256), compression="jpeg", **RESOLUTION)
    data = bytearray(path.read_bytes())
    with tifffile.TiffFile(path) as file:
        middle = file.pages[0].dataoffsets[2] + file.pages[0].databytecounts[2] // 2
    data[middle : middle + 512] = np.random.default_rng(1).integers(0, 255, 512, np.uint8).tobytes()
    path.write_bytes(data)
    return path


def test_damage_inside_a_tile_is_refused(network, hole_in_a_tile, capfd):
    with open_for_reading(hole_in_a_tile, assume_mpp=None) as opened:
        assert list(damaged_cells(opened, 0)) == []
    says = r"1 JPEG tiles of level 0 hold damaged data \(x 512 y 0\), their pixels are wrong"
    with pytest.raises(UserError, match=f"hole.tif: {says}: fetch it again, or give --skip-damaged"):
        job_of(network, hole_in_a_tile)
    assert re.fullmatch(says, job_of(network, hole_in_a_tile, skip_damaged=True).notes[0])
    assert capfd.readouterr().err == ""


def test_whole_slides_have_no_damaged_tiles(shared):
    path = shared / "data" / "slides" / "CMU-1-Small-Region.svs"
    assert damaged_tiles(path, width=2220, height=2967) == []


def test_a_writer_that_leaves_all_ends_out_is_no_damage(half_a_tile):
    data = bytearray(half_a_tile.read_bytes())
    with tifffile.TiffFile(half_a_tile) as file:
        for start, length in zip(file.pages[0].dataoffsets, file.pages[0].databytecounts, strict=True):
            data[start + length - 2 : start + length] = b"  "
    half_a_tile.write_bytes(data)
    assert cut_off_tiles(half_a_tile, width=700, height=512) == []


def test_glass_is_interpolated_or_white(network, slide):
    job = job_of(network, slide)
    white = job_of(network, slide, glass="white")
    row, column = map(int, np.argwhere(~job.tissue.computed)[0])
    box = (column * 64, row * 64, 64, 64)
    with open_slide(slide) as opened:
        assert np.array_equal(job.task.image(opened).read(*box), opened.read(*box))
        image = white.task.image(opened)
        assert (image.read(*box) == 255).all()
        row, column = map(int, np.argwhere(job.tissue.computed)[0])
        box = (column * 64, row * 64, 64, 64)
        assert np.array_equal(image.read(*box), opened.read(*box))
        assert image.computed(row, column)


def test_a_slide_without_tissue_says_so(network, tmp_path):
    options = {"tile": (128, 128), "compression": "zlib", "photometric": "rgb", "metadata": None}
    tifffile.imwrite(tmp_path / "glass.tif", np.full((300, 300, 3), 243, np.uint8), **options, **RESOLUTION)
    job = job_of(network, tmp_path / "glass.tif")
    assert job.notes == ("no tissue was found, so nothing is computed: give its outlines with --tissue, or --whole",)
    assert not job.tissue.computed.any()
    assert job_of(network, tmp_path / "glass.tif", whole=True).notes == ()


def test_16_bits_are_refused(network, tmp_path):
    options = {"tile": (128, 128), "compression": "zlib", "photometric": "rgb", "metadata": None}
    tifffile.imwrite(tmp_path / "deep.tif", np.zeros((300, 300, 3), np.uint16), **options, **RESOLUTION)
    with pytest.raises(UserError, match="has 16 bits for each colour"):
        job_of(network, tmp_path / "deep.tif")


@pytest.fixture
def damaged(slide, tmp_path):
    """The slide with one tile of level 0 of zeros, at x 256, y 256."""
    data = bytearray(slide.read_bytes())
    with tifffile.TiffFile(slide) as file:
        page = file.pages[0]
        index = 1 * -(-page.imagewidth // page.tilewidth) + 1
        start, length = page.dataoffsets[index], page.databytecounts[index]
    data[start : start + length] = bytes(length)
    path = tmp_path / "damaged.tif"
    path.write_bytes(data)
    return path


def test_a_damaged_slide_is_refused_before_any_work(network, damaged):
    with pytest.raises(UserError, match=r"cannot be decoded in 1 areas of 256x256 px \(x 256 y 256\) of level 0"):
        job_of(network, damaged)


def test_damage_can_be_skipped(network, slide, damaged):
    job = job_of(network, damaged, skip_damaged=True)
    assert job.notes[0] == "damaged, white in the output: 1 areas of 256x256 px (x 256 y 256) of level 0"
    with open_for_reading(damaged, assume_mpp=None) as opened, open_slide(slide) as whole:
        assert list(damaged_cells(opened, 0)) == [(1, 1)]
        read, right = SkippingSlide(opened).read(0, 0, 700, 560), whole.read(0, 0, 700, 560)
        image = job.task.image(opened)
        assert np.array_equal(image.read(300, 200, 100, 100), read[200:300, 300:400])
    assert (read[256:512, 256:512] == 255).all()
    right[256:512, 256:512] = 255
    assert np.array_equal(read, right)
    assert replace(job.task, skip_damaged=False) != job.task
