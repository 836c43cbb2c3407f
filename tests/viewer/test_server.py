"""The server: tiles are the slide's own pixels, and nothing but the view can be asked for."""

import shutil
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO

import numpy as np
import openslide
import pytest
import tifffile
from helpers.slides import by_openslide, reduced, write_pyramid
from PIL import Image
from viewer.conftest import command

from datasets_prep.common.errors import UserError
from mihatp_viewer.scene import open_scene
from mihatp_viewer.tiles import Tiles

# Without a proxy: another test may have left one in the opener that urllib keeps.
OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def ask(address, path="", **headers):
    """Status and body."""
    request = urllib.request.Request(address + path, headers=headers)
    try:
        with OPENER.open(request, timeout=20) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()


def picture(data):
    return np.asarray(Image.open(BytesIO(data)).convert("RGB"))


def test_the_finest_tiles_are_the_slides_own_pixels(served, slides):
    status, data = ask(served, "tiles/1/11/1_2.png")
    assert status == 200
    assert np.array_equal(picture(data), by_openslide(slides[1], 509, 1019, 512, 389))


def test_a_reduced_tile_is_the_reduced_level(served, slides):
    _, data = ask(served, "tiles/1/10/0_0.png")
    assert np.array_equal(picture(data), by_openslide(slides[1], 0, 0, 511, 511, level=1))


@pytest.mark.parametrize(
    "path",
    [
        "tiles/0/10/9_0.png",
        "tiles/0/99/0_0.png",
        "tiles/0/-1/0_0.png",
        "tiles/7/0/0_0.png",
        f"tiles/0/{'9' * 5000}/0_0.png",
        "tiles/0/0/0_0.jpg",
        "tiles/0/10/0_0.png/../../../../server.py",
        "../server.py",
        "%2e%2e/server.py",
        "..%2fserver.py",
        "%2fetc%2fpasswd",
        "/etc/passwd",
        "layers/0.js",
        "docs",
    ],
)
def test_what_is_no_part_of_the_view_is_not_there(served, path):
    status, body = ask(served, path)
    assert status == 404
    assert b"import" not in body and len(body) < 200


def test_a_foreign_host_name_is_refused(served):
    assert ask(served, Host="evil.example")[0] == 400
    assert ask(served, Host="localhost")[0] == 200


def test_nothing_is_left_in_caches_or_given_to_other_pages(served):
    with OPENER.open(served) as answer:
        assert answer.headers["Cache-Control"] == "no-store"
        assert answer.headers["Cross-Origin-Resource-Policy"] == "same-origin"
        assert "default-src 'self'" in answer.headers["Content-Security-Policy"]
        assert "frame-ancestors 'none'" in answer.headers["Content-Security-Policy"]


def test_many_requests_at_once_are_answered(served):
    paths = [f"tiles/{number % 2}/{10 - number % 3}/0_0.png" for number in range(200)]
    with ThreadPoolExecutor(200) as pool:
        assert {status for status, _ in pool.map(lambda path: ask(served, path), paths)} == {200}


def test_a_slide_that_goes_away_or_changes_is_a_line(tmp_path, slides):
    slide, other = tmp_path / "gone.tif", tmp_path / "changed.tif"
    shutil.copy(slides[0], slide)
    shutil.copy(slides[0], other)
    with command(slide, other) as address:
        assert ask(address, "tiles/0/0/0_0.png")[0] == 200
        slide.unlink()
        other.write_bytes(b"no slide")
        for number, why in enumerate((b"gone.tif can no longer be read", b"changed.tif has changed")):
            status, line = ask(address, f"tiles/{number}/10/0_0.png")
            assert status == 410 and why in line and line.count(b"\n") == 0
        assert ask(address)[0] == 200


def damaged_copy(slide, path):
    """The slide with zeros for its first tile."""
    with tifffile.TiffFile(slide) as file:
        offset, count = file.pages[0].dataoffsets[0], file.pages[0].databytecounts[0]
    data = bytearray(slide.read_bytes())
    data[offset : offset + count] = bytes(count)
    path.write_bytes(data)
    return path


