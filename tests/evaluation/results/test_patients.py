"""The patient of an image is that of the manifest beside the data."""

import csv

import pytest

from datasets_prep.signatures import PATCH_COLUMNS
from mihatp_arch.evaluation.results.patients import find_patients

IMAGES = {"one": ["s1_0_0", "s1_0_192"], "two": ["s2_0_0"]}


@pytest.fixture
def sets(tmp_path):
    """Two test sets; the folder of a split is not called as the set in the options."""
    return {
        name: {"name": name, "dataroot_gt": str(tmp_path / f"test{number}" / "HR.lmdb")}
        for number, name in enumerate(IMAGES, 1)
    }


def write_manifest(folder, *patches: tuple[str, str, str]) -> None:
    """Key, patient and split of each patch."""
    with (folder / "manifest.csv").open("w", newline="", encoding="utf-8") as file:
        rows = csv.DictWriter(file, PATCH_COLUMNS)
        rows.writeheader()
        for key, patient, split in patches:
            known = {"key": key, "patient": patient, "split": split, "slide": "s", "x": 0, "y": 0, "sha1": "0" * 40}
            rows.writerow({"level": 0, "mpp": "0.25", "tissue": "1", "lr_source": "area", **known})


def test_the_manifest_knows_the_patients(tmp_path, sets):
    patches = [("s1_0_0", "P", "test1"), ("s1_0_192", "P", "test1"), ("s2_0_0", "Q", "test2")]
    write_manifest(tmp_path, ("s1_0_0", "X", "train"), *patches)
    patients = find_patients(sets, IMAGES)
    assert patients.of == {"one": {"s1_0_0": "P", "s1_0_192": "P"}, "two": {"s2_0_0": "Q"}}
    assert patients.count == 2 and patients.missing == ""


def test_without_a_manifest_every_image_is_its_own_patient(tmp_path, sets):
    patients = find_patients(sets, IMAGES)
    assert patients.of == {"one": {"s1_0_0": "one/s1_0_0", "s1_0_192": "one/s1_0_192"}, "two": {"s2_0_0": "two/s2_0_0"}}
    assert patients.count == 3 and patients.missing == f"there is no '{tmp_path / 'manifest.csv'}'"


def test_an_image_that_the_manifest_lacks_makes_every_image_its_own_patient(tmp_path, sets):
    write_manifest(tmp_path, ("s1_0_0", "P", "test1"), ("s1_0_192", "P", "test1"))
    patients = find_patients(sets, IMAGES)
    assert patients.count == 3
    assert patients.missing == f"'{tmp_path / 'manifest.csv'}' has no patient of two s2_0_0"
