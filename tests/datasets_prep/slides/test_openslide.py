"""The OpenSlide reader: exact stored pixels at every level and in every process; the overview is bounded."""

import multiprocessing
import os
import pickle
import tracemalloc

import numpy as np
import openslide
import pytest
import tifffile
from helpers.slides import by_openslide, reduced, write_pyramid, write_tiles

from datasets_prep.slides.levels import level_factor, overview
from datasets_prep.slides.open import open_slide
from datasets_prep.synthetic.image import synthesize
from datasets_prep.synthetic.slide import write_synthetic_slide


@pytest.fixture(scope="module")
def image():
    return synthesize(605, 803, seed=3)[0]


@pytest.fixture(scope="module")
def pyramid(image, tmp_path_factory):
    """803×605, 200×151 and 50×37: W0/W is 4.015 and 16.06."""
    levels = [image, reduced(image, 4), reduced(image, 16)]
    return write_pyramid(tmp_path_factory.mktemp("pyramid") / "slide.tif", levels), levels


@pytest.fixture(scope="module")
def svs(tmp_path_factory):
    path = tmp_path_factory.mktemp("svs") / "slide.svs"
    write_synthetic_slide(path, width=1501, height=1003, seed=2, flavour="svs")
    return path


def test_levels_with_opacity_or_planes_are_exact_too(pyramid, tmp_path):
    """`vips tiffsave` writes RGBA of a slide, unless it writes JPEG."""
    _, levels = pyramid
    opaque = [np.dstack([level, np.full(level.shape[:2], 255, np.uint8)]) for level in levels]
    rgba = write_pyramid(tmp_path / "rgba.tif", opaque, extrasamples=["unassalpha"])
    planes = write_pyramid(tmp_path / "p.tif", [np.moveaxis(level, -1, 0) for level in levels], planarconfig="separate")
    for path in (rgba, planes):
        with open_slide(path) as slide:
            assert slide.vendor == "generic-tiff"
            np.testing.assert_array_equal(slide.read(33, 17, 50, 60, level=1), levels[1][17:77, 33:83])
            np.testing.assert_array_equal(slide.read(0, 0, 50, 37, level=2), levels[2])


def test_every_level_of_a_fractional_pyramid_is_exact(pyramid):
    path, levels = pyramid
    rng = np.random.default_rng(0)
    astray = 0
    with open_slide(path) as slide:
        assert slide.level_sizes == ((803, 605), (200, 151), (50, 37))
        assert (slide.width, slide.height, slide.vendor) == (803, 605, "generic-tiff")
        assert [level_factor(slide.level_sizes, level) for level in range(3)] == [1, 4, 16]
        for level, known in enumerate(levels):
            height, width, _ = known.shape
            np.testing.assert_array_equal(slide.read(0, 0, width, height, level=level), known)
            for _ in range(20):
                x, y = rng.integers(0, width - 16), rng.integers(0, height - 16)
                part = known[y : y + 16, x : x + 16]
                np.testing.assert_array_equal(slide.read(x, y, 16, 16, level=level), part)
                at = round(x * slide.width / width), round(y * slide.height / height)
                usual = by_openslide(path, *at, 16, 16, level=level)
                astray += level > 0 and not np.array_equal(usual, part)
    assert astray > 20  # OpenSlide alone would not do


@pytest.mark.parametrize("name", ["CMU-1-Small-Region.svs", "tcga-cr-7395-01a-01-ts1.svs"])
def test_real_slide_equals_openslide(shared, name):
    """JPEG and JPEG 2000; at level 1 (whole, from the origin) OpenSlide does not interpolate either."""
    path = shared / "data" / "slides" / name
    rng = np.random.default_rng(1)
    with open_slide(path, assume_mpp=0.25) as slide:
        assert slide.vendor == "aperio"
        for _ in range(25):
            x, y = int(rng.integers(-60, slide.width)), int(rng.integers(-60, slide.height))
            np.testing.assert_array_equal(slide.read(x, y, 150, 170), _on_white(path, x, y, 150, 170))
        for level, (width, height) in list(enumerate(slide.level_sizes))[1:]:
            known = by_openslide(path, 0, 0, width, height, level)
            np.testing.assert_array_equal(slide.read(0, 0, width, height, level=level), known)
            np.testing.assert_array_equal(slide.read(701, 333, 96, 96, level=level), known[333:429, 701:797])