def test_a_damaged_tile_is_a_line_and_the_others_are_shown(tmp_path, slides):
    damaged = damaged_copy(slides[0], tmp_path / "damaged.tif")
    tiles = Tiles(damaged)
    with pytest.raises(UserError, match="tile 0, 0 of level 10 cannot be decoded"):
        tiles.encoded(10, 0, 0, encoding="png")
    assert np.array_equal(picture(tiles.encoded(10, 1, 1, encoding="png")), by_openslide(damaged, 509, 509, 195, 195))


def test_a_damaged_tile_spoils_no_tile_that_is_read_at_the_same_time(tmp_path, slides):
    damaged = damaged_copy(slides[0], tmp_path / "damaged.tif")
    tiles = Tiles(damaged)
    with pytest.raises(openslide.OpenSlideError):  # as another thread would, between the open handle and the read
        tiles._pixels.read_region((0, 0), 0, (64, 64))
    assert np.array_equal(picture(tiles.encoded(10, 1, 1, encoding="png")), by_openslide(damaged, 509, 509, 195, 195))


def test_the_overview_of_a_damaged_slide_is_white_there(tmp_path):
    image = np.full((2304, 4352, 3), 90, np.uint8)
    damaged = damaged_copy(write_pyramid(tmp_path / "whole.tif", [image]), tmp_path / "flat.tif")
    with open_scene([damaged]) as scene:
        shown = picture(scene.tiles[0].encoded(9, 0, 0, encoding="png"))
        assert (shown[:10, :10] == 255).all()  # 256 px of the slide are 16 px here
        assert (shown[24:] == 90).all() and (shown[:, 24:] == 90).all()
        assert "flat.tif is damaged: 1 parts of its overview are white" in scene.notes[0]


def test_a_slide_of_one_level_gets_an_overview(tmp_path):
    image = np.random.default_rng(1).integers(0, 256, (64, 8192, 3), dtype=np.uint8)
    image = np.ascontiguousarray(np.repeat(image, 80, 0))
    path = write_pyramid(tmp_path / "flat.tif", [image])
    tiles = Tiles(path)
    shown = picture(tiles.encoded(9, 0, 0, encoding="png"))
    small = np.asarray(Image.fromarray(reduced(image, 4)).resize((512, 320), Image.Resampling.BOX), int)
    assert shown.shape == (320, 510, 3) or shown.shape == (320, 511, 3)
    assert np.abs(shown[8:-8, 8:500] - small[8:-8, 8:500]).mean() < 12


def test_pictures_are_shown_too(tmp_path):
    colours = np.random.default_rng(2).integers(0, 256, (40, 60, 3), dtype=np.uint8)
    Image.fromarray(colours).save(tmp_path / "a.png", dpi=(25400, 25400))
    Image.fromarray(colours[..., 0]).save(tmp_path / "grey.png")
    with open_scene([tmp_path / "a.png", tmp_path / "grey.png"]) as scene:
        first, grey = scene.tiles
        assert first.mpp == pytest.approx(1) and grey.mpp is None
        assert np.array_equal(picture(first.encoded(6, 0, 0, encoding="png")), colours)
        assert np.array_equal(picture(grey.encoded(6, 0, 0, encoding="png")), np.repeat(colours[..., :1], 3, 2))
        assert any("grey.png states no µm per pixel" in note for note in scene.notes)


def test_a_grey_picture_is_turned_and_measured_as_a_colour_picture_is(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # turned by 90°
    grey = Image.fromarray(np.random.default_rng(3).integers(0, 256, (40, 60), dtype=np.uint8))
    for name, image in (("grey", grey), ("colour", grey.convert("RGB"))):
        image.save(tmp_path / f"{name}.png", dpi=(50800, 50800), exif=exif)
        image.save(tmp_path / f"{name}.tif", dpi=(50800, 50800))
    for suffix, size in (("png", (40, 60)), ("tif", (60, 40))):
        with open_scene([tmp_path / f"grey.{suffix}", tmp_path / f"colour.{suffix}"]) as scene:
            shown = [picture(tiles.encoded(6, 0, 0, encoding="png")) for tiles in scene.tiles]
            assert [tiles.size for tiles in scene.tiles] == [size] * 2
            assert [tiles.mpp for tiles in scene.tiles] == [pytest.approx(0.5)] * 2
            assert np.array_equal(*shown)
