"""What a validation writes is kept apart or refused: equal names of sets and images, and a best network by nothing."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from helpers.basicsr import changed, dataset, edsr, without, write_data, write_options

from mihatp_arch.config import yaml_files
from mihatp_arch.config.checks.data import check_data
from mihatp_arch.config.read import Options
from mihatp_arch.errors import UserError
from mihatp_cli.basicsr import main


def _two_sets(first: str, second: str) -> dict:
    options = changed(edsr(), "datasets", "val", "name", to=first)
    return changed(options, "datasets", "val_2", to=dataset("val") | {"name": second})


@pytest.mark.parametrize("names", [("COAD", "COAD"), ("COAD", "coad"), ("val_2", None)])
@pytest.mark.parametrize("command", ["train", "test"])
def test_two_sets_of_one_name_are_refused(refused, names, command):
    options = _two_sets(*names)
    if names[1] is None:
        options = without(options, "datasets", "val_2", "name")  # its name is its key, which the first set has
    line = refused(options, command=command)
    assert "datasets.val_2.name: " in line and "is the name of datasets.val too" in line


def test_a_set_whose_name_is_no_file_is_refused(refused):
    assert "datasets.val.name: '../x' cannot name a folder" in refused(
        changed(edsr(), "datasets", "val", "name", to="../x")
    )


def test_the_training_set_may_share_its_name_with_a_set_that_is_validated(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_data(tmp_path / "datasets" / "toy")
    options = changed(changed(edsr(), "datasets", "train", "name", to="COAD"), "datasets", "val", "name", to="COAD")
    assert main(["train", "-opt", str(write_options(tmp_path / "o.yml", options))]) == 0


def test_pictures_of_two_sets_with_images_of_one_name_are_kept_apart(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_data(tmp_path / "datasets" / "toy")
    write_data(tmp_path / "other" / "toy")
    options = changed(_two_sets("COAD", "BRCA"), "val", "save_img", to=True)
    for key, role in (("gt", "HR"), ("lq", "LR_x4")):
        options["datasets"]["val_2"][f"dataroot_{key}"] = f"other/toy/val/{role}.lmdb"
    assert main(["train", "-opt", str(write_options(tmp_path / "o.yml", options))]) == 0
    folder = tmp_path / "experiments" / "tiny_EDSR_x4" / "visualization"
    pictures = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*.png"))
    assert pictures == [f"{name}/im{index}/im{index}_2.png" for name in ("BRCA", "COAD") for index in (0, 1)]


def _disk_set(folder: Path, kind: str, names: list[str]) -> dict:
    for role, size in (("HR", 48), ("LR", 12)):
        (folder / role / "b").mkdir(parents=True)
        for name in names:
            cv2.imwrite(str(folder / role / name), np.zeros((size, size, 3), np.uint8))
    roots = {"dataroot_gt": str(folder / "HR"), "dataroot_lq": str(folder / "LR")}
    return {"name": "toy", "type": kind, **roots, "io_backend": {"type": "disk"}}


@pytest.mark.parametrize("kind", ["PairedImageDataset", "SingleImageDataset"])
def test_two_images_of_a_set_with_one_name_are_refused(tmp_path, kind):
    val = _disk_set(tmp_path, kind, ["a.png", "a.bmp"])
    options = changed(without(edsr(), "datasets", "train"), "datasets", "val", to=val)
    assert len(lines := _mistakes(options)) == 1
    assert "'a.bmp'" in lines[0] and "would have one name in the tables and pictures: rename one of them" in lines[0]
    for role in ("HR", "LR"):
        (tmp_path / role / "a.bmp").unlink()
    assert _mistakes(options) == []


@pytest.mark.parametrize("name", ["train", "val"])
def test_two_hr_images_of_one_lr_image_are_refused(tmp_path, name):
    train = _disk_set(tmp_path, "PairedImageDataset", ["a.png", "b/a.png", "c.png"])
    (tmp_path / "list.txt").write_text("c.png (48,48,3)\na.png (48,48,3)\nb/a.png (48,48,3)\n")
    train |= {"meta_info_file": str(tmp_path / "list.txt"), "batch_size_per_gpu": 1}
    options = changed(edsr(), "datasets", to={name: train})
    assert _mistakes(options) == [
        f"o.yml: datasets.{name}: 'a.png' and 'b/a.png' would have the LR image 'a.png': rename one of them"
    ]


def _mistakes(options) -> list[str]:
    return check_data(Options(options, {(): "o.yml"}), launcher="none")


def test_the_best_network_by_a_metric_that_is_not_measured_is_refused(refused):
    line = refused(changed(edsr(), "val", "keep_best", to="psrn"))
    assert "val.keep_best: 'psrn' is not measured: val.metrics has psnr; did you mean 'psnr'?" in line
    line = refused(without(changed(edsr(), "val", "keep_best", to="psnr"), "val", "metrics"))
    assert "val.keep_best: 'psnr' is not measured: val.metrics is empty" in line


def test_the_best_network_on_no_set_is_refused(refused):
    options = changed(edsr(), "val", "keep_best", to="psnr")
    assert "val.keep_best: there is no validation set" in refused(without(options, "datasets", "val"))
    assert "val.keep_best: the first validation set, datasets.val, has no HR" in refused(
        changed(options, "datasets", "val", to={"type": "SingleImageDataset", "dataroot_lq": "datasets/toy/val/LR"})
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("0123", "o.yml: YAML reads 0123 as octal, 83"),
        ("-010", "o.yml: YAML reads -010 as octal, -8"),
        ("0_17", "o.yml: YAML reads 0_17 as octal, 15"),
        ("1:30", "o.yml: YAML reads 1:30 as base 60, 90"),
    ],
)
def test_a_number_that_yaml_reads_as_another_one_is_refused(text, message):
    with pytest.raises(UserError, match=message):
        yaml_files.parse(text, "o.yml")


def test_numbers_that_are_the_same_either_way_are_read():
    assert yaml_files.parse("[007, 0, 0x1F, 1_000, -5]", "o.yml") == [7, 0, 31, 1000, -5]


def test_a_forced_octal_seed_is_refused(refused):
    line = refused(edsr(), "--force_yml", "manual_seed=0123")
    assert "--force_yml manual_seed=0123: YAML reads 0123 as octal, 83" in line
