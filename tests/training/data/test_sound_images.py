"""Images that cannot be read: one line with data set, key and file; what was trained is saved; the training resumes."""

import shutil
from pathlib import Path

import cv2
import lmdb
import numpy as np
import pytest
import torch
from basicsr.data import build_dataset, paired_image_dataset
from helpers.basicsr import NAME, changed, dataset, edsr, write_data, write_options

from mihatp_arch.config.checks import image_store
from mihatp_arch.config.checks.data import check_data
from mihatp_arch.config.read import Options
from mihatp_arch.training.data.sound_images import Collate, SoundImages, unreadable
from mihatp_cli.basicsr import main

LAST = f"im{torch.randperm(6, generator=torch.Generator().manual_seed(0))[-1]}"  # the last image of the first epoch


@pytest.fixture
def data(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    write_data(tmp_path / "datasets" / "toy")
    return tmp_path / "datasets" / "toy"


def rewrite(folder: Path, key: str, value: bytes | None) -> bytes:
    """Put another value into an LMDB, or delete it; the value of before."""
    with lmdb.open(str(folder), map_size=2**24) as env, env.begin(write=True) as transaction:
        before = transaction.get(key.encode())
        assert before is not None
        transaction.delete(key.encode()) if value is None else transaction.put(key.encode(), value)
        return before


def half(folder: Path, key: str) -> bytes:
    whole = rewrite(folder, key, b"\0")
    rewrite(folder, key, whole[: len(whole) // 2])
    return whole


def files_of(data: Path, split: str, ending: str) -> None:
    """Folders `<split>/HR` and `<split>/LR_x4` with the images of the LMDBs."""
    for role in ("HR", "LR_x4"):
        (data / split / role).mkdir()
        with lmdb.open(str(data / split / f"{role}.lmdb"), readonly=True, lock=False) as env, env.begin() as values:
            for key, value in values.cursor():
                image = cv2.imdecode(torch.frombuffer(bytearray(value), dtype=torch.uint8).numpy(), 1)
                cv2.imwrite(str(data / split / role / f"{key.decode()}{ending}"), image)


def in_folders(options: dict) -> dict:
    options = changed(options, "datasets", "train", "io_backend", to={"type": "disk"})
    for key in ("dataroot_gt", "dataroot_lq"):
        root = options["datasets"]["train"][key].removesuffix(".lmdb")
        options = changed(options, "datasets", "train", key, to=root)
    return options


def train(options: dict, *more: str) -> int:
    write_options(Path("o.yml"), options)
    return main(["train", "-opt", "o.yml", *more])


def last_line(capsys) -> str:
    return capsys.readouterr().err.strip().splitlines()[-1]


def long(workers: int = 0) -> dict:
    options = changed(edsr(), "train", "total_iter", to=6)
    options = changed(options, "logger", "save_checkpoint_freq", to=100)
    return changed(options, "datasets", "train", "num_worker_per_gpu", to=workers)


def final(root: Path) -> dict[str, torch.Tensor]:
    return torch.load(root / "experiments" / NAME / "models" / "net_g_latest.pth", weights_only=True)["params"]


@pytest.mark.parametrize("workers", [0, 2])
def test_a_damaged_value_of_an_lmdb_ends_the_training_which_resumes_to_the_bit(data, capsys, workers):
    assert train(long(workers)) == 0
    expected = final(Path())
    shutil.rmtree("experiments")
    whole = half(data / "train" / "HR.lmdb", LAST)
    capsys.readouterr()
    assert train(long(workers)) == 2
    line = last_line(capsys)
    assert line.startswith(
        f"basicsr: error: data set 'toy_train': the HR image '{LAST}' in 'datasets/toy/train/HR.lmdb' is damaged: "
        "its PNG is cut off; replace this image"
    )
    states = sorted(Path("experiments", NAME, "training_states").glob("*.state"))
    assert len(states) == 1 and f"iteration {states[0].stem} is saved: then go on with --auto_resume" in line
    rewrite(data / "train" / "HR.lmdb", LAST, whole)
    assert train(long(workers), "--auto_resume") == 0
    assert all(torch.equal(tensor, expected[name]) for name, tensor in final(Path()).items())


def test_a_damaged_image_of_a_validation_is_named_and_its_iteration_is_saved(data, capsys):
    whole = half(data / "val" / "LR_x4.lmdb", "im1")
    assert train(changed(edsr(), "logger", "save_checkpoint_freq", to=100)) == 2
    line = last_line(capsys)
    assert "data set 'toy_val': the LR image 'im1' in 'datasets/toy/val/LR_x4.lmdb' is damaged" in line
    assert "iteration 2 is saved" in line and Path("experiments", NAME, "training_states", "2.state").is_file()
    rewrite(data / "val" / "LR_x4.lmdb", "im1", whole)
    assert train(changed(edsr(), "logger", "save_checkpoint_freq", to=100), "--auto_resume") == 0
    assert len(Path("experiments", NAME, "metrics", "toy_val_2.csv").read_text().splitlines()) == 3


def test_a_test_names_the_damaged_image(data, capsys):
    assert train(edsr()) == 0
    half(data / "val" / "HR.lmdb", "im1")
    assert main(["test", "-opt", "o.yml"]) == 2
    assert "data set 'toy_val': the HR image 'im1' in" in (line := last_line(capsys)) and "saved" not in line


@pytest.mark.parametrize(("ending", "kind"), [(".png", "its PNG is cut off"), (".jpg", "its JPEG is cut off")])
def test_a_damaged_file_of_a_folder_is_named(data, capsys, monkeypatch, ending, kind):
    monkeypatch.setattr(image_store, "_FILES_MEASURED", 1)  # as in a large folder
    files_of(data, "train", ending)
    file = data / "train" / "HR" / f"im3{ending}"
    file.write_bytes(file.read_bytes()[: -len(file.read_bytes()) // 10])
    assert train(in_folders(long())) == 2
    assert f"the HR image 'datasets/toy/train/HR/im3{ending}' is damaged: {kind}" in last_line(capsys)


def test_what_a_data_set_says_of_an_image(data):
    """A flipped bit, no image at all, a pair that is no pair, no value."""
    folder = data / "train" / "HR.lmdb"
    first = rewrite(folder, "im0", b"\0")
    flipped = bytearray(first)
    flipped[len(first) // 2] ^= 1
    small = cv2.imencode(".png", np.zeros((24, 24, 3), np.uint8))[1].tobytes()
    options = dataset("train", phase="train", scale=4, gt_size=32, use_hflip=True, use_rot=True)

    def said(value: bytes | None) -> str:
        rewrite(folder, "im0", value)
        images = SoundImages(build_dataset(options))
        return unreadable(Collate()([images[1], images[0]]))

    assert said(first) == ""
    assert "its PNG is damaged" in said(bytes(flipped))
    assert "it is no image that OpenCV can decode" in said(b"\0")
    assert "Scale mismatches" in (misfit := said(small)) and "'im0'" in misfit
    assert "the HR image 'im0' in 'datasets/toy/train/HR.lmdb' is missing" in said(None)


def test_an_error_of_a_program_is_not_taken_for_damage(data):
    images = SoundImages(build_dataset(dataset("val", phase="val", scale=4)))
    images.dataset.opt = {"name": "toy", "phase": "val"}  # BasicSR asks for `scale`
    with pytest.raises(KeyError):
        images[0]


def test_a_wrong_value_in_a_data_set_of_others_is_not_taken_for_damage(data, monkeypatch):
    images = SoundImages(
        build_dataset(dataset("train", phase="train", scale=4, gt_size=32, use_hflip=True, use_rot=True))
    )
    monkeypatch.setattr(paired_image_dataset, "augment", lambda *_: int("a number"))
    with pytest.raises(ValueError, match="invalid literal"):
        images[0]


def test_an_error_in_the_thread_that_loads_ahead_ends_the_training(data, monkeypatch):
    """It hung: the thread died, and the training waited for its next batch."""

    def broken(self: object, samples: list) -> None:
        raise MemoryError("no room for a batch")

    ahead = changed(long(), "datasets", "train", "prefetch_mode", to="cpu")
    assert train(ahead) == 0
    monkeypatch.setattr(Collate, "__call__", broken)
    with pytest.raises(MemoryError, match="no room for a batch"):
        train(ahead)


def test_a_full_check_finds_every_damaged_image_before_the_start(data):
    options = in_folders(edsr())
    files_of(data, "train", ".png")
    half(data / "val" / "HR.lmdb", "im1")
    for name in ("im2", "im4"):
        file = data / "train" / "HR" / f"{name}.png"
        file.write_bytes(file.read_bytes()[:-20])
    assert check_data(Options(options, {(): "o.yml"}), launcher="none") == []
    lines = check_data(Options(options, {(): "o.yml"}), launcher="none", full=True)
    assert len(lines) == 2
    assert (
        "'im2.png' in 'datasets/toy/train/HR' is damaged (its PNG is cut off), and so are 1 more: im4.png" in lines[0]
    )
    assert "datasets.val: 'im1' in 'datasets/toy/val/HR.lmdb' is damaged" in lines[1]


def test_check_data_full_stops_before_anything_is_written(data, capsys):
    half(data / "val" / "HR.lmdb", "im1")
    assert train(edsr(), "--check-data", "full") == 2
    assert "'im1' in 'datasets/toy/val/HR.lmdb' is damaged" in last_line(capsys)
    assert not Path("experiments").exists()


@pytest.mark.parametrize("text", ["{}\r\n\r\n", "  {}\n", "{}\n \n\n"])
def test_a_list_with_blank_lines_and_a_home_folder_is_read_by_the_training(data, capsys, monkeypatch, text):
    files_of(data, "train", ".png")
    monkeypatch.setenv("HOME", str(data))
    names = [f"im{number}.png (48,48,3)" for number in range(6)]
    (data / "meta.txt").write_text("".join(text.format(name) for name in names), encoding="utf-8")
    options = changed(in_folders(edsr()), "datasets", "train", "meta_info_file", to="~/meta.txt")
    options = changed(options, "datasets", "train", "dataroot_gt", to="~/train/HR")
    assert train(options) == 0
    (data / "meta.txt").write_text("\n")
    assert train(options) == 2
    assert "names no image: write one name a line" in last_line(capsys)
