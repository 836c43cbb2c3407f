"""Every planted fault is found and named, and a sound data set has none."""

import json
import os
import shutil

import numpy as np
import pytest
from helpers.dataset import (
    SIDE,
    change,
    edit_rows,
    findings_of,
    make_row,
    only,
    pixels,
    read_rows,
    rewrite,
    values,
    write_rows,
)

from datasets_prep.check.check import check_dataset
from datasets_prep.common.downscale import reduce_patch
from datasets_prep.common.errors import UserError
from datasets_prep.common.png import encode_png
from datasets_prep.dataset.lmdb_writer import write_lmdb

KEY, OTHER = "p1-a_96_0", "p1-a_96_96"


@pytest.mark.parametrize("lr", ["area", "bicubic", "pyramid"])
def test_sound_data_have_no_fault(originals, lr):
    before = {path: path.stat().st_mtime_ns for path in originals[lr].rglob("*")}
    report = check_dataset(originals[lr], progress=False)
    (warning,) = report.warnings
    assert report.findings == report.unchecked == [] and "one patient in test1" in warning
    assert report.splits == {"train": 12, "val": 6, "test1": 6}
    assert f"24 patches (train 12, val 6, test1 6)\nwarning: {warning}\nno fault found" in report.text()
    assert {path: path.stat().st_mtime_ns for path in originals[lr].rglob("*")} == before


def test_swapped_hr(data):
    new = values(data / "train/HR.lmdb")
    new[KEY], new[OTHER] = new[OTHER], new[KEY]
    rewrite(data / "train/HR.lmdb", new)
    found = findings_of(data)
    assert f"train/HR {KEY}: its pixels are not those of manifest.csv: they are those of {OTHER}" in found
    assert len(found) == 2 + 2 * 3 and all("the LR of" in line for line in found[2:])


@pytest.mark.parametrize("role", ["HR", "LR_x4"])
def test_truncated_value(data, role):
    new = values(data / "val" / f"{role}.lmdb")
    key = "p3-a_0_96"
    new[key] = new[key][: len(new[key]) * 2 // 3]
    side = SIDE if role == "HR" else SIDE // 4
    rewrite(data / "val" / f"{role}.lmdb", new, sizes=(side, side))
    assert only(data) == f"val/{role} {key}: its PNG is cut off"


@pytest.mark.parametrize("size", [0, 100, 4096, 9000, -4096])
def test_truncated_database(data, size):
    file = data / "test1/LR_x2.lmdb/data.mdb"
    os.truncate(file, size if size >= 0 else file.stat().st_size + size)
    line = only(data)
    assert line.startswith("test1/LR_x2: ") and str(file.parent) in line


def test_patient_in_two_splits(data):
    def edit(row):
        if row["split"] == "test1":
            row["patient"] = "p1"

    edit_rows(data, edit)
    assert only(data) == "patient p1 is in train (6), test1 (6): move all of its patches to one split"
    settings = json.loads((data / "build.json").read_text())
    (data / "build.json").write_text(json.dumps(settings | {"split_by": "patch"}))
    report = check_dataset(data, progress=False)
    assert report.findings == [] and report.warnings == ["split by patch: 1 of 3 patients are in more than one split"]
    assert "warning: split by patch" in report.text()


def test_slide_of_two_patients(data):
    edit_rows(data, lambda row: row.update(patient="p9") if row["key"] == KEY else None)
    assert any(f"{KEY}: p1-a.svs is of p9 and p1" in line for line in findings_of(data))


def add_patch(data, split, key, hr, *, slide, x, y):
    for role, scale in (("HR", 1), ("LR_x2", 2), ("LR_x4", 4), ("LR_x8", 8)):
        path = data / split / f"{role}.lmdb"
        rewrite(path, {**values(path), key: encode_png(reduce_patch(hr, scale, kernel="area") if scale > 1 else hr)})
    row = make_row(key, slide, split, x, y, hr, "area")
    write_rows(data / "manifest.csv", [*read_rows(data / "manifest.csv"), row])


@pytest.mark.parametrize(("split", "slide"), [("train", "p1-a"), ("test1", "p4-a")])
def test_same_pixels_twice(data, split, slide):
    hr = pixels(values(data / "train/HR.lmdb")[KEY])
    add_patch(data, split, f"{slide}_960_960", hr, slide=slide, x=960, y=960)
    assert only(data) == f"{split}/HR {slide}_960_960: the same pixels as {KEY} of train"


def test_places_that_overlap_across_splits(data):
    rng = np.random.default_rng(0)
    for index, x in enumerate((2 * SIDE + 90, 3 * SIDE)):  # six columns of the last patch, and beside it
        hr = rng.integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8)
        add_patch(data, "test1", f"p1-a_{x}_{index}", hr, slide="p1-a", x=x, y=index)
    hr = rng.integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8)
    add_patch(data, "val", "p1-a_100_150", hr, slide="p1-a", x=100, y=150)
    found = [line for line in findings_of(data) if "overlaps" in line]
    assert found[0] == f"test1 p1-a_282_0: overlaps p1-a_{2 * SIDE}_0 of train on p1-a.svs"
    assert sorted(found[1:]) == [
        f"val p1-a_100_150: overlaps p1-a_{x}_{SIDE} of train on p1-a.svs" for x in (2 * SIDE, SIDE)
    ]