def _on_white(path, x, y, width, height):
    with openslide.OpenSlide(path) as handle:
        region = np.asarray(handle.read_region((x, y), 0, (width, height)))
    assert set(np.unique(region[..., 3])) <= {0, 255}
    return np.where(region[..., 3:] == 255, region[..., :3], 255)


def test_synthetic_svs_is_exact(svs):
    with open_slide(svs) as slide, tifffile.TiffFile(svs) as file:
        assert (slide.vendor, slide.mpp, slide.mpp_source) == ("aperio", 0.25, "slide")
        for level, page in enumerate((0, 2, 3)):
            known = file.pages[page].asarray()
            height, width, _ = known.shape
            np.testing.assert_array_equal(slide.read(0, 0, width, height, level=level), known)
        np.testing.assert_array_equal(slide.read(300, 700, 200, 192), by_openslide(svs, 300, 700, 200, 192))


def test_outside_is_white(pyramid):
    path, (image, small, _) = pyramid
    with open_slide(path) as slide:
        corner = slide.read(-7, -5, 20, 30)
        assert (corner[:5] == 255).all() and (corner[:, :7] == 255).all()
        np.testing.assert_array_equal(corner[5:, 7:], image[:25, :13])
        end = slide.read(190, 141, 30, 20, level=1)
        np.testing.assert_array_equal(end[:10, :10], small[141:, 190:])
        assert (end[10:] == 255).all() and (end[:, 10:] == 255).all()
        assert (slide.read(5000, -900, 3, 4) == 255).all() and slide.read(5000, -900, 3, 4).shape == (4, 3, 3)
        assert slide.read(0, 0, 0, 5).shape == (5, 0, 3)
        for wrong in ({"level": 3}, {"level": -1}):
            with pytest.raises(ValueError, match="3 levels"):
                slide.read(0, 0, 5, 5, **wrong)


def test_transparency_is_composited_over_white(image, tmp_path):
    """Also where colour planes are stored separately."""
    alpha = np.full(image.shape[:2], 255, np.uint8)
    alpha[100:200] = 0
    alpha[200:300] = 128
    rgba = np.dstack([image, alpha])
    with open_slide(write_pyramid(tmp_path / "a.tif", [rgba], extrasamples=["unassalpha"])) as slide:
        rgb = slide.read(0, 0, 803, 605)
    np.testing.assert_array_equal(rgb[:100], image[:100])
    assert (rgb[100:200] == 255).all()
    half = 255 - (255 - image[200:300].astype(float)) * 128 / 255
    assert np.abs(rgb[200:300] - half).max() <= 2  # premultiplied by 128, thus known to ±1
    planes = np.moveaxis(image, -1, 0)
    with open_slide(write_pyramid(tmp_path / "p.tif", [planes], planarconfig="separate")) as slide:
        np.testing.assert_array_equal(slide.read(-1, 30, 200, 90)[:, 1:], image[30:120, :199])


def test_whole_number_levels_are_exact_through_openslide_too(image, tmp_path):
    image = image[:600, :800]
    levels = [np.moveaxis(level, -1, 0) for level in (image, reduced(image, 4))]
    with open_slide(write_pyramid(tmp_path / "p.tif", levels, planarconfig="separate")) as slide:
        slide._tiff = None  # as for a format whose tiles we do not decode
        np.testing.assert_array_equal(slide.read(33, 17, 50, 60, level=1), reduced(image, 4)[17:77, 33:83])


