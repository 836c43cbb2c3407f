"""TIFF slides that OpenSlide refuses, or of which it sees one level: exact pixels, levels, mpp; else one clear line."""

import numpy as np
import openslide
import pytest
import tifffile
from helpers.build import barcode, build
from helpers.slides import MPP, reduced, write_pyramid
from helpers.tiles import images, manifest_rows

from datasets_prep.common.errors import UserError
from datasets_prep.patches.options import Limits
from datasets_prep.slides.levels import overview
from datasets_prep.slides.open import open_slide
from datasets_prep.slides.tiff_reader import TiffReader
from datasets_prep.synthetic.image import synthesize
from mihatp_arch.inference.inputs import kind_of

MICRONS = {"PhysicalSizeX": 0.25, "PhysicalSizeXUnit": "µm", "PhysicalSizeY": 0.25, "PhysicalSizeYUnit": "µm"}


@pytest.fixture(scope="module")
def image():
    return synthesize(605, 803, seed=3)[0]


def write_ome(path, levels, *, physical=MICRONS, **options):
    """An OME-TIFF in QuPath's layout: interleaved RGB, tiles, the coarser levels in SubIFDs of the first page."""
    with tifffile.TiffWriter(path, ome=True, bigtiff=True) as file:
        common = {"photometric": "rgb", "tile": (128, 128)} | options
        file.write(levels[0], subifds=len(levels) - 1, metadata={"axes": "YXS", **physical}, **common)
        for level in levels[1:]:
            file.write(level, subfiletype=1, **common)
    return path


LOSSLESS = ["zlib", "jpeg2000", 33003, 33005, "webp", "jpegxl", "zstd", "lzw", None]


@pytest.mark.parametrize("compression", LOSSLESS)
def test_every_level_of_an_ome_tiff_is_exact(image, tmp_path, compression):
    """WebP, JPEG 2000 and JPEG XL are lossless by default in tifffile."""
    levels = [image, reduced(image, 2), reduced(image, 4)]
    path = write_ome(tmp_path / "a.ome.tif", levels, compression=compression)
    with open_slide(path) as slide:
        assert slide.vendor == "ome-tiff"
        assert (slide.mpp, slide.mpp_source) == (0.25, "slide")
        assert slide.level_sizes == tuple((level.shape[1], level.shape[0]) for level in levels)
        for number, level in enumerate(levels):
            np.testing.assert_array_equal(slide.read(0, 0, level.shape[1], level.shape[0], level=number), level)
            np.testing.assert_array_equal(slide.read(100, 90, 77, 55, level=number), level[90:145, 100:177])
        assert (slide.read(-5, -5, 20, 20)[:5] == 255).all()
        np.testing.assert_array_equal(overview(slide, max_downsample=3)[0], levels[1])
        assert [slide.best_level_for_downsample(d) for d in (1, 1.9, 2.1, 64)] == [0, 0, 1, 2]
    assert kind_of(path) == "slide"


def test_a_jpeg_ome_tiff_has_the_colours_that_were_written(image, tmp_path):
    path = write_ome(tmp_path / "a.ome.tif", [image, reduced(image, 2)], compression="jpeg")
    with openslide.OpenSlide(path) as handle:
        assert handle.level_count == 1  # the reason for a reader of our own
        usual = np.asarray(handle.read_region((0, 0), 0, (300, 300)).convert("RGB"))
    with open_slide(path) as slide:
        assert len(slide.level_sizes) == 2
        shown = slide.read(0, 0, 300, 300)
    assert np.abs(shown.astype(int) - image[:300, :300]).mean() < 3
    np.testing.assert_array_equal(shown, usual)


@pytest.mark.parametrize("options", [{"rowsperstrip": 37, "compression": "zlib"}, {"rowsperstrip": 605}, {}])
def test_strips(image, tmp_path, options):
    tifffile.imwrite(tmp_path / "a.tif", image, photometric="rgb", metadata=None, **options, **MPP)
    assert openslide.OpenSlide.detect_format(tmp_path / "a.tif") is None
    with open_slide(tmp_path / "a.tif") as slide:
        assert isinstance(slide, TiffReader) and slide.level_sizes == ((803, 605),)
        assert slide.mpp == pytest.approx(0.25)
        np.testing.assert_array_equal(slide.read(0, 0, 803, 605), image)
        np.testing.assert_array_equal(slide.read(11, 250, 300, 100), image[250:350, 11:311])