def test_changed_hr_is_not_that_of_the_manifest(data):
    change(data / "train/HR.lmdb", KEY, lambda image: np.where(np.arange(SIDE)[:, None, None] == 5, 0, image))
    assert f"train/HR {KEY}: its pixels are not those of manifest.csv" in findings_of(data)


def test_missing_key(data):
    new = values(data / "val/LR_x8.lmdb")
    del new["p3-a_0_0"]
    rewrite(data / "val/LR_x8.lmdb", new)
    assert only(data) == "val/LR_x8 p3-a_0_0: is missing, HR has it"


def test_manifest_and_images_disagree(data):
    rows = read_rows(data / "manifest.csv")
    write_rows(data / "manifest.csv", [{**rows[0], "key": "p1-a_7_7", "x": "777", "y": "777"}, *rows[1:], rows[-1]])
    assert findings_of(data) == [
        "test1 p4-a_192_96: is in manifest.csv twice",
        "train/HR p1-a_7_7: is missing, manifest.csv has it",
        "train/HR p1-a_0_0: is not in manifest.csv",
    ]


def test_wrong_sizes(data):
    rewrite(data / "val/LR_x4.lmdb", values(data / "val/LR_x4.lmdb"), sizes=(30, 24))
    found = findings_of(data)
    assert len(found) == 6 and found[0] == "val/LR_x4 p3-a_0_0: is 24x24, meta_info.txt says 24x30"


def test_hr_of_another_size(data):
    change(data / "val/HR.lmdb", "p3-a_0_0", lambda image: image[:48])
    assert "val/HR p3-a_0_0: is 96x48, not 96x96" in findings_of(data)


def test_missing_role_and_missing_split(data):
    shutil.rmtree(data / "val/LR_x4.lmdb")
    shutil.rmtree(data / "test1")
    assert findings_of(data) == [
        "val/LR_x4: there is no LR_x4.lmdb in this split",
        "test1: manifest.csv has 6 patches of it, there is no folder",
    ]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("manifest.csv", "key,slide\na,b\n"),
        ("manifest.csv", "\0\0"),
        ("manifest.csv", ""),
        ("build.json", "{"),
        ("build.json", '{"patch_size": "big"}'),
    ],
)
def test_damaged_files_beside_the_images(data, name, text):
    (data / name).write_text(text)
    report = check_dataset(data, progress=False)
    assert len(report.findings) == 1 and str(data / name) in report.findings[0]
    assert sum(report.splits.values()) == 24


def test_many_faults_are_counted(data):
    rows = read_rows(data / "manifest.csv")
    for row in rows:
        row["sha1"] = "0" * 40
    write_rows(data / "manifest.csv", rows)
    found = findings_of(data)
    assert len(found) == 21 and found[-1] == "… and 4 more: hashes"


@pytest.mark.parametrize("lr", ["area", "bicubic", "pyramid"])
def test_images_without_a_manifest(copy, lr):
    data = copy(lr)
    for name in ("manifest.csv", "build.json"):
        (data / name).unlink()
    write_lmdb(data / "val/masks.lmdb", [("a", np.zeros((4, 4, 3), np.uint8))])
    report = check_dataset(data, progress=False)
    assert report.findings == []
    assert "no manifest.csv" in report.unchecked[0] and any("val/masks.lmdb" in line for line in report.unchecked)
    assert ("neither the area mean of HR nor bicubic" in report.text()) == (lr == "pyramid")
    change(data / "train/LR_x2.lmdb", KEY, lambda image: np.roll(image, 1, axis=1))
    assert f"train/LR_x2 {KEY}: " in only(data) and "shifted by (+1, +0)" in only(data)
    new = values(data / "val/LR_x4.lmdb")
    new["p3-a_0_0"] = new["p3-a_0_0"][:-9]
    rewrite(data / "val/LR_x4.lmdb", new, sizes=(SIDE // 4, SIDE // 4))
    assert len(findings_of(data)) == 2 and "val/LR_x4 p3-a_0_0: its PNG is cut off" in findings_of(data)
    report = check_dataset(data / "train", progress=False)  # one split alone
    assert report.splits == {"train": 12} and report.findings == findings_of(data)[:1]


def test_folders_that_are_no_data_set(tmp_path):
    (tmp_path / "more").mkdir()
    for folder, message in (
        (tmp_path, "no data set"),
        (tmp_path / "absent", "no folder"),
        (tmp_path / "a\0b", "no fol"),
    ):
        with pytest.raises(UserError, match=message):
            check_dataset(folder, progress=False)


def test_a_lost_build_json_is_said(copy):
    data = copy("area")
    (data / "build.json").unlink()
    report = check_dataset(data, progress=False)
    assert report.findings == [] and any("there is no build.json" in line for line in report.unchecked)
