"""Slides of unknown scale, slides that are cut off or damaged, other files: one clear error, never a wrong pixel."""

import numpy as np
import pytest
import tifffile
from helpers.slides import by_openslide, reduced, write_pyramid

from datasets_prep.common.errors import UserError
from datasets_prep.slides.open import open_slide
from datasets_prep.slides.resolution import Resolution, hr_reduction
from datasets_prep.synthetic.image import synthesize
from datasets_prep.synthetic.slide import write_synthetic_slide


@pytest.fixture(scope="module")
def image():
    return synthesize(605, 803, seed=3)[0]


@pytest.fixture(scope="module")
def svs(tmp_path_factory):
    path = tmp_path_factory.mktemp("svs") / "slide.svs"
    write_synthetic_slide(path, width=1501, height=1003, seed=2, flavour="svs")
    return path


def reduction_at_40x(slide):
    return hr_reduction(slide.path, Resolution(slide.mpp, slide.mpp_source), hr_mpp=0.25)


@pytest.mark.parametrize(
    ("resolution", "unit", "assume", "expected"),
    [
        ((40000, 40000), "CENTIMETER", None, (0.25, "slide")),
        ((40000, 40000), "CENTIMETER", 0.5, (0.25, "slide")),  # the value of the slide wins
        ((40000, 39000), "CENTIMETER", None, ((0.25 + 1 / 3.9) / 2, "slide")),
        ((40000, 36000), "CENTIMETER", None, "square"),
        ((72, 72), "INCH", None, r"352\.778 µm/px.*--assume-mpp"),
        ((72, 72), "INCH", 0.24, (0.24, "assumed")),
        ((1, 1), "NONE", None, "--assume-mpp"),
        ((1, 1), "NONE", 0.24, (0.24, "assumed")),
        ((1, 1), "NONE", float("nan"), "--assume-mpp nan"),
        ((1, 1), "NONE", 250.0, "--assume-mpp 250"),
    ],
)
def test_resolution(tmp_path, resolution, unit, assume, expected):
    level = np.zeros((300, 300, 3), np.uint8)
    path = write_pyramid(tmp_path / "s.tif", [level], resolution=resolution, resolutionunit=unit)
    if isinstance(expected, str):
        with pytest.raises(UserError, match=expected):
            open_slide(path, assume_mpp=assume)
    else:
        with open_slide(path, assume_mpp=assume) as slide:
            assert slide.mpp == pytest.approx(expected[0], rel=1e-4) and slide.mpp_source == expected[1]
            assert reduction_at_40x(slide) == 1


def test_objective_stands_in_for_mpp_and_20x_is_refused(tmp_path, svs):
    path = tmp_path / "s.svs"
    options = {"width": 300, "height": 260, "seed": 0, "factors": (), "flavour": "svs"}
    write_synthetic_slide(path, mpp=None, **options)
    with open_slide(path, assume_mpp=0.5) as slide:
        assert (slide.mpp, slide.mpp_source) == (0.25, "objective")
        assert reduction_at_40x(slide) == 1
    write_synthetic_slide(path, mpp=0.499, **options)
    expected = r"s\.svs is a 20x slide \(0\.499 µm/px\): HR patches need 40x"
    with open_slide(path) as slide, pytest.raises(UserError, match=expected):
        reduction_at_40x(slide)


@pytest.mark.parametrize("name", ["missing.svs", "text.svs", "empty.svs", "folder.svs", "a\0b.svs", "image.tif"])
def test_what_is_no_slide_is_one_line(tmp_path, name):
    (tmp_path / "text.svs").write_text("this is no slide\n" * 100)
    (tmp_path / "empty.svs").touch()
    (tmp_path / "folder.svs").mkdir()
    tifffile.imwrite(tmp_path / "image.tif", np.zeros((64, 64, 3), np.uint8), photometric="rgb")  # no tiles
    with pytest.raises(UserError) as caught:
        open_slide(tmp_path / name)
    assert repr(name)[1:-1] in str(caught.value) and "\n" not in str(caught.value)


