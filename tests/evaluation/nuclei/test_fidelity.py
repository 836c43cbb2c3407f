import csv
import json
import math

import cv2
import numpy as np
import pytest
from scipy.stats import wasserstein_distance

from mihatp_arch.evaluation.nuclei.fidelity import Comparison, Names, agreement, compare_images, fidelity
from mihatp_arch.evaluation.nuclei.fidelity_report import markdown, write_fidelity
from mihatp_arch.evaluation.nuclei.worst_fields import SIDE, crop_of, worst_fields
from mihatp_arch.inference.nuclei.morphometry import FEATURES, measure

CENTRES = [(x, y) for y in (40, 120, 200, 280) for x in (40, 120, 200, 280, 360)]
RADIUS = 10


def drawn(centres, radius):
    labels = np.zeros((320, 400), np.int32)
    for number, centre in enumerate(centres, 1):
        cv2.circle(labels, centre, radius, number, -1)
    return labels


@pytest.fixture(scope="module")
def pictures():
    """HR, and SR that is paler by 10 %."""
    hr = np.random.default_rng(0).integers(60, 180, (320, 400, 3), dtype=np.uint8)
    return hr, (hr * 1.1).astype(np.uint8)


@pytest.fixture(scope="module")
def comparison(pictures):
    """Two of 20 nuclei are lost, one is invented, and the others are larger by 1 px in radius, shifted by 2 px."""
    moved = [(x + 2, y) for x, y in CENTRES[2:]]
    hr, sr = drawn(CENTRES, RADIUS), drawn([*moved, (80, 80)], RADIUS + 1)
    return compare_images("tile", hr=hr, sr=sr, hr_rgb=pictures[0], sr_rgb=pictures[1])


def test_lost_and_invented_nuclei(comparison):
    counts = fidelity([comparison]).counts
    assert (counts.hr, counts.sr, counts.matched, counts.lost, counts.invented) == (20, 19, 18, 100, 50)
    two = fidelity([comparison, comparison]).counts
    assert (two.hr, two.lost) == (40, 100)


def test_the_bias_is_that_of_the_change(comparison):
    result = fidelity([comparison]).agreement
    grown = (drawn([(40, 40)], RADIUS + 1) > 0).sum() - (drawn([(40, 40)], RADIUS) > 0).sum()
    area = result["area"]
    assert (area.n, area.bias) == (18, pytest.approx(grown / 16))
    assert area.low == pytest.approx(area.bias) == area.high  # all grow alike
    assert area.wasserstein == pytest.approx(grown / 16)
    assert result["hematoxylin"].bias < 0
    assert abs(result["eccentricity"].bias) < 0.02


def test_agreement_by_hand():
    hr, sr = np.array([1.0, 2, 3]), np.array([2.0, 2, 5])
    values = agreement(hr, sr)
    assert (values.n, values.mean, values.bias) == (3, 2, 1)
    assert values.high - values.low == pytest.approx(2 * 1.96 * 1)
    assert values.wasserstein == wasserstein_distance(hr, sr)
    assert math.isnan(agreement(hr[:1], sr[:1]).low)
    assert agreement(hr[:0], sr[:0]).n == 0


