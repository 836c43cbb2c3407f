import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import tifffile
from helpers.slides import write_pyramid
from scipy.spatial.distance import cdist

from datasets_prep.slides.open import open_slide
from mihatp_arch.api import segment_nuclei
from mihatp_arch.errors import UserError
from mihatp_arch.inference.nuclei.level import nuclei_level
from mihatp_arch.inference.nuclei.options import NucleiOptions
from mihatp_arch.inference.nuclei.segment_slide import find_nuclei, segment_slide
from mihatp_arch.inference.nuclei.store import NucleiStore
from mihatp_cli.mihatp import main


def options(weights, **more):
    """Tiles of 328 px whose cores have 200 px."""
    return NucleiOptions(
        str(weights), device="cpu", **({"workers": 1, "window": 256, "tile": 328, "whole": True} | more)
    )


@pytest.fixture(scope="module")
def slide(discs, tmp_path_factory):
    return write_pyramid(tmp_path_factory.mktemp("slide") / "discs.tif", [discs[0]])


@pytest.fixture(scope="module")
def written(slide, disc_weights, tmp_path_factory):
    output = tmp_path_factory.mktemp("segmented") / "discs.geojson"
    return segment_slide(slide, output, options(disc_weights)), output


def test_each_nucleus_is_found_once_across_tiles(written, discs):
    result, _ = written
    assert result.computed.shape == (3, 2)
    distances = cdist(discs[1] + 0.5, result.nuclei.centres / 0.25)
    assert len(result.nuclei) == len(discs[1])
    assert distances.min(axis=1).max() < 1.5
    whole = [cv2.contourArea(points) for points in result.nuclei.outlines]
    np.testing.assert_allclose(whole, result.nuclei.features["area"], rtol=0.03)


def test_the_geojson_is_that_of_qupath(written, discs):
    _, output = written
    features = json.loads(output.read_text())["features"]
    assert len(features) == len(discs[1])
    first = features[0]
    assert first["properties"]["objectType"] == "detection"
    assert first["properties"]["classification"]["name"] == "Nucleus"
    assert first["properties"]["measurements"]["area µm²"] > 5
    ring = np.array(first["geometry"]["coordinates"][0])
    assert ring[0].tolist() == ring[-1].tolist()
    assert cdist(discs[1] + 0.5, ring.mean(axis=0)[None]).min() < 2  # level-0 px
    assert [path.name for path in output.parent.iterdir()] == [output.name]


def test_a_killed_run_resumes_and_gives_the_same(written, slide, disc_weights, tmp_path, monkeypatch):
    store, commits, committed = tmp_path / "store", [], NucleiStore.commit

    def commit(self, row, column, tile):
        if len(commits) == 3:
            raise KeyboardInterrupt
        commits.append((row, column))
        committed(self, row, column, tile)

    monkeypatch.setattr(NucleiStore, "commit", commit)
    with pytest.raises(KeyboardInterrupt):
        find_nuclei(slide, store, options(disc_weights))
    monkeypatch.setattr(NucleiStore, "commit", committed)
    with pytest.raises(UserError, match="finished blocks of other options: tiles"):
        find_nuclei(slide, store, options(disc_weights, tile=500))
    again = find_nuclei(slide, store, options(disc_weights))
    assert len(set(commits)) == 3
    np.testing.assert_array_equal(again.nuclei.centres, written[0].nuclei.centres)


@pytest.mark.slow
def test_more_processes_give_the_same(written, slide, disc_weights, tmp_path):
    result = find_nuclei(slide, tmp_path / "store", options(disc_weights, workers=2))
    np.testing.assert_array_equal(result.nuclei.centres, written[0].nuclei.centres)


