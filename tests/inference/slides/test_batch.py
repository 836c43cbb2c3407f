"""Many slides: a CSV of what was done, failures that stop nothing, resuming, and a Dask cluster."""

import argparse
import csv
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from helpers.dask_cluster import cluster

from datasets_prep.common.errors import UserError
from datasets_prep.synthetic.slide import write_synthetic_slide
from datasets_prep.tissue.clam import Region
from datasets_prep.tissue.geojson import write_geojson
from mihatp_arch.inference.slides.command import plan_slides, run_slides
from mihatp_arch.inference.slides.task import NetworkSource
from mihatp_cli import slide_arguments


@pytest.fixture
def folder(slide, tmp_path):
    """Two good slides, one of another resolution, and one that is damaged; one is in a sub-folder."""
    folder = tmp_path / "in"
    (folder / "sub").mkdir(parents=True)
    for name in ("a.tif", "sub/b.tif"):
        shutil.copy(slide, folder / name)
    write_synthetic_slide(folder / "c.tif", width=256, height=256, seed=0, mpp=0.25, factors=())
    (folder / "d.svs").write_bytes(slide.read_bytes()[:20000])
    return folder


def given(network, *inputs, output, **others):
    """The arguments of `mihatp upscale`."""
    parser = argparse.ArgumentParser()
    slide_arguments.add_arguments(parser)
    common = {
        "inputs": list(inputs),
        "output": output,
        "weights": network.source,
        "scale": None,
        "to_mpp": None,
        "assume_mpp": None,
        "override_mpp": None,
        "format": None,
        "resume": False,
        "overwrite": False,
        "ensemble": False,
        "consistent": None,
        "tile": 96,
        "batch": None,
        "device": "cpu",
        "precision": "fp32",
    }
    slides = vars(parser.parse_args(["--workers", "1", "--lossless"]))
    return argparse.Namespace(**(common | slides | others))


def upscaled(slides, arguments):
    """The exit code of the slides' part of `mihatp upscale`."""
    return run_slides(plan_slides(slides, arguments), arguments.output)


def slides_in(folder):
    return [folder / "a.tif", folder / "sub/b.tif", folder / "c.tif", folder / "d.svs"]


def rows_of(output):
    with (output / "upscale.csv").open(newline="") as file:
        return {Path(row["slide"]).name: row for row in csv.DictReader(file)}


def test_a_folder(weights, folder, tmp_path, capsys):
    output = tmp_path / "out"
    assert upscaled(slides_in(folder), given(weights, folder, output=output)) == 3
    rows = rows_of(output)
    assert {name: row["status"] for name, row in rows.items()} == {
        "a.tif": "done",
        "b.tif": "done",
        "c.tif": "failed",
        "d.svs": "failed",
    }
    assert (rows["a.tif"]["mpp_in"], rows["a.tif"]["mpp_out"], rows["a.tif"]["scale"]) == ("0.5", "0.25", "2")
    assert len(rows["a.tif"]["weights_sha256"]) == 64
    assert "no level fits" in rows["c.tif"]["error"]
    assert sorted(str(path.relative_to(output)) for path in output.rglob("*") if path.is_file()) == [
        "a.tif",
        "sub/b.tif",
        "upscale.csv",
    ]
    shown = capsys.readouterr()
    assert "slides: 2 upscaled, 2 failed; see" in shown.out
    assert "2 of 4 slides could not be upscaled:" in shown.err

    times = {name: (output / name).stat().st_mtime_ns for name in ("a.tif", "sub/b.tif")}
    (folder / "c.tif").unlink()
    assert upscaled([*slides_in(folder)[:2]], given(weights, folder, output=output)) == 0
    assert "slides: 2 existed; see" in capsys.readouterr().out
    assert rows_of(output) == rows  # what was done stays on record
    assert {name: (output / name).stat().st_mtime_ns for name in times} == times


