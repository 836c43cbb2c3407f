"""The written pyramid, as OpenSlide and tifffile read it: sizes, pixels of all levels, resolution, tags, and bytes."""

import xml.etree.ElementTree as ElementTree

import numpy as np
import openslide
import pytest
import tifffile
from PIL import ImageCms

from datasets_prep.common.downscale import area_reduce
from datasets_prep.common.errors import UserError
from mihatp_arch.inference.pyramid import FLAVOURS, TILE, Jpeg, Layout, Lossless, TileStore, store_path, write_tiff
from mihatp_arch.inference.pyramid.block import halve
from mihatp_arch.inference.pyramid.verify import verify

LAYOUT = Layout(1700, 1300, block_size=1024)
BLOCKS = [(0, 0), (0, 1), (1, 0), (1, 1)]
MPP = 0.5032 / 4
TEXT = "computed by a <µ-network> | not for\ndiagnosis"


@pytest.fixture(scope="session")
def icc():
    return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


@pytest.fixture
def complete(tmp_path, commit):
    """An open store with all blocks, for `out.tif` beside it."""
    with TileStore.open(store_path(tmp_path / "out.tif"), LAYOUT, compression=Jpeg(), config={}) as store:
        commit(store, BLOCKS)
        yield store


@pytest.fixture
def write(tmp_path, commit, icc):
    """`write(flavour, compression)`: path of a written file; its store is removed."""

    def write(flavour, compression, *, order=BLOCKS, layout=LAYOUT, name="out.tif"):
        output = tmp_path / name
        with TileStore.open(store_path(output), layout, compression=compression, config={}) as store:
            commit(store, order)
            write_tiff(store, output, mpp=MPP, flavour=flavour, icc=icc, description=TEXT)
            store.remove()
        return output

    return write


def expected_levels(sr):
    """The levels of the white canvas on which the image lies, by exact means."""
    width, height = LAYOUT.size(0)
    level = np.full((height, width, 3), 255, np.uint8)
    level[: sr.shape[0], : sr.shape[1]] = sr
    levels = [level]
    while len(levels) < LAYOUT.levels:
        levels.append(area_reduce(levels[-1], 2))
    return levels


def by_openslide(path):
    """Pixels of all levels that OpenSlide sees, [H, W, 3] each; all of them are opaque."""
    with openslide.OpenSlide(path) as slide:
        regions = [slide.read_region((0, 0), level, size) for level, size in enumerate(slide.level_dimensions)]
        assert all(region.getextrema()[3] == (255, 255) for region in regions)
        return [np.asarray(region.convert("RGB")) for region in regions]


def properties(path):
    with openslide.OpenSlide(path) as slide:
        return dict(slide.properties), slide.level_downsamples, {k: v.size for k, v in slide.associated_images.items()}


@pytest.mark.parametrize("flavour", FLAVOURS)
def test_lossless_levels_are_exact_means_of_the_image_on_a_white_canvas(write, sr, flavour):
    path = write(flavour, Lossless())
    expected = expected_levels(sr)
    shown = by_openslide(path)
    assert len(shown) == (1 if flavour == "ome" else 3)
    for level, pixels in zip(expected, shown, strict=False):
        np.testing.assert_array_equal(pixels, level)
    with tifffile.TiffFile(path) as file:
        for level, pixels in zip(expected, file.series[0].levels, strict=True):
            np.testing.assert_array_equal(pixels.asarray(), level)


@pytest.mark.parametrize("flavour", FLAVOURS)
@pytest.mark.parametrize(("subsampling", "factors"), [("444", (1, 1)), ("420", (2, 2))])
def test_each_jpeg_level_is_encoded_once_and_its_tag_matches_its_bytes(write, sr, flavour, subsampling, factors):
    compression = Jpeg(quality=95, subsampling=subsampling)
    path = write(flavour, compression)
    shown = by_openslide(path)
    with tifffile.TiffFile(path) as file:
        pages = [level.keyframe for level in file.series[0].levels]
        for number, (page, level) in enumerate(zip(pages, expected_levels(sr), strict=True)):
            tile = np.full((TILE, TILE, 3), 255, np.uint8)
            corner = level[:TILE, :TILE]
            tile[: corner.shape[0], : corner.shape[1]] = corner
            file.filehandle.seek(page.dataoffsets[0])
            data = file.filehandle.read(page.databytecounts[0])
            assert data == compression.encode(tile)
            assert divmod(data[data.index(b"\xff\xc0") + 11], 16) == factors  # sampling of Y in the start of frame
            tag = page.tags.valueof("YCbCrSubSampling")
            assert tag == (None if flavour == "ome" else factors)  # with the tag, Bio-Formats shows 4:4:4 in pink
            if number < len(shown):
                decoded = compression.decode(data)[: corner.shape[0], : corner.shape[1]]
                np.testing.assert_array_equal(shown[number][:TILE, :TILE], decoded)