def test_the_files(comparison, pictures, tmp_path):
    def read(name, x, y, side):
        assert name == "tile"
        return tuple(crop_of(picture, mpp=0.25, x=x, y=y, side=side) for picture in pictures)

    results = write_fidelity(tmp_path, {"MiHATP": [comparison]}, {"MiHATP": read})
    names = {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*") if path.is_file()}
    pngs = {"MiHATP.bland_altman.png", "MiHATP.worst.png"}
    assert names == {"nuclei.md", "nuclei.csv", "fidelity.csv", "MiHATP/tile.geojson", *pngs}
    with (tmp_path / "nuclei.csv").open() as file:
        rows = list(csv.DictReader(file))
    kinds = [row["status"] for row in rows]
    assert [kinds.count(kind) for kind in ("matched", "lost", "invented")] == [18, 2, 1]
    difference = [float(row["sr_area"]) - float(row["hr_area"]) for row in rows if row["status"] == "matched"]
    assert np.mean(difference) == pytest.approx(results["MiHATP"].agreement["area"].bias)
    assert rows[-1]["hr_area"] == ""
    shown = json.loads((tmp_path / "MiHATP/tile.geojson").read_text())["features"]
    classes = [feature["properties"]["classification"]["name"] for feature in shown]
    assert (classes.count("Lost nucleus"), classes.count("Invented nucleus"), len(classes)) == (2, 1, 21)
    assert "| MiHATP | 20 | 19 | 18 | 100.0 | 50.0 |" in (tmp_path / "nuclei.md").read_text()
    assert all(cv2.imread(str(tmp_path / name)).std() > 10 for name in pngs)


def test_types_are_rows_of_their_own(pictures, tmp_path):
    """The first ten nuclei of HR have type 1, the others type 2; SR has 2 lost ones of type 1, and an invented one."""
    hr, sr = drawn(CENTRES, RADIUS), drawn([*CENTRES[2:], (80, 80)], RADIUS)
    types = np.where(hr > 10, 2, 1).astype(np.uint8)
    of_sr = np.ones_like(types)  # a pair has the type of HR
    measured = [measure(hr, pictures[0], mpp=0.25, types=types), measure(sr, pictures[1], mpp=0.25, types=of_sr)]
    compared = Comparison("tile", *measured)
    result = fidelity([compared])
    assert result.counts.matched == 18
    first, second = result.of_type[1].counts, result.of_type[2].counts
    assert (first.hr, first.matched, first.lost, first.invented) == (10, 8, 200, 100)
    assert (second.hr, second.matched, second.lost, second.invented) == (10, 10, 0, 0)
    assert result.of_type[2].agreement["area"].n == 10
    write_fidelity(tmp_path, {"a": [compared]}, {"a": lambda *field: pictures}, kinds={1: "Inflammatory nucleus"})
    text = (tmp_path / "nuclei.md").read_text()
    assert "| a | all | 20 | 19 | 18 | 100.0 | 50.0 |" in text
    assert "| a | Inflammatory nucleus | 10 | 9 | 8 | 200.0 | 100.0 |" in text and "| a | type 2 | 10 |" in text
    with (tmp_path / "fidelity.csv").open() as file:
        kinds = [row["nuclei"] for row in csv.DictReader(file)]
    assert kinds == [kind for kind in ("all", "Inflammatory nucleus", "type 2") for _ in FEATURES]


def test_intervals_are_those_of_patients(pictures):
    """Six patients, two images each; in the nuclei of patient n the radius grows by 1 px where n is odd."""

    def image(patient, name):
        sr = drawn([(x + 2, y) for x, y in CENTRES[patient:]], RADIUS + patient % 2)
        compared = compare_images(name, hr=drawn(CENTRES, RADIUS), sr=sr, hr_rgb=pictures[0], sr_rgb=pictures[1])
        return Comparison(name, compared.hr, compared.sr, f"P{patient}")

    images = [image(patient, f"{patient}{part}") for patient in range(6) for part in "ab"]
    result = fidelity(images)
    assert result.patients == 6
    area = result.agreement["area"]
    for name in ("bias", "low", "high", "wasserstein"):
        low, high = area.intervals[name]
        assert low < getattr(area, name) < high
    low, high = result.counts.intervals["lost"]
    assert 0 <= low < result.counts.lost == 125 < high
    assert result.counts.intervals["invented"] == (0, 0)
    assert fidelity(images[:10]).agreement["area"].intervals["bias"] is None  # five patients
    alone = [Comparison(each.name, each.hr, each.sr) for each in images]
    lows = [fidelity(given).agreement["area"].intervals["bias"][0] for given in (alone, images)]
    assert lows[0] > lows[1]  # as twelve patients of one image each, the interval would be too small
    text = markdown({"a": result}, Names(), {})
    assert f"125.0 [{low:.1f} … {high:.1f}]" in text and "from the 6 of these images" in text


def test_the_worst_fields(comparison):
    fields = worst_fields([comparison])
    assert [field.wrong for field in fields] == [3]  # the lost ones at 40 and 120 px, the invented one at 80
    field = fields[0]
    assert field.x <= 10 < field.x + SIDE
    assert field.y <= 10 < field.y + SIDE


def test_fields_do_not_overlap(pictures):
    random = np.random.default_rng(1)
    centres = [tuple(centre) for centre in random.integers(12, 308, (60, 2)).tolist()]
    empty = np.zeros((320, 400), np.int32)
    lost = compare_images("a", hr=drawn(centres, 5), sr=empty, hr_rgb=pictures[0], sr_rgb=pictures[1])
    fields = worst_fields([lost])
    assert [field.wrong for field in fields] == sorted((field.wrong for field in fields), reverse=True)
    for field in fields:
        inside = (lost.hr.centres >= (field.x, field.y)) & (lost.hr.centres < (field.x + SIDE, field.y + SIDE))
        assert inside.all(axis=1).sum() == field.wrong
    apart = [max(abs(a.x - b.x), abs(a.y - b.y)) >= SIDE for a in fields for b in fields if a is not b]
    assert len(fields) > 2
    assert all(apart)


def test_no_nuclei_at_all(pictures, tmp_path):
    empty = np.zeros((320, 400), np.int32)
    comparison = compare_images("tile", hr=empty, sr=empty, hr_rgb=pictures[0], sr_rgb=pictures[1])
    result = fidelity([comparison])
    assert math.isnan(result.counts.lost)
    assert "| a | 0 | 0 | 0 | – | – |" in markdown({"a": result}, Names(), {})
    write_fidelity(tmp_path, {"a": [comparison]}, {"a": lambda *field: pytest.fail("nothing is read")})
    assert set(result.agreement) == set(FEATURES)


def test_two_frames_are_a_fault(pictures):
    labels = drawn(CENTRES, RADIUS)
    with pytest.raises(ValueError, match="are not of one frame"):
        compare_images("tile", hr=labels, sr=labels[1:], hr_rgb=pictures[0], sr_rgb=pictures[1][1:])
