"""A frozen list is that of the pixels, and other pixels, images and patients are refused with one line."""

import csv
import shutil
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest
from helpers.benchmark import FAST, OVERLAYS, plan, write_benchmark
from helpers.small_data import SETS, picture, put

from datasets_prep.signatures import PATCH_COLUMNS
from mihatp_arch.errors import UserError
from mihatp_arch.evaluation.frozen_list import check_against, freeze, hash_of, read_test_images
from mihatp_cli.mihatp import main


@pytest.fixture
def data(tmp_path, small_data) -> Path:
    """A copy that a test may change, with a manifest: two patches of each patient, none of them in two splits."""
    folder = tmp_path / "data"
    shutil.copytree(small_data, folder)
    write_manifest(folder, {f"{name}-{number}": (name, f"P-{name}") for name, n in SETS.items() for number in range(n)})
    return folder


def write_manifest(folder: Path, patients: dict[str, tuple[str, str]]) -> None:
    """Key -> split and patient."""
    with (folder / "manifest.csv").open("w", newline="", encoding="utf-8") as file:
        rows = csv.DictWriter(file, PATCH_COLUMNS, restval="0")
        rows.writeheader()
        for key, (split, patient) in patients.items():
            rows.writerow({"key": key, "patient": patient, "split": split, "lr_source": "area", "sha1": "0" * 40})


def test_the_list_has_patients_keys_and_pixels(tmp_path, data):
    file = tmp_path / "list.csv"
    assert freeze(plan(tmp_path, data, "SRCNN"), file, date="2026-01-31") == 10
    first, head, *rows = file.read_text(encoding="utf-8").splitlines()
    images = read_test_images(plan(tmp_path, data, "SRCNN"))
    start = "# mihatp frozen test list 1; x4; benchmark small; 2026-01-31; mihatp "
    assert first.startswith(start) and first.endswith(hash_of(images))
    assert head == "set,image,patient,hr_sha256,lr_sha256"
    seed = 1 + sum(SETS[name] for name in ("train", "val"))  # as write_data counts
    hr = np.ascontiguousarray(picture(seed, 64)[..., ::-1])
    assert rows[0].startswith(f"test1,test1-0,P-test1,{sha256(hr.tobytes()).hexdigest()},")
    assert check_against(plan(tmp_path, data, "HAT"), file) == images


def test_patients_that_are_not_known_are_said_not_to_be_compared(tmp_path, data, capsys):
    file = tmp_path / "list.csv"
    freeze(plan(tmp_path, data, "SRCNN"), file, date="")
    check_against(plan(tmp_path, data, "SRCNN"), file)
    assert capsys.readouterr().out == ""
    (data / "manifest.csv").unlink()
    check_against(plan(tmp_path, data, "SRCNN"), file)
    assert "list.csv: pixels agree; patients are not all known, in the list or here" in capsys.readouterr().out


def test_a_list_is_not_written_twice(tmp_path, data):
    file = tmp_path / "list.csv"
    file.write_text("mine")
    with pytest.raises(UserError, match=r"--freeze .*list\.csv: the file exists"):
        freeze(plan(tmp_path, data, "SRCNN"), file, date="")
    assert file.read_text() == "mine"
    with pytest.raises(UserError, match="cannot write"):
        freeze(plan(tmp_path, data, "SRCNN"), tmp_path / "absent" / "list.csv", date="")


def other_pixels(data: Path) -> None:
    shutil.rmtree(data / "test2" / "LR_x4.lmdb")
    put(data / "test2" / "LR_x4.lmdb", {f"test2-{number}": picture(number, 16) for number in range(2)})


def other_keys(data: Path) -> None:
    for role, width in (("HR", 64), ("LR_x4", 16)):
        shutil.rmtree(data / "test2" / f"{role}.lmdb")
        put(data / "test2" / f"{role}.lmdb", {f"test2-{number}": picture(number, width) for number in (1, 2)})


def other_patient(data: Path) -> None:
    text = (data / "manifest.csv").read_text(encoding="utf-8")
    (data / "manifest.csv").write_text(text.replace("test2-1,0,P-test2", "test2-1,0,Q"), encoding="utf-8")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (other_pixels, "LR of test2 test2-0 has other pixels (and 1 more differences)"),
        (other_keys, "test2 test2-0 is missing here (and "),
        (other_patient, "test2 test2-1 is of patient P-test2 there, of Q here"),
    ],
)
def test_other_test_sets_are_refused(tmp_path, data, change, message):
    file = tmp_path / "list.csv"
    freeze(plan(tmp_path, data, "SRCNN"), file, date="")
    change(data)
    with pytest.raises(UserError) as refused:
        check_against(plan(tmp_path, data, "SRCNN"), file)
    assert message in str(refused.value) and str(refused.value).startswith(f"--against {file}: the test sets are other")


def test_a_patient_of_the_list_must_not_be_trained_on(tmp_path, data):
    file = tmp_path / "list.csv"
    freeze(plan(tmp_path, data, "SRCNN"), file, date="")
    text = (data / "manifest.csv").read_text(encoding="utf-8")
    (data / "manifest.csv").write_text(text.replace("P-train", "P-test3", 1), encoding="utf-8")
    with pytest.raises(UserError, match=r"patient P-test3 of test3 is in datasets\.train too"):
        check_against(plan(tmp_path, data, "SRCNN"), file)


@pytest.mark.parametrize(
    "text", ["", "# mihatp frozen test list 1; x2; b\nset,image,patient,hr_sha256,lr_sha256\na,b,c,d,e\n"]
)
def test_a_file_that_is_no_list_for_this_scale_is_refused(tmp_path, data, text):
    file = tmp_path / "list.csv"
    file.write_text(text)
    with pytest.raises(UserError, match=r"--against .*: it (cannot be read|is not for x4)"):
        check_against(plan(tmp_path, data, "SRCNN"), file)


def test_the_command_freezes_without_training_and_refuses_other_data(tmp_path, data, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    files = [str(file) for file in (write_benchmark(tmp_path, {"bicubic": None, "SRCNN": None}), *OVERLAYS)]
    command = ["benchmark", "-opt", *files, "--data", str(data), "--force_yml", *FAST, "-o", "out"]
    assert main([*command, "--freeze", "list.csv"]) == 0
    assert capsys.readouterr().out == "list.csv: 10 images\n"
    assert not (tmp_path / "out").exists()
    other_pixels(data)
    assert main([*command, "--against", "list.csv"]) == 2
    assert "LR of test2 test2-0 has other pixels" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
