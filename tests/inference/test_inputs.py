"""Pictures and slides are told apart by their content."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tifffile
from helpers.slides import write_pyramid
from PIL import Image

from datasets_prep.common.errors import UserError
from datasets_prep.common.files import MAP
from mihatp_arch.inference.images import read_picture
from mihatp_arch.inference.inputs import find_inputs, kind_of
from mihatp_arch.inference.outputs import name_in_output

RGB = np.random.default_rng(0).integers(0, 256, (256, 384, 3), dtype=np.uint8)


@pytest.fixture
def folder(tmp_path):
    root = tmp_path / "in"
    (root / "sub").mkdir(parents=True)
    (root / ".hidden").mkdir()
    image = Image.fromarray(RGB[:8, :8])
    for name in ("b.png", "sub/a.jpg", "sub/c.tif", ".hidden/d.png", ".e.png"):
        image.save(root / name)
    (root / "notes.txt").write_text("text")
    write_pyramid(root / "sub" / "slide.tif", [RGB, RGB[::2, ::2]])
    return root


def test_folders_are_searched_at_all_depths(folder):
    inputs = find_inputs([folder])
    assert {str(name): path for path, name in inputs.pictures.items()} == {
        name: folder / name for name in ("b.png", "sub/a.jpg", "sub/c.tif")
    }
    assert inputs.slides == [folder / "sub" / "slide.tif"] and inputs.skipped == 3


def test_trust_maps_of_a_folder_of_outputs_are_no_inputs(folder):
    map_file, like_one = folder / "b.inconsistency.tif", folder / "c.deviation.tif"
    tifffile.imwrite(map_file, RGB[:8, :8, 0], description=f"inconsistency {MAP}: grey / 16; MiHATP")
    Image.fromarray(RGB[:8, :8]).save(like_one)
    inputs = find_inputs([folder])
    assert map_file not in inputs.pictures and like_one in inputs.pictures and inputs.skipped == 4
    assert list(find_inputs([map_file]).pictures) == [map_file]


def test_given_files_are_named_for_themselves(folder):
    inputs = find_inputs([folder / ".e.png", folder / "sub" / "a.jpg", folder / "sub" / "a.jpg"])
    assert [str(name) for name in inputs.pictures.values()] == [".e.png", "a.jpg"]


@pytest.mark.parametrize(
    ("name", "reason"), [("notes.txt", "is no PNG, JPEG, TIFF picture"), ("absent", "does not exist")]
)
def test_given_files_of_other_kinds_are_refused(folder, name, reason):
    with pytest.raises(UserError, match=reason):
        find_inputs([folder / "b.png", folder / name])


def test_a_folder_without_pictures_is_refused(tmp_path):
    (tmp_path / "notes.txt").write_text("text")
    with pytest.raises(UserError, match="holds no picture"):
        find_inputs([tmp_path])


def test_the_content_counts_not_the_name(folder):
    (folder / "sub" / "slide.tif").rename(folder / "x.png")
    assert kind_of(folder / "x.png") == "slide"
    (folder / "b.png").rename(folder / "b.tif")
    assert kind_of(folder / "b.tif") == "picture"


@pytest.mark.parametrize(("content", "says"), [(b"", "is empty"), (bytes(3000), "is no PNG, JPEG or TIFF")])
def test_a_lost_picture_of_a_folder_is_not_skipped(tmp_path, content, says):
    path = tmp_path / "a.png"
    path.write_bytes(content)
    (tmp_path / "notes.txt").write_bytes(content)
    found = find_inputs([tmp_path])
    assert (list(found.pictures), found.skipped) == ([path], 1)
    with pytest.raises(UserError, match=says):
        read_picture(path)


def test_a_small_tiled_tiff_of_one_level_is_a_picture(tmp_path):
    assert kind_of(write_pyramid(tmp_path / "a.tif", [RGB])) == "picture"
    large = np.zeros((4100, 4100, 3), np.uint8)
    assert kind_of(write_pyramid(tmp_path / "b.tif", [large])) == "slide"
    tifffile.imwrite(tmp_path / "c.tif", large, photometric="rgb")  # in strips
    assert kind_of(tmp_path / "c.tif") == "picture"


def test_16_bit_tiffs_are_left_to_the_reader_of_pictures(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", RGB.astype(np.uint16), tile=(128, 128), photometric="rgb")
    assert kind_of(tmp_path / "a.tif") == "picture"


def test_a_damaged_slide_is_left_to_the_reader_of_slides(tmp_path):
    (tmp_path / "a.svs").write_bytes(b"II*\0 damaged")
    assert kind_of(tmp_path / "a.svs") == "slide"


def test_pipes_are_skipped_and_not_waited_for(folder):
    for name in ("pipe", "pipe.png", "pipe.svs"):
        os.mkfifo(folder / name)
    code = "import sys, pathlib; from mihatp_arch.inference.inputs import find_inputs as f; " + (
        "print(f([pathlib.Path(sys.argv[1])]).skipped)"
    )
    command = [sys.executable, "-c", code, str(folder)]
    assert subprocess.run(command, check=True, capture_output=True, timeout=60).stdout == b"6\n"
    with pytest.raises(UserError, match="is no PNG"):
        find_inputs([folder / "pipe.png"])


def test_the_name_of_a_slide_is_utf_8(folder):
    name = folder / os.fsdecode(b"\xff.tif")
    (folder / "sub" / "slide.tif").rename(name)
    with pytest.raises(UserError, match=r"\\udcff\.tif': the path of a slide must be UTF-8"):
        find_inputs([folder])


def test_a_linked_folder_above_the_working_folder_keeps_its_subfolders(folder, tmp_path, monkeypatch):
    (tmp_path / "far").mkdir()
    (folder / "sub" / "slide.tif").rename(tmp_path / "far" / "slide.tif")
    (tmp_path / "lk").mkdir()
    (tmp_path / "lk" / "sub").symlink_to(tmp_path / "far")
    monkeypatch.chdir(folder)
    given = [Path("../lk")]
    (slide,) = find_inputs(given).slides
    assert name_in_output(slide, given) == Path("sub/slide.tif")


def test_real_slides_are_slides(shared):
    for path in (shared / "data" / "slides").glob("*.svs"):
        assert kind_of(path) == "slide"
    assert kind_of(next((shared / "data" / "monuseg" / "images").glob("*.png"))) == "picture"