def test_outputs_of_other_options_are_not_taken_for_those_wanted(weights, folder, tmp_path, capsys):
    output = tmp_path / "out"
    slides = slides_in(folder)[:1]
    assert upscaled(slides, given(weights, folder, output=output)) == 0
    assert upscaled(slides, given(weights, folder, output=output, glass="white")) == 2
    assert "exists: delete it" in capsys.readouterr().err
    assert upscaled(slides, given(weights, folder, output=output, glass="white", resume=True)) == 0
    assert "slides: 1 existed" in capsys.readouterr().out
    before = rows_of(output)["a.tif"]["options"]
    assert upscaled(slides, given(weights, folder, output=output, glass="white", overwrite=True)) == 0
    assert rows_of(output)["a.tif"]["status"] == "done"
    assert rows_of(output)["a.tif"]["options"] != before


def test_the_options_of_a_run_count_the_newest_network_of_an_experiment(tmp_path, slide):
    models = tmp_path / "experiment" / "models"
    models.mkdir(parents=True)
    (models / "net_g_10.pth").write_bytes(b"first")
    arguments = given(NetworkSource(str(tmp_path / "experiment")), slide, output=tmp_path / "out")
    before = plan_slides([slide], arguments).batch.digest
    assert plan_slides([slide], arguments).batch.digest == before
    (models / "net_g_20.pth").write_bytes(b"second")
    assert plan_slides([slide], arguments).batch.digest != before


