import json
from dataclasses import replace

import cv2
import numpy as np
import pytest
from helpers.slides import write_pyramid

from mihatp_arch.errors import UserError
from mihatp_arch.evaluation.nuclei.compare import compare_slides
from mihatp_arch.inference.nuclei.options import NucleiOptions
from mihatp_cli.mihatp import main

SHAPE = (300, 340)
CENTRES = [(x, y) for y in (40, 100, 160, 220, 270) for x in (40, 100, 160, 220, 290)]


def picture(centres, *, fraction=1.0):
    rgb = np.full((*SHAPE, 3), (235, 200, 225), np.uint8)
    for x, y in centres:
        cv2.circle(rgb, (x, y), 11, (90, 60, 140), -1)
    rgb = cv2.GaussianBlur(rgb, (0, 0), 1.5)
    return cv2.resize(rgb, None, fx=fraction, fy=fraction, interpolation=cv2.INTER_AREA)


@pytest.fixture(scope="module")
def options(disc_weights):
    return NucleiOptions(str(disc_weights), device="cpu", workers=1, window=256, tile=500, whole=True)


@pytest.fixture(scope="module")
def scan(tmp_path_factory):
    return write_pyramid(tmp_path_factory.mktemp("a") / "scan.tif", [picture(CENTRES)])


def test_slides_of_two_resolutions_are_compared_by_position(scan, options, tmp_path):
    # 0.275 µm/px: nothing is enlarged, and px of both differ.
    small = picture([*CENTRES[:-2], (130, 130)], fraction=0.25 / 0.275)
    other = write_pyramid(tmp_path / "sr.tif", [small], resolution=(1e4 / 0.275, 1e4 / 0.275))
    compared = compare_slides(scan, other, tmp_path / "out", options)
    counts = compared.result.counts
    assert (counts.hr, counts.sr, counts.matched) == (25, 24, 23)
    assert abs(compared.result.agreement["area"].bias) < 0.05 * compared.result.agreement["area"].mean
    assert compared.notes == ()
    assert "nuclei in A | nuclei in B" in compared.tables.read_text()
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert {"A.geojson", "B.geojson", "B.worst.png", "B.bland_altman.png", "nuclei.csv"} <= names
    assert not [name for name in names if name.startswith(".")]
    invented = [
        feature["geometry"]["coordinates"][0]
        for feature in json.loads((tmp_path / "out/B.geojson").read_text())["features"]
        if feature["properties"]["classification"]["name"] == "Invented nucleus"
    ]
    assert len(invented) == 1
    np.testing.assert_allclose(np.mean(invented[0], axis=0), np.array((130, 130)) / 1.1, atol=2)  # px of B
    with pytest.raises(UserError, match="already: name another folder"):
        compare_slides(scan, other, tmp_path / "out", options)
    again = compare_slides(scan, other, tmp_path / "out", options, overwrite=True)
    assert again.result.counts == counts


def test_outlines_of_a_count_in_both(scan, options, tmp_path):
    """Outlines around six nuclei of A, whose px are smaller than those of B; tiles have cores of 200 px."""
    other = write_pyramid(tmp_path / "sr.tif", [picture(CENTRES, fraction=0.25 / 0.3)], resolution=(1e4 / 0.3,) * 2)
    ring = [[205, 5], [300, 5], [300, 150], [205, 150], [205, 5]]
    feature = {"type": "Feature", "geometry": {"type": "Polygon", "coordinates": [ring]}, "properties": {}}
    (tmp_path / "a.geojson").write_text(json.dumps({"type": "FeatureCollection", "features": [feature]}))
    chosen = replace(options, whole=False, tile=328, tissue=tmp_path / "a.geojson")
    counts = compare_slides(scan, other, tmp_path / "out", chosen).result.counts
    assert (counts.hr, counts.sr, counts.matched) == (6, 6, 6)


def test_a_shift_is_said(scan, options, tmp_path):
    shifted = write_pyramid(tmp_path / "shifted.tif", [np.roll(picture(CENTRES), 4, axis=1)])
    compared = compare_slides(scan, shifted, tmp_path / "out", options)
    assert "the nuclei of B lie x +1.00, y +0.00 µm from those of A" in compared.notes[-1]


def test_other_fields_are_refused_before_any_work(scan, options, tmp_path):
    other = write_pyramid(tmp_path / "other.tif", [picture(CENTRES)[:150]])
    with pytest.raises(UserError, match=r"shows 85×75 µm and .*other.tif shows 85×38 µm: give two slides"):
        compare_slides(scan, other, tmp_path / "out", options)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("name", ["nuclei.csv", "A.geojson", "nuclei.md"])
def test_files_of_the_user_are_not_replaced(scan, options, tmp_path, name):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / name).write_text("mine")
    with pytest.raises(UserError, match=f"{name} is no file of this program, so it stays"):
        compare_slides(scan, scan, tmp_path / "out", options, overwrite=True)
    assert (tmp_path / "out" / name).read_text() == "mine"


def test_no_nuclei_is_one_line(options, tmp_path):
    white = [write_pyramid(tmp_path / f"{name}.tif", [np.full((200, 200, 3), 240, np.uint8)]) for name in "ab"]
    with pytest.raises(UserError, match="have no nuclei where both have tissue"):
        compare_slides(*white, tmp_path / "out", options)


def test_the_command_of_a_slide_with_itself(scan, disc_weights, tmp_path, capsys):
    arguments = ["nuclei", "compare", str(scan), str(scan), "-o", str(tmp_path / "out"), "--weights", str(disc_weights)]
    assert main([*arguments, "--whole", "--window", "256", "--workers", "1", "--device", "cpu"]) == 0
    assert "25 nuclei in A, 25 in B, 25 in both; of 1000 nuclei of A 0.0 are lost" in capsys.readouterr().out
    assert not (tmp_path / "out" / "B.worst.png").exists()
    assert main(arguments) == 2
    assert "already: name another folder" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["B.bland_altman.png", "B.worst.png"])
def test_a_picture_of_the_user_stays(tmp_path, name):
    (tmp_path / name).write_text("mine")
    with pytest.raises(UserError, match=rf"{name} is no file of this program, so it stays"):
        compare_slides(tmp_path / "a.tif", tmp_path / "b.tif", tmp_path, NucleiOptions(), overwrite=True)
    assert (tmp_path / name).read_text() == "mine"


def test_nuclei_of_a_beyond_the_border_of_b_do_not_count(scan, options, tmp_path):
    """B lacks the 65 px (16 µm) at the right, and five nuclei with them."""
    other = write_pyramid(tmp_path / "cut.tif", [picture(CENTRES)[:, :275]])
    counts = compare_slides(scan, other, tmp_path / "out", options).result.counts
    assert (counts.hr, counts.sr, counts.matched) == (20, 20, 20)


def test_too_large_pixels_of_b_are_refused_before_any_work(scan, options, tmp_path):
    coarse = [picture(CENTRES, fraction=0.5)]
    other = write_pyramid(tmp_path / "coarse.tif", coarse, resolution=(20000, 20000))
    with pytest.raises(UserError, match=r"coarse.tif: its finest pixels are 0.5 µm"):
        compare_slides(scan, other, tmp_path / "out", options)
    assert not (tmp_path / "out").exists()