def test_planes_transparency_and_chained_levels(image, tmp_path):
    separate = {"photometric": "rgb", "planarconfig": "separate", "rowsperstrip": 100, "compression": "zlib", **MPP}
    tifffile.imwrite(tmp_path / "planes.tif", image.transpose(2, 0, 1), metadata=None, **separate)
    with open_slide(tmp_path / "planes.tif") as slide:
        np.testing.assert_array_equal(slide.read(0, 0, 803, 605), image)
    half = np.dstack([image, np.full(image.shape[:2], 128, np.uint8)])
    opacity = {"photometric": "rgb", "extrasamples": ["unassalpha"], "rowsperstrip": 100, "compression": "zlib", **MPP}
    tifffile.imwrite(tmp_path / "clear.tif", half, metadata=None, **opacity)
    with open_slide(tmp_path / "clear.tif") as slide:
        expected = 255 + (image.astype(float) - 255) * 128 / 255
        assert np.abs(slide.read(0, 0, 803, 605) - expected).max() <= 0.5
    path = write_pyramid(tmp_path / "chain.tif", [image, reduced(image, 4)], compression="jpeg2000")
    with open_slide(path) as slide:
        assert isinstance(slide, TiffReader) and slide.level_sizes == ((803, 605), (200, 151))
        np.testing.assert_array_equal(slide.read(0, 0, 200, 151, level=1), reduced(image, 4))


@pytest.mark.parametrize(
    ("unit", "side", "expected"),
    [("µm", 0.25, 0.25), ("nm", 250, 0.25), ("mm", 0.0005, 0.5), ("cm", 2.5e-5, 0.25), ("pixel", 1, None)],
)
def test_resolution_of_ome(image, tmp_path, unit, side, expected):
    physical = {"PhysicalSizeX": side, "PhysicalSizeXUnit": unit, "PhysicalSizeY": side, "PhysicalSizeYUnit": unit}
    path = write_ome(tmp_path / "a.ome.tif", [image[:256, :256]], physical=physical)
    if expected is None:
        with pytest.raises(UserError, match="--assume-mpp"):
            open_slide(path)
    else:
        with open_slide(path) as slide:
            assert slide.mpp == pytest.approx(expected)


@pytest.mark.parametrize("unit", ["um", "micron", "\\u00B5m"])
def test_resolution_of_imagej(image, tmp_path, unit):
    tifffile.imwrite(tmp_path / "a.tif", image, imagej=True, resolution=(4, 4), metadata={"unit": unit})
    with open_slide(tmp_path / "a.tif") as slide:
        assert (slide.vendor, slide.mpp) == ("imagej-tiff", pytest.approx(0.25))


def test_qptiff_of_a_brightfield_slide(image, tmp_path):
    """Level 0, a thumbnail, reduced pages, a macro image: pages of one chain, in a compression unknown to OpenSlide."""
    with tifffile.TiffWriter(tmp_path / "a.qptiff") as file:
        options = {
            "photometric": "rgb",
            "compression": "jpeg2000",
            "metadata": None,
            "software": "PerkinElmer-QPI",
            **MPP,
        }
        file.write(image, tile=(128, 128), **options)
        file.write(reduced(image, 8)[:50, :50], rowsperstrip=50, **options)
        file.write(reduced(image, 2), tile=(128, 128), subfiletype=1, **options)
        file.write(reduced(image, 4), tile=(128, 128), subfiletype=1, **options)
        file.write(image[:200, :100], rowsperstrip=50, **options)
    with open_slide(tmp_path / "a.qptiff") as slide:
        assert (slide.vendor, slide.mpp) == ("qptiff", pytest.approx(0.25))
        assert slide.level_sizes == ((803, 605), (401, 302), (200, 151))
        np.testing.assert_array_equal(slide.read(0, 0, 200, 151, level=2), reduced(image, 4))