def test_a_generic_file_has_its_resolution_in_the_tags(write):
    path = write("generic", Jpeg())
    found, downsamples, images = properties(path)
    assert found["openslide.vendor"] == "generic-tiff"
    assert float(found["openslide.mpp-x"]) == pytest.approx(MPP, rel=1e-6)
    assert downsamples == (1, 2, 4)
    assert images == {}
    assert found["tiff.ImageDescription"] == f"{TEXT}\nimage 1700x1300 at the upper left of a white canvas of 1700x1300"
    with tifffile.TiffFile(path) as file:
        resolutions = [page.tags["XResolution"].value for page in file.pages]
        assert [1e4 / (a / b) for a, b in resolutions] == pytest.approx([MPP, 2 * MPP, 4 * MPP])
        assert [page.subfiletype for page in file.pages] == [0, 1, 1]


def test_an_svs_file_is_one_of_aperio_for_openslide(write):
    path = write("svs", Jpeg())
    with tifffile.TiffFile(path) as file:  # Bio-Formats takes a page without the tag for a label
        assert [page.tags["NewSubfileType"].value for page in file.pages] == [0, 0, 0, 0]
    found, downsamples, images = properties(path)
    assert found["openslide.vendor"] == "aperio"
    assert float(found["openslide.mpp-x"]) == pytest.approx(MPP, rel=1e-5)
    assert found["openslide.objective-power"] == found["aperio.AppMag"] == "80"
    assert found["aperio.Description"] == "computed by a <µ-network> / not for diagnosis"
    assert (found["aperio.OriginalWidth"], found["aperio.OriginalHeight"]) == ("1700", "1300")
    assert downsamples == (1, 2, 4)
    assert images == {"thumbnail": (425, 325)}


def test_an_ome_file_says_its_resolution_and_magnification_in_xml(write):
    path = write("ome", Jpeg())
    with tifffile.TiffFile(path) as file:
        assert file.is_ome
        assert len(file.series[0].levels) == 3
        xml = ElementTree.fromstring(file.ome_metadata)
    space = {"ome": "http://www.openmicroscopy.org/Schemas/OME/2016-06"}
    pixels = xml.find(".//ome:Pixels", space)
    assert [float(pixels.get(f"PhysicalSize{axis}")) for axis in "XY"] == pytest.approx([MPP, MPP], rel=1e-8)
    assert pixels.get("PhysicalSizeXUnit") == "µm"
    assert xml.find(".//ome:Objective", space).get("NominalMagnification") == "80.0"
    assert xml.find(".//ome:Description", space).text.startswith(TEXT)
    assert float(properties(path)[0]["openslide.mpp-x"]) == pytest.approx(MPP, rel=1e-6)


@pytest.mark.parametrize("flavour", FLAVOURS)
def test_the_colour_profile_is_carried(write, icc, flavour):
    path = write(flavour, Jpeg())
    with openslide.OpenSlide(path) as slide:
        assert slide.color_profile.tobytes() == icc


@pytest.mark.parametrize("flavour", FLAVOURS)
@pytest.mark.parametrize("compression", [Jpeg(), Lossless()], ids=["jpeg", "lossless"])
def test_the_bytes_depend_on_nothing_of_the_run(write, flavour, compression):
    """Neither on the order of the blocks, nor on their size, the name of the file, or the time."""
    first = write(flavour, compression).read_bytes()
    second = write(flavour, compression, order=BLOCKS[::-1], name="other.tif").read_bytes()
    layout = Layout(1700, 1300, block_size=2048)
    third = write(flavour, compression, order=[(0, 0)], layout=layout, name="one.tif").read_bytes()
    assert first == second == third
    with tifffile.TiffFile(write(flavour, compression, name="again.tif")) as file:
        assert not any("DateTime" in page.tags for page in file.pages)
        assert file.pages.first.software.startswith("MiHATP ")


