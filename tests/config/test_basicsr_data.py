"""The data are looked at before anything is made: missing, empty, damaged, unpaired or too few, each is one line."""

import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from helpers.basicsr import changed, edsr, write_data, write_lmdb

from mihatp_arch.config import defaults as experiment
from mihatp_arch.config.checks.data import check_data
from mihatp_arch.config.read import Options


@pytest.fixture
def here(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    write_data(tmp_path / "datasets" / "toy")
    return tmp_path / "datasets" / "toy"


def _mistakes(options, launcher: str = "none") -> list[str]:
    return check_data(Options(options, {(): "o.yml"}), launcher=launcher)


def _images(folder: Path, size: int, names: list[str]) -> None:
    folder.mkdir(parents=True)
    for name in names:
        cv2.imwrite(str(folder / name), np.zeros((size, size, 3), np.uint8))


def _folders(template: str = "{}") -> dict:
    options = edsr()
    del options["datasets"]["val"]
    train = options["datasets"]["train"]
    train |= {"dataroot_gt": "f/HR", "dataroot_lq": "f/LR", "io_backend": {"type": "disk"}, "filename_tmpl": template}
    return options


def test_sound_data_pass(here):
    assert _mistakes(edsr()) == []


def test_a_missing_data_root_names_the_ways_out(here):
    shutil.rmtree(here / "val")
    lines = _mistakes(edsr())
    assert len(lines) == 1
    assert lines[0].startswith(
        "o.yml: datasets.val.dataroot_gt: there are no data at 'datasets/toy/val/HR.lmdb' (and 1 "
    )
    assert "mihatp prepare" in lines[0]
    assert "--data demo" in lines[0]


def test_an_empty_lmdb(here):
    shutil.rmtree(here / "train" / "HR.lmdb")
    write_lmdb(here / "train" / "HR.lmdb", [])
    assert _mistakes(edsr()) == [
        "o.yml: datasets.train: datasets/toy/train/HR.lmdb is empty: its meta_info.txt names no image; make it again"
    ]


def test_a_folder_that_is_no_lmdb(here):
    (here / "train" / "HR.lmdb" / "data.mdb").unlink()
    assert "is no LMDB of images: it has no data.mdb" in _mistakes(edsr())[0]


def test_a_database_that_is_cut_off_is_not_read(here):
    file = here / "train" / "HR.lmdb" / "data.mdb"
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    assert "is damaged: data.mdb is cut off" in _mistakes(edsr())[0]
    file.write_bytes(b"not a database")
    assert "cannot be opened" in _mistakes(edsr())[0]


def test_a_list_that_does_not_fit_the_database(here):
    meta = here / "train" / "HR.lmdb" / "meta_info.txt"
    lines = meta.read_text().splitlines()
    meta.write_text("\n".join(lines[:-1]))
    assert "is damaged: data.mdb holds 6 images, meta_info.txt names 5" in _mistakes(edsr())[0]
    meta.write_text("\n".join([lines[0].replace("(48,48,3)", "(64,48,3)"), *lines[1:]]))
    assert "im0 is 48x48, meta_info.txt says 64x48" in _mistakes(edsr())[0]
    meta.write_text("\n".join(["im0.png 48 48", *lines[1:]]))
    assert "meta_info.txt line 1 is not" in _mistakes(edsr())[0]


def test_pairs_that_do_not_fit(here):
    for side in ("LR_x4", "HR"):
        shutil.rmtree(here / "train" / f"{side}.lmdb")
    write_lmdb(here / "train" / "HR.lmdb", [(48, 48), (50, 48)])
    write_lmdb(here / "train" / "LR_x4.lmdb", [(12, 12), (12, 12)])
    assert _mistakes(edsr()) == ["o.yml: datasets.train: 'im1': HR is 50x48 and LR 12x12, which is not scale 4"]
    # in validation basicsr crops HR to a multiple of the scale
    roots = {f"dataroot_{key}": f"datasets/toy/train/{role}.lmdb" for key, role in (("gt", "HR"), ("lq", "LR_x4"))}
    options = edsr()
    options["datasets"] = {"val": options["datasets"]["val"] | roots}
    assert _mistakes(options) == []


def test_sides_with_different_names(here):
    shutil.rmtree(here / "train" / "LR_x4.lmdb")
    write_lmdb(here / "train" / "LR_x4.lmdb", [(12, 12)] * 6, prefix="other")
    assert _mistakes(edsr()) == ["o.yml: datasets.train: 'im0' has no partner in dataroot_lq (6 HR, 6 LR images)"]


def test_a_crop_larger_than_an_image(here):
    lines = _mistakes(changed(edsr(), "datasets", "train", "gt_size", to=64))
    assert lines == ["o.yml: datasets.train.gt_size: 64 is larger than 'im0', which is 48x48"]


def test_a_batch_larger_than_the_data_set(here, monkeypatch):
    options = changed(edsr(), "datasets", "train", "batch_size_per_gpu", to=7)
    lines = _mistakes(options)
    assert len(lines) == 1
    assert "a batch of 7 is larger than the data set of 6 images" in lines[0]
    assert "dataset_enlarge_ratio: 2" in lines[0]
    assert _mistakes(changed(options, "datasets", "train", "dataset_enlarge_ratio", to=2)) == []
    half = changed(options, "datasets", "train", "batch_size_per_gpu", to=4)
    assert _mistakes(half) == []
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert "a batch of 8 is larger" in _mistakes(half, launcher="pytorch")[0]


def test_folders_of_images(here):
    names = [f"{index}.png" for index in range(3)]
    _images(Path("f/HR"), 48, names)
    _images(Path("f/LR"), 12, [f"{index}x4.png" for index in range(3)])
    assert _mistakes(_folders("{}x4")) == []
    assert "'0.png' has no partner in dataroot_lq" in _mistakes(_folders())[0]
    Path("meta.txt").write_text("0.png (48,48,3)\n7.png (48,48,3)\n")
    listed = changed(_folders("{}x4"), "datasets", "train", "meta_info_file", to="meta.txt")
    assert "'f/HR/7.png' is missing" in _mistakes(listed)[0]
    Path("f/HR/1.png").write_bytes(b"no image")
    assert "'f/HR/1.png' is no image" in _mistakes(_folders("{}x4"))[0]


def test_a_template_that_cannot_be_filled_in_and_a_file_that_is_cut_off(here):
    _images(Path("f/HR"), 48, ["0.png"])
    _images(Path("f/LR"), 12, ["0.png"])
    for template in ("{", "{}{}", "{x}", "{.a}"):
        assert "cannot be filled in: one {} stands for the name" in _mistakes(_folders(template))[0]
    Path("meta.txt").write_bytes(b"a\0b.png (48,48,3)\n")
    listed = changed(_folders(), "datasets", "train", "meta_info_file", to="meta.txt")
    assert "is no image that can be read" in _mistakes(listed)[0]
    noise = np.random.default_rng(0).integers(0, 256, (48, 48, 3), np.uint8)
    Path("f/HR/0.png").write_bytes(cv2.imencode(".png", noise)[1].tobytes()[:900])
    assert "'f/HR/0.png' is no image that can be read" in _mistakes(_folders())[0]


def test_one_process_opens_a_database_once(here):
    options = edsr()
    options["datasets"]["val"] |= {key: options["datasets"]["train"][key] for key in ("dataroot_gt", "dataroot_lq")}
    lines = _mistakes(options)
    assert len(lines) == 1
    assert "is datasets.train.dataroot_gt too, and one process opens it once" in lines[0]
    assert _mistakes(changed(options, "datasets", "train", "num_worker_per_gpu", to=1)) == []


def test_weights_and_states_that_are_missing(here):
    for key in ("pretrain_network_g", "resume_state"):
        lines = _mistakes(edsr() | {"path": {key: "experiments/x/y.pth"}})
        assert lines == [f"o.yml: path.{key}: there is no file 'experiments/x/y.pth'; name one that is there, or null"]


@pytest.mark.skipif(torch.cuda.is_available(), reason="the machine has a GPU")
def test_options_for_a_gpu_are_fitted_to_a_machine_without():
    options = Options(changed(changed(edsr(), "num_gpu", to=2), "datasets", "train", "prefetch_mode", to="cuda"))
    warnings = experiment.fill_defaults(options, "train")
    assert [line.split(":")[0] for line in warnings] == ["num_gpu", "datasets.train.prefetch_mode"]
    assert options.values["num_gpu"] == 0
    assert options.get("datasets", "train", "prefetch_mode") is None


def test_what_basicsr_needs_by_accident_is_filled_in():
    options = Options({"name": "x", "train": {"total_iter": 1e3, "scheduler": {"milestones": [2.5e2]}}})
    options.open("path", "logger")
    experiment.fill_defaults(options, "test")
    assert options.values["logger"]["use_tb_logger"] is False
    assert options.values["val"] == {"save_img": False, "suffix": None}
    assert options.values["path"] == {}
    assert options.values["manual_seed"] == 0
    assert repr(options.values["train"]) == "{'total_iter': 1000, 'scheduler': {'milestones': [250]}}"


def test_a_set_that_is_null_is_left_out_and_test_reads_its_own_sets():
    def sets(command: str, *names: str) -> tuple[list[str], bool]:
        options = Options({"datasets": {name: {} for name in names} | {"val_9": None}})
        training_file = experiment.choose_sets(options, command)
        return list(options.values["datasets"]), training_file

    assert sets("train", "train", "val") == (["train", "val"], True)
    assert sets("test", "train", "val_1", "val_2") == (["val_1", "val_2"], True)
    assert sets("test", "train", "val", "test_1") == (["test_1"], False)