def refused_tiff(path, image, name):
    options = {"tile": (128, 128), "compression": "zlib", "metadata": None, **MPP}
    deep = image.astype(np.uint16) * 257
    if name == "deep":
        tifffile.imwrite(path, deep, photometric="rgb", **options)
    elif name == "deep strips":
        tifffile.imwrite(path, deep, photometric="rgb", metadata=None, **MPP)
    elif name == "float":
        tifffile.imwrite(path, image / np.float32(255), photometric="rgb", metadata=None, **MPP)
    elif name == "fluorescence":
        tifffile.imwrite(path, image[..., 0], photometric="minisblack", metadata=None, **MPP)
    elif name == "planes":
        tifffile.imwrite(path, np.stack([image] * 3), photometric="rgb", metadata={"axes": "ZYXS"}, ome=True)


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("deep", "16 bits"),
        ("deep strips", "16 bits"),
        ("float", "float"),
        ("fluorescence", "no RGB"),
        ("planes", "3 images of"),
    ],
)
def test_what_is_not_supported_says_so_and_how_to_go_on(image, tmp_path, name, says):
    path = tmp_path / "a.tif"
    refused_tiff(path, image, name)
    with pytest.raises(UserError, match=says) as caught:
        open_slide(path, assume_mpp=0.25)
    assert "fetch" not in str(caught.value) and "\n" not in str(caught.value)
    assert "convert" in str(caught.value) or "export" in str(caught.value)


def test_damaged_tiffs_are_to_be_fetched_again(image, tmp_path):
    path = write_ome(tmp_path / "a.ome.tif", [image, reduced(image, 2)], compression="zlib")
    whole = path.read_bytes()
    for share in (0.01, 0.3, 0.6, 0.9, 0.999):
        path.write_bytes(whole[: int(len(whole) * share)])
        with pytest.raises(UserError, match="fetch"):
            open_slide(path, assume_mpp=0.25)
    with tifffile.TiffFile(write_ome(path, [image], compression="jpeg2000")) as file:
        page = file.pages.first
        broken = max(range(len(page.databytecounts)), key=lambda index: page.databytecounts[index])
        offset, count = page.dataoffsets[broken], page.databytecounts[broken]
    data = bytearray(path.read_bytes())
    data[offset : offset + count] = bytes(count)
    path.write_bytes(data)
    x, y = broken % 7 * 128, broken // 7 * 128
    with open_slide(path) as slide:
        with pytest.raises(UserError, match=rf"tile at x {x}, y {y} of level 0 cannot be decoded"):
            slide.read(x, y, 50, 50)
        x = (x + 256) % 640
        np.testing.assert_array_equal(slide.read(x, y, 20, 20), image[y : y + 20, x : x + 20])


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("a.svs", b"", "is empty"),
        ("a.svs", b"<!DOCTYPE html><html>login", "web page"),
        ("a.svs", b"\x89PNG\r\n\x1a\n" + bytes(300), "PNG picture, no slide: give its folder with --tiles"),
        ("a.svs", b"PK\x03\x04" + bytes(300), "ZIP archive"),
        ("a.vsi", b"II*\0" + bytes(300), "Olympus VSI.*export"),
        ("a.mrxs", b"\xff\xd8\xff" + bytes(300), "folder a/"),
        ("a.svs", bytes(1000), "begins with zeros.*fetch it again"),
    ],
)
def test_other_files_are_named_for_themselves(tmp_path, name, content, says):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UserError, match=says) as caught:
        open_slide(tmp_path / name)
    assert str(tmp_path / name) in str(caught.value) and "\n" not in str(caught.value)


def test_a_build_of_three_kinds_of_tiff(tmp_path):
    """A JPEG OME-TIFF in QuPath's layout, strips, and JPEG 2000."""
    (tmp_path / "slides").mkdir()
    paths = [tmp_path / "slides" / f"{barcode(index)}.tif" for index in range(3)]
    rgb = [synthesize(700, 800, seed=index)[0] for index in range(3)]
    write_ome(paths[0], [rgb[0], reduced(rgb[0], 2)], compression="jpeg")
    tifffile.imwrite(paths[1], rgb[1], photometric="rgb", rowsperstrip=64, compression="zlib", metadata=None, **MPP)
    write_pyramid(paths[2], [rgb[2], reduced(rgb[2], 2)], compression="jpeg2000")
    result = build(tmp_path / "slides", tmp_path / "out", tests=1, limits=Limits(6, 6, 6))
    assert not result.failed and sum(result.counts.values()) == 18
    assert [state.scan.vendor for state in result.sources] == ["ome-tiff", "tiff", "tiff"]
    hr = {key: hr for split in result.counts for key, hr in images(tmp_path / "out" / split / "HR.lmdb").items()}
    for row in manifest_rows(tmp_path / "out"):
        x, y, number = int(row["x"]), int(row["y"]), int(row["slide"][8:12])
        with open_slide(paths[number]) as slide:
            np.testing.assert_array_equal(hr[row["key"]], slide.read(x, y, 96, 96))
        if number:
            np.testing.assert_array_equal(hr[row["key"]], rgb[number][y : y + 96, x : x + 96])
