"""`--dry-run` says what a build would do, and leaves nothing behind."""

import resource
import shutil

import pytest
from helpers.build import PATIENTS, barcode, write_slides

from datasets_prep.command import main
from datasets_prep.synthetic.slide import write_synthetic_slide

FEW = ["--patch-size", 96, "--preset", "biopsy", "--tests", PATIENTS - 2]
FEW += ["--train-patches", 12, "--val-patches", 4, "--test-patches", 4]


@pytest.fixture(scope="module")
def slides(tmp_path_factory):
    return write_slides(tmp_path_factory.mktemp("dry") / "slides")


def command(*arguments):
    return main([str(argument) for argument in arguments])


@pytest.mark.slow
def test_it_says_what_the_build_then_does(slides, tmp_path, capsys):
    assert command(slides, "-o", tmp_path / "out", *FEW, "--dry-run") == 0
    said = capsys.readouterr().out
    assert list(tmp_path.iterdir()) == []
    assert "about 24 patches: train 12, val 4, test1 4, test2 4" in said and "nothing was written" in said
    table = [line.split() for line in said.splitlines()[1 : 1 + PATIENTS]]
    assert [(row[0][:23], row[1], row[2]) for row in table] == [
        (barcode(index), barcode(index)[:12], "0.25") for index in range(PATIENTS)
    ]
    assert all(float(row[3]) > 0 and int(row[4]) > 0 for row in table)
    assert {row[5] for row in table} == {"train", "val", "test1", "test2"}
    assert command(slides, "-o", tmp_path / "out", *FEW) == 0
    built = capsys.readouterr().out
    assert "train       12 patches" in built and "test2        4 patches" in built


def test_it_says_what_would_fail(slides, tmp_path, capsys):
    folder = tmp_path / "slides"
    shutil.copytree(slides, folder)
    write_synthetic_slide(folder / f"{barcode(90)}.tif", width=600, height=600, seed=1, mpp=0.5)
    assert command(folder, "-o", tmp_path / "out", *FEW, "--dry-run") == 3
    said = capsys.readouterr().out
    assert "1 would fail:" in said and f"{barcode(90)}.tif is a 20x slide" in said
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine").touch()
    assert command(folder, "-o", tmp_path / "out", *FEW, "--dry-run") == 2
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "slides"]


def test_a_disk_that_takes_no_file_is_one_line(slides, tmp_path, capsys):
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))
    try:
        code = command(slides, "-o", tmp_path / "out", *FEW, "--dry-run")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    said = capsys.readouterr().err
    assert code == 2 and f"cannot write in {tmp_path}: File too large; free space or name another folder" in said
    assert list(tmp_path.iterdir()) == []


def test_no_preset_is_named_that_was_tried(tmp_path, capsys):
    slides = write_slides(tmp_path / "slides", side=600)
    assert command(slides, "-o", tmp_path / "out", *FEW, "--dry-run") == 2
    assert "no tissue found (preset biopsy): draw it (--mask)" in capsys.readouterr().err