@pytest.mark.parametrize(("width", "height"), [(1, 1), (512, 512), (513, 1), (30, 1100)])
@pytest.mark.parametrize("flavour", FLAVOURS)
def test_small_and_narrow_images(tmp_path, width, height, flavour):
    layout, output = Layout(width, height), tmp_path / "out.tif"
    with TileStore.open(store_path(output), layout, compression=Jpeg(), config={}) as store:
        store.commit(0, 0, np.full((height, width, 3), 99, np.uint8))
        write_tiff(store, output, mpp=MPP, flavour=flavour, description=TEXT)
    level = by_openslide(output)[0]
    assert level.shape == (*layout.size(0)[::-1], 3)
    assert (level[: height // 8 * 8 or 1, : width // 8 * 8 or 1] == 99).all() or min(width, height) < 8


def test_a_small_file_is_a_classic_tiff_and_a_large_one_is_not(complete, tmp_path, monkeypatch):
    write_tiff(complete, tmp_path / "classic.tif", mpp=MPP, description=TEXT)
    monkeypatch.setattr("mihatp_arch.inference.pyramid.tiff_writer._CLASSIC_TIFF", complete.tile_bytes() - 1)
    write_tiff(complete, tmp_path / "big.tif", mpp=MPP, description=TEXT)
    heads = [(tmp_path / name).read_bytes()[:4] for name in ("classic.tif", "big.tif")]
    assert heads == [b"II*\0", b"II+\0"]
    for classic, big in zip(by_openslide(tmp_path / "classic.tif"), by_openslide(tmp_path / "big.tif"), strict=True):
        np.testing.assert_array_equal(classic, big)


def test_an_output_that_exists_stays_unless_it_may_be_overwritten(complete, tmp_path):
    (tmp_path / "out.tif").write_bytes(b"mine")
    with pytest.raises(UserError, match="exists: delete it or name another file"):
        write_tiff(complete, tmp_path / "out.tif", mpp=MPP, description=TEXT)
    assert (tmp_path / "out.tif").read_bytes() == b"mine"
    write_tiff(complete, tmp_path / "out.tif", mpp=MPP, description=TEXT, overwrite=True)
    assert len(by_openslide(tmp_path / "out.tif")) == 3


def test_the_unfinished_file_of_a_killed_process_is_removed(complete, tmp_path):
    (tmp_path / ".out.tif.4711.partial").write_bytes(b"half")
    (tmp_path / ".other.tif.4711.partial").write_bytes(b"half of another output")
    write_tiff(complete, tmp_path / "out.tif", mpp=MPP, description=TEXT)
    assert [path.name for path in tmp_path.glob(".*.partial")] == [".other.tif.4711.partial"]


def test_an_incomplete_store_is_not_written(tmp_path, commit):
    with TileStore.open(tmp_path / "store", LAYOUT, compression=Jpeg(), config={}) as store:
        commit(store, BLOCKS[:3])
        with pytest.raises(ValueError, match="3 blocks"):
            write_tiff(store, tmp_path / "out.tif", mpp=MPP, description=TEXT)
    assert not (tmp_path / "out.tif").exists()


@pytest.mark.parametrize("flavour", FLAVOURS)
def test_a_file_that_differs_from_its_store_is_seen(complete, tmp_path, flavour):
    output = tmp_path / "out.tif"
    write_tiff(complete, output, mpp=MPP, flavour=flavour, description=TEXT)
    verify(output, complete, mpp=MPP, flavour=flavour, icc=None)
    with pytest.raises(UserError, match="mpp-x"):
        verify(output, complete, mpp=MPP * 1.001, flavour=flavour, icc=None)
    with pytest.raises(UserError, match="another ICC profile"):
        verify(output, complete, mpp=MPP, flavour=flavour, icc=b"profile")
    data = bytearray(output.read_bytes())
    tile = complete.tile(0, 2, 3)  # the last tile is always compared
    data[data.index(tile) + len(tile) // 2] ^= 16
    output.write_bytes(data)
    with pytest.raises(UserError, match=r"other (pixels|bytes) in tile 2, 3 of level 0"):
        verify(output, complete, mpp=MPP, flavour=flavour, icc=None)
    output.write_bytes(data[: len(data) // 2])
    with pytest.raises(UserError, match="does not read back as it should"):
        verify(output, complete, mpp=MPP, flavour=flavour, icc=None)


def test_halving_is_the_exact_mean():
    pixels = np.random.default_rng(0).integers(0, 256, (258, 514, 3), np.uint8)
    np.testing.assert_array_equal(halve(pixels), area_reduce(pixels, 2))


@pytest.mark.parametrize("options", [{"quality": 0}, {"quality": 101}, {"subsampling": "422"}])
def test_wrong_jpeg_options_are_refused(options):
    with pytest.raises(UserError, match="JPEG"):
        Jpeg(**options)
