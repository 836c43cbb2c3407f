"""Files that are written for inputs: names that clash, links, and outputs that are no folder."""

import os
from pathlib import Path

import numpy as np
import pytest
from helpers.slides import reduced, write_pyramid
from PIL import Image

from datasets_prep.common.errors import UserError
from mihatp_arch.inference.nuclei.segment_slides import plan_outputs
from mihatp_arch.inference.outputs import refuse_clashes
from mihatp_cli.mihatp import main

RGB = np.random.default_rng(0).integers(0, 256, (8, 10, 3), dtype=np.uint8)


@pytest.fixture
def upscale(tmp_path, monkeypatch, local_weights):
    monkeypatch.chdir(tmp_path)
    Path("in").mkdir()
    Image.fromarray(RGB).save("in/a.png")
    return lambda *more: main(["upscale", *map(str, more), "--weights", str(local_weights)])


def slide_at(path):
    level = np.full((300, 300, 3), 200, np.uint8)
    write_pyramid(path, [level, reduced(level, 2)], resolution=(20000, 20000))  # 0.5 µm/px


def line_of(capsys):
    error = capsys.readouterr().err
    assert error.startswith("mihatp: error: ") and error.count("\n") == 1
    return error


@pytest.mark.parametrize("target", ["far/away.png", "own.png"])
@pytest.mark.parametrize("more", [[], ["--overwrite"], ["--resume"]])
def test_a_link_is_no_output(upscale, capsys, target, more):
    assert upscale("in/a.png", "-o", "own.png") == 0
    capsys.readouterr()
    Path("link.png").symlink_to(target)
    dead = target != "own.png"
    if more == ["--resume"] and not dead:
        assert upscale("in/a.png", "-o", "link.png", *more) == 0
        return
    assert upscale("in/a.png", "-o", "link.png", *more) == 2
    said = line_of(capsys)
    assert ("link.png exists" if not dead and not more else "link.png is a link, so it stays: remove it") in said
    assert os.readlink("link.png") == target


def test_a_link_in_a_folder_is_refused_before_the_first_file(upscale, capsys):
    Image.fromarray(RGB).save("in/b.png")
    Path("out").mkdir()
    Path("out/b.png").symlink_to("/nowhere/b.png")
    assert upscale("in", "-o", "out") == 2
    assert "b.png is a link" in line_of(capsys)
    Path("slides").mkdir()
    for name in "cd":
        slide_at(f"slides/{name}.tif")
    Path("out/d.tif").symlink_to("/nowhere/d.tif")
    assert upscale("slides", "-o", "out") == 2
    assert "d.tif is a link" in line_of(capsys)
    assert sorted(os.listdir("out")) == ["b.png", "d.tif"]


@pytest.mark.parametrize("command", ["upscale", "nuclei"])
def test_an_output_that_is_no_folder_is_refused_for_all_inputs(upscale, capsys, command):
    Path("slides").mkdir()
    slide_at("slides/s.tif")
    Path("dead").symlink_to("/nowhere/folder")
    Path("notes").write_text("mine")
    segment = lambda *more: main(["nuclei", "segment", *more])  # noqa: E731
    run = upscale if command == "upscale" else segment
    for output, kind in (("dead", "a link that leads to no folder"), ("notes", "a file")):
        for source in ("slides", "in"):
            assert run(source, "-o", output) == 2
            assert f"the output {output} is {kind}: a folder is needed" in line_of(capsys)
    assert Path("notes").read_text() == "mine"


def test_files_beside_an_output_clash_too(tmp_path):
    scan, other, out = tmp_path / "a.svs", tmp_path / "a.inconsistency.svs", tmp_path / "out"
    outputs = {scan: out / "a.tif", other: out / "a.inconsistency.tif"}
    beside = {scan: [out / "a.inconsistency.tif"]}
    refuse_clashes(outputs)
    with pytest.raises(UserError, match=r"have the same output .*a\.inconsistency\.tif"):
        refuse_clashes(outputs, beside=beside)
    with pytest.raises(UserError, match=r"a\.inconsistency\.tif is an input too"):
        refuse_clashes({scan: out / "a.tif"}, beside=beside, read=[out / "a.inconsistency.tif"])


def test_a_picture_and_a_map_with_the_same_name_are_refused(upscale, capsys):
    slide_at("in/s.svs")
    Image.fromarray(RGB).save("in/s.inconsistency.tif")
    assert upscale("in", "-o", "out", "--maps") == 2
    assert "s.inconsistency.tif" in line_of(capsys)
    slide_at("s.tif")
    Path("o.inconsistency.geojson").write_text('{"features":[]}')
    assert upscale("s.tif", "-o", "o.tif", "--maps", "--tissue", "o.inconsistency.geojson") == 2
    assert "o.inconsistency.geojson is an input too" in line_of(capsys)
    assert not Path("out").exists() and not Path("o.tif").exists()


def test_nuclei_may_be_written_beside_their_slides(tmp_path):
    Image.fromarray(RGB).save(tmp_path / "a.png")
    first = plan_outputs([tmp_path], tmp_path, print)
    for output in first.values():
        output.write_text('{"type": "FeatureCollection", "features": []}')
    assert plan_outputs([tmp_path], tmp_path, print) == first == {tmp_path / "a.png": tmp_path / "a.geojson"}