def test_a_table_of_the_user_is_not_replaced(weights, folder, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    (out / "upscale.csv").write_text("slide,patient\na.tif,P1\n")
    for overwrite in (False, True):
        with pytest.raises(UserError, match=r"upscale\.csv is no file of this program, so it stays"):
            upscaled(slides_in(folder), given(weights, folder, output=out, overwrite=overwrite))
    assert os.listdir(out) == ["upscale.csv"] and "P1" in (out / "upscale.csv").read_text()


def test_maps_that_are_missing_beside_an_output_are_said(weights, slide, tmp_path, capsys):
    out = tmp_path / "out"
    assert upscaled([slide], given(weights, slide, output=out, maps=True)) == 0
    (out / "small.inconsistency.geojson").unlink()
    capsys.readouterr()
    for more in ({}, {"resume": True}):
        assert upscaled([slide], given(weights, slide, output=out, maps=True, **more)) == 0
        assert capsys.readouterr().err == (
            "small.tif: its output exists, but small.inconsistency.geojson is missing: --overwrite computes it again\n"
        )
    assert upscaled([slide], given(weights, slide, output=out, maps=True, overwrite=True)) == 0
    assert upscaled([slide], given(weights, slide, output=out, maps=True)) == 0
    assert "missing" not in capsys.readouterr().err


def test_a_slide_with_its_outlines(weights, slide, tmp_path):
    square = Region(np.array([(150, 90), (180, 90), (180, 120), (150, 120)], np.int32))
    write_geojson(tmp_path / "tissue.geojson", [square])
    arguments = given(weights, slide, output=tmp_path / "out", tissue=tmp_path / "tissue.geojson")
    assert upscaled([slide], arguments) == 0
    assert rows_of(tmp_path / "out")["small.tif"]["tiles_computed"] == "1"
    with pytest.raises(UserError, match="it outlines one slide, and there are 2"):
        upscaled([slide, slide], arguments)


def test_one_slide_to_one_file(weights, slide, tmp_path, capsys):
    assert upscaled([slide], given(weights, slide, output=tmp_path / "one.svs", format="svs")) == 0
    assert os.listdir(tmp_path) == ["one.svs"]
    line = capsys.readouterr().out
    assert line.startswith("small.tif: x2, level 0 of 0.5 µm/px to 0.25 µm/px in ")
    with pytest.raises(UserError, match=r"one.svs exists"):
        upscaled([slide], given(weights, slide, output=tmp_path / "one.svs", format="svs"))


@pytest.mark.slow
def test_overwriting_replaces_outputs_and_never_a_slide(weights, folder, tmp_path):
    out = tmp_path / "out"
    slides = [folder / "a.tif", folder / "sub/b.tif"]
    assert upscaled(slides, given(weights, folder, output=out)) == 0
    before = (out / "a.tif").stat().st_mtime_ns
    assert upscaled(slides, given(weights, folder, output=out)) == 0
    assert (out / "a.tif").stat().st_mtime_ns == before
    assert upscaled(slides, given(weights, folder, output=out, overwrite=True)) == 0
    assert (out / "a.tif").stat().st_mtime_ns > before
    os.utime(folder / "a.tif", (1, 1))  # now it may be another slide, so that its output is not taken for done
    assert upscaled(slides, given(weights, folder, output=out)) == 3
    pixels = (folder / "a.tif").read_bytes()
    for output in (folder, folder / "a.tif"):
        with pytest.raises(UserError, match="is an input too"):
            upscaled(slides[:1], given(weights, folder / "a.tif", output=output, overwrite=True))
    assert (folder / "a.tif").read_bytes() == pixels


def test_a_file_of_another_kind_is_no_folder(weights, slide, tmp_path):
    with pytest.raises(UserError, match=r"out.png: a slide is written as .tif"):
        upscaled([slide], given(weights, slide, output=tmp_path / "out.png"))
    assert not os.listdir(tmp_path)


def test_outlines_are_part_of_what_a_run_depends_on(weights, slide, tmp_path):
    outlines, output = tmp_path / "tissue.geojson", tmp_path / "out" / "one.tif"
    square = np.array([(150, 90), (180, 90), (180, 120), (150, 120)], np.int32)
    write_geojson(outlines, [Region(square, ())])
    given_outlines = given(weights, slide, output=output, tissue=outlines, workers=None)
    assert upscaled([slide], given_outlines) == 0
    assert plan_slides([slide], given(weights, slide, output=output, tissue=str(outlines))).batch.digest
    first = output.read_bytes()
    with pytest.raises(UserError, match=r"one.tif exists"):
        upscaled([slide], given_outlines)
    write_geojson(outlines, [Region(square - 90, ())])
    assert upscaled([slide], given(weights, slide, output=output, tissue=outlines, overwrite=True)) == 0
    assert output.read_bytes() != first
    outlines.unlink()
    with pytest.raises(UserError, match=r"--tissue .* cannot be read: No such file"):
        upscaled([slide], given_outlines)


@pytest.mark.parametrize(
    ("others", "says"),
    [
        ({"to_mpp": 0.1}, "no level fits"),
        ({"weights": "no-such"}, "no such file, and no bundled weights"),
        ({"scale": 4}, "enlarges 2 times, not 4"),
        ({"workers": 0}, "at least 1 is needed"),
        ({"quality": 0}, "give 1 to 100"),
        ({"tile": 16}, "--tile 16: give at least"),
        ({"tile": 0}, "--tile 0: at least 1 is needed"),
        ({"batch": -1}, "--batch -1: at least 1 is needed"),
    ],
)
def test_mistakes_are_one_line_and_leave_nothing(weights, slide, tmp_path, others, says):
    with pytest.raises(UserError, match=says):
        upscaled([slide], given(weights, slide, output=tmp_path / "out.tif", **others))
    assert not os.listdir(tmp_path)


@pytest.mark.slow
def test_a_cluster_computes_one_slide_a_task(weights, folder, tmp_path):
    output = tmp_path / "out"
    with cluster(tmp_path) as address:
        arguments = given(weights, folder, output=output, scheduler=address)
        assert upscaled(slides_in(folder), arguments) == 3
    assert {name: row["status"] for name, row in rows_of(output).items()} == {
        "a.tif": "done",
        "b.tif": "done",
        "c.tif": "failed",
        "d.svs": "failed",
    }
    assert (output / "sub/b.tif").stat().st_size > 0