def test_coarser_pixels_are_enlarged_on_request(slide, discs, disc_weights, tmp_path):
    half = cv2.resize(discs[0], None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
    coarse = write_pyramid(tmp_path / "coarse.tif", [half], resolution=(20000, 20000))
    with open_slide(coarse) as opened:
        with pytest.raises(UserError, match=r"0\.5 µm, nuclei are segmented at 0\.25 µm/px: super-resolve it first"):
            nuclei_level(opened)
        level = nuclei_level(opened, force=True)
        assert (level.zoom, level.plan.width, level.plan.height) == (2, 400, 440)
        near = level.read(opened, (100, 60, 80, 90)).astype(int) - discs[0][60:150, 100:180]
        assert np.abs(near).mean() < 6
        parts = [level.read(opened, (left, 60, 40, 90)) for left in (100, 140)]
        np.testing.assert_array_equal(np.hstack(parts), level.read(opened, (100, 60, 80, 90)))


def test_finer_pixels_are_reduced(discs, tmp_path):
    double = np.kron(discs[0], np.ones((2, 2, 1), np.uint8))
    fine = write_pyramid(tmp_path / "fine.tif", [double], resolution=(80000, 80000))
    with open_slide(fine) as opened:
        level = nuclei_level(opened)
        np.testing.assert_array_equal(level.read(opened, (10, 20, 60, 50)), discs[0][20:70, 10:70])


@pytest.mark.parametrize(
    ("output", "more", "says"),
    [
        ("a.csv", {}, r"written as \.geojson"),
        ("a.geojson", {"window": 250}, "--window 250: a network of mode fast takes 256, 264"),
        ("a.geojson", {"tile": 100}, "--tile 100: give at least 292"),
    ],
)
def test_mistakes_are_one_line_and_leave_nothing(slide, disc_weights, tmp_path, output, more, says):
    with pytest.raises(UserError, match=says):
        segment_slide(slide, tmp_path / output, options(disc_weights, **more))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("output", "more", "says"),
    [
        ("a.csv", {}, r"^output \S*a\.csv: nuclei are written"),
        ("a.geojson", {"window": 250}, r"^window 250: a network of mode fast"),
        ("a.geojson", {"tile": 100}, r"^tile 100: give at least 292"),
        ("slide.geojson", {}, r"name another file, or give overwrite=True$"),
        ("a.geojson", {"batch": 0}, r"^batch 0: at least 1 is needed"),
        ("a.geojson", {"tissue": Path("a.geojson")}, r"^whole computes everything, tissue only its outlines: give one"),
    ],
)
def test_in_python_mistakes_name_keywords(slide, disc_weights, tmp_path, output, more, says):
    (tmp_path / "slide.geojson").write_text("{}")
    with pytest.raises(UserError, match=says):
        segment_nuclei(slide, tmp_path / output, options=options(disc_weights, **more))


@pytest.mark.parametrize("option", ["batch", "workers", "tile"])
def test_the_command_names_its_options(slide, tmp_path, capsys, option):
    command = ["nuclei", "segment", str(slide), "-o", str(tmp_path / "a.geojson")]
    assert main([*command, f"--{option}", "0"]) == 2
    assert f"--{option} 0: at least 1 is needed" in capsys.readouterr().err


def test_a_picture_needs_its_resolution(discs, disc_weights, tmp_path):
    picture = tmp_path / "discs.png"
    cv2.imwrite(str(picture), discs[0][..., ::-1])
    with pytest.raises(UserError, match=r"discs\.png does not state its µm per pixel: give --assume-mpp"):
        segment_slide(picture, tmp_path / "a.geojson", options(disc_weights))
    found = segment_slide(picture, tmp_path / "a.geojson", options(disc_weights, assume_mpp=0.25, whole=False))
    assert len(found.nuclei) == len(discs[1])


def test_a_contradicted_resolution_is_said_or_counts(slide, disc_weights, tmp_path):
    with open_slide(slide) as opened:
        assumed, overridden = options(disc_weights, assume_mpp=0.4), options(disc_weights, override_mpp=0.4)
        level = nuclei_level(opened, resolution=assumed.resolution_of(opened))
        assert level.mpp == 0.25
        assert "--assume-mpp" in level.plan.notes[0]
        level = nuclei_level(opened, force=True, resolution=overridden.resolution_of(opened))
        assert (level.mpp, level.zoom) == (0.4, 1.6)


def test_a_damaged_slide_is_refused_before_any_work(slide, disc_weights, tmp_path):
    data = bytearray(slide.read_bytes())
    with tifffile.TiffFile(slide) as file:
        page = file.pages[0]
        data[page.dataoffsets[0] : page.dataoffsets[0] + page.databytecounts[0]] = bytes(page.databytecounts[0])
    (tmp_path / "damaged.tif").write_bytes(data)
    with pytest.raises(UserError, match=r"damaged\.tif cannot be decoded in 1 areas of 256x256 px \(x 0 y 0\)"):
        segment_slide(tmp_path / "damaged.tif", tmp_path / "a.geojson", options(disc_weights))
    assert [path.name for path in tmp_path.iterdir()] == ["damaged.tif"]