def _damaged(source, target, length):
    """Cut `source` off; true if it is refused, or every pixel that can be read is right."""
    target.write_bytes(source.read_bytes()[:length])
    with open_slide(source, assume_mpp=0.25) as whole:
        try:
            slide = open_slide(target, assume_mpp=0.25)
        except UserError as error:
            return str(target) in str(error) and "\n" not in str(error)
        with slide:
            same = slide.level_sizes == whole.level_sizes
            for level, (width, height) in enumerate(whole.level_sizes):
                for x, y in ((0, 0), (width // 2, height // 2), (width - 100, height - 100)):
                    try:
                        part = slide.read(x, y, 100, 100, level=level)
                    except UserError as error:
                        same &= str(target) in str(error)
                    else:
                        same &= np.array_equal(part, whole.read(x, y, 100, 100, level=level))
            return same


@pytest.mark.parametrize("share", [0.01, 0.3, 0.6, 0.9, 0.99, 0.99999])
def test_cut_off_slides(image, svs, tmp_path, share):
    plain = write_pyramid(tmp_path / "whole.tif", [image, reduced(image, 4)])
    for source in (plain, svs):
        assert _damaged(source, tmp_path / f"cut{source.suffix}", int(source.stat().st_size * share))


@pytest.mark.parametrize("missing", [1, 60, 300, 3000, 10**6])
def test_cut_off_real_slides(shared, tmp_path, missing):
    for name in ("CMU-1-Small-Region.svs", "tcga-cr-7395-01a-01-ts1.svs"):
        source = shared / "data" / "slides" / name
        assert _damaged(source, tmp_path / name, source.stat().st_size - missing)


def test_tiles_that_end_beyond_the_file_are_found_at_once(tmp_path, image):
    """OpenSlide reads the directory and the coarse level when it opens; both come before the tiles of level 0."""
    path = write_pyramid(tmp_path / "s.tif", [reduced(image, 4), image])
    with tifffile.TiffFile(path) as file:
        coarse, fine = file.pages
        ends = max(fine.dataoffsets)
        swapped = path.read_bytes()[: ends + 10]
        assert max(coarse.dataoffsets) < min(fine.dataoffsets)
    path.write_bytes(swapped)
    with pytest.raises(UserError, match=r"s\.tif is cut off: \d+ bytes, its tiles end at \d+"):
        open_slide(path)


@pytest.mark.parametrize(("tile", "compared"), [(22, False), (1, True)])
def test_broken_tile_is_named(tmp_path, svs, tile, compared):
    """The other tiles can be read, unless the broken tile is one that is compared with OpenSlide first."""
    with tifffile.TiffFile(svs) as file:
        offset, count = file.pages[0].dataoffsets[tile], file.pages[0].databytecounts[tile]
    data = bytearray(svs.read_bytes())
    data[offset : offset + count] = bytes(count)
    (tmp_path / "b.svs").write_bytes(data)
    x, y = tile % 6 * 256, tile // 6 * 256
    broken = rf"b\.svs: the tile at x {x}, y {y} of level 0 cannot be decoded"
    with open_slide(tmp_path / "b.svs") as slide:
        for _ in range(2):
            with pytest.raises(UserError, match=broken):
                slide.read(x + 20, y + 20, 50, 50)
        if not compared:
            np.testing.assert_array_equal(slide.read(600, 300, 100, 100), by_openslide(svs, 600, 300, 100, 100))


def test_a_tiled_stack_of_planes_is_not_read_as_its_first_plane(image, tmp_path):
    """OpenSlide opens it as a generic TIFF of one level."""
    with tifffile.TiffWriter(tmp_path / "stack.tif") as file:
        for _ in range(3):
            file.write(image, photometric="rgb", tile=(128, 128), resolution=(40000, 40000), resolutionunit=3)
    with pytest.raises(UserError, match=r"3 images of 803x605 px \(focal planes, channels or times\): keep one"):
        open_slide(tmp_path / "stack.tif")