def test_tiles_that_are_not_stored_are_white(image, tmp_path):
    tiles = [np.ascontiguousarray(image[:128, :128]), None, None, np.ascontiguousarray(image[128:256, 128:256])]
    write_tiles(tmp_path / "s.tif", tiles, shape=(256, 256, 3), tile=128)
    with open_slide(tmp_path / "s.tif") as slide:
        rgb = slide.read(0, 0, 256, 256)
    assert (rgb[:128, 128:] == 255).all() and (rgb[128:, :128] == 255).all()
    np.testing.assert_array_equal(rgb[:128, :128], image[:128, :128])
    np.testing.assert_array_equal(rgb[128:, 128:], image[128:256, 128:256])


@pytest.mark.parametrize(
    ("sizes", "factors"),
    [
        ([(4001, 3003), (1000, 750), (250, 187), (62, 46)], [1, 4, 16, 64]),  # 65 would fit the last one too
        ([(4001, 3003), (2001, 1502)], [1, 2]),  # rounded up
        ([(4001, 3003), (1333, 1001)], [1, 3]),
        ([(4001, 3003), (1600, 1201), (1000, 700)], [1, None, None]),  # 2.5; not the same on both axes
    ],
)
def test_factor(tmp_path, sizes, factors):
    levels = [np.zeros((height, width, 3), np.uint8) for width, height in sizes]
    with open_slide(write_pyramid(tmp_path / "s.tif", levels)) as slide:
        assert [level_factor(slide.level_sizes, level) for level in range(len(sizes))] == factors


def test_overview_is_the_level_that_clam_takes(pyramid):
    path, (image, small, smallest) = pyramid
    with open_slide(path) as slide:
        rgb, scale = overview(slide)
        np.testing.assert_array_equal(rgb, smallest)
        assert scale == (803 / 50, 605 / 37)
        rgb, scale = overview(slide, max_downsample=8)
        np.testing.assert_array_equal(rgb, small)
        rgb, scale = overview(slide, max_downsample=1, max_pixels=803 * 605 // 15)
        assert scale == (4, 4) and rgb.shape == (152, 201, 3)
        np.testing.assert_array_equal(rgb[:151, :200], reduced(image, 4))


def test_overview_of_one_large_level_is_bounded(tmp_path):
    """One level of 12 000×11 990 px is 432 MB; only two of its tiles have data, the others are white."""
    count = -(-12000 // 512) * -(-11990 // 512)
    dark = np.full((512, 512, 3), 40, np.uint8)
    tiles = [dark if index in (0, count - 1) else None for index in range(count)]
    write_tiles(tmp_path / "s.tif", tiles, shape=(11990, 12000, 3), tile=512)
    with open_slide(tmp_path / "s.tif") as slide:
        tracemalloc.start()
        rgb, scale = overview(slide, max_pixels=2**20)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert scale == (12, 12) and rgb.shape == (1000, 1000, 3)
    assert (rgb[:42, :42] == 40).all() and (rgb[-16:, -18:] == 40).all() and (rgb[60:900, 60:900] == 255).all()
    assert peak < 200 * 2**20


def _positions(path):
    """File descriptor -> position of the next read, for each descriptor of this process that is open on `path`."""
    open_files = {entry.name: os.path.realpath(entry.path) for entry in os.scandir("/proc/self/fd")}
    return {number: os.lseek(int(number), 0, os.SEEK_CUR) for number, file in open_files.items() if file == str(path)}


def test_a_slide_is_not_pickled(pyramid):
    with open_slide(pyramid[0]) as slide, pytest.raises(TypeError, match="send its path"):
        pickle.dumps(slide)


@pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="needs /proc")
def test_a_process_that_inherits_a_slide_opens_its_own_file(pyramid):
    path, levels = pyramid
    with open_slide(path) as slide:
        slide.read(0, 0, 10, 10)
        before = _positions(path)
        context = multiprocessing.get_context("fork")
        receive, send = context.Pipe(duplex=False)
        child = context.Process(target=lambda: send.send(slide.read(0, 0, 200, 151, level=1).tolist()))
        child.start()
        assert receive.poll(30) and receive.recv() == levels[1].tolist()
        child.join()
        assert before and _positions(path) == before