@pytest.mark.parametrize("kind", [Path, str])
def test_the_outlines_of_the_tissue_are_not_replaced(slide, disc_weights, tmp_path, kind):
    outlines = tmp_path / "tissue.geojson"
    outlines.write_text("{}")
    with pytest.raises(UserError, match="it is the file of --tissue"):
        segment_slide(slide, outlines, options(disc_weights, whole=False, tissue=kind(outlines)), overwrite=True)


def test_an_output_that_exists_stays(written, slide, disc_weights):
    with pytest.raises(UserError, match="exists: delete it"):
        segment_slide(slide, written[1], options(disc_weights))


def test_glass_alone_has_no_nuclei(disc_weights, tmp_path):
    white = write_pyramid(tmp_path / "white.tif", [np.full((300, 300, 3), 243, np.uint8)])
    result = segment_slide(white, tmp_path / "white.geojson", options(disc_weights, whole=False))
    assert len(result.nuclei) == 0
    assert "no tissue was found" in result.notes[-1]
    assert json.loads((tmp_path / "white.geojson").read_text())["features"] == []


def test_the_command(slide, disc_weights, discs, tmp_path, capsys):
    output = tmp_path / "new" / "discs.geojson"
    arguments = ["nuclei", "segment", str(slide), "-o", str(output), "--weights", str(disc_weights), "--whole"]
    assert main([*arguments, "--window", "256", "--tile", "500", "--workers", "1", "--device", "cpu"]) == 0
    assert capsys.readouterr().out == f"{output}: {len(discs[1])} nuclei, 4 of 4 tiles computed\n"
    assert main(arguments) == 2
    assert (
        capsys.readouterr().err
        == f"mihatp: error: {output} exists: delete it, name another file, or give --overwrite\n"
    )
    output.write_text('{"type":"FeatureCollection","features":[{"type":"Feature"}]}')  # of QuPath
    assert main([*arguments, "--overwrite"]) == 2
    assert "discs.geojson is no file of this program, so it stays" in capsys.readouterr().err
    assert main([*arguments, "--overwrite", "--tissue", "x.geojson"]) == 2
    assert "give one of them" in capsys.readouterr().err


def test_folders_are_mirrored_and_failures_are_listed(slide, disc_weights, tmp_path, capsys):
    scans, out = tmp_path / "scans", tmp_path / "out"
    for name in ("a/scan.tif", "b/scan.tif"):
        (scans / name).parent.mkdir(parents=True)
        write_pyramid(scans / name, [np.full((300, 300, 3), 243, np.uint8)])
    (scans / "broken.svs").write_bytes(b"no slide")
    arguments = ["nuclei", "segment", str(scans), str(slide), "-o", str(out), "--weights", str(disc_weights)]
    arguments += ["--window", "256", "--tile", "500", "--workers", "1", "--device", "cpu"]
    assert main(arguments) == 3
    captured = capsys.readouterr()
    assert f"{out}: slides: 3 segmented, 1 failed" in captured.out
    assert "1 of 4 slides could not be segmented:\n  " in captured.err and "broken.svs" in captured.err
    names = sorted(path.relative_to(out).as_posix() for path in out.rglob("*.*"))
    assert names == ["a/scan.geojson", "b/scan.geojson", "discs.geojson"]
    assert main(["nuclei", "segment", str(scans), "-o", str(tmp_path / "x.geojson")]) == 2
    assert "x.geojson: for a folder or several inputs, name a folder" in capsys.readouterr().err
    assert main(arguments) == 2
    assert "exists: --resume leaves it, --overwrite replaces it" in capsys.readouterr().err
    assert main([*arguments, "--resume"]) == 3
    assert "slides: 3 existed, 1 failed" in capsys.readouterr().out
    assert main([*arguments, "--overwrite", "--tissue", "x.geojson"]) == 2
    assert "it outlines one slide, and there are 4" in capsys.readouterr().err
    assert main([*arguments[:-10], "--weights", "he-light-x2", "-o", str(tmp_path / "new")]) == 2
    assert "he-light" in (error := capsys.readouterr().err) and error.count("\n") == 1
