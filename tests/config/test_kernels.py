"""How LR was made: declared, recorded or measured; where the projection is refused; a mismatch is a line."""

import cv2
import numpy as np
import pytest
import torch
from helpers.basicsr import changed, edsr
from helpers.dataset import read_rows, write_dataset, write_rows
from safetensors.torch import save_file

from datasets_prep.common.downscale import reduce_patch
from datasets_prep.synthetic.image import synthesize
from mihatp_arch.checkpoints import kernel_of_weights
from mihatp_arch.config.checks.lr_kernels import check_kernels, fill_kernels
from mihatp_arch.config.kernels import kernel_of_data, kernel_of_images, kernel_of_network
from mihatp_arch.config.read import Options
from mihatp_arch.training.saving import save_whole


def lmdb(folder, split="train", scale=4):
    roots = {"dataroot_gt": f"{folder}/{split}/HR.lmdb", "dataroot_lq": f"{folder}/{split}/LR_x{scale}.lmdb"}
    return {"type": "PairedImageDataset", "io_backend": {"type": "lmdb"}, **roots}


@pytest.mark.parametrize("record", [True, False])
@pytest.mark.parametrize(("lr", "kernel"), [("area", "area"), ("bicubic", "bicubic"), ("pyramid", "pyramid")])
@pytest.mark.parametrize("scale", [2, 4])
def test_the_kernel_is_recorded_or_measured(tmp_path, record, lr, kernel, scale):
    write_dataset(tmp_path / "data", lr=lr)
    if not record:
        (tmp_path / "data" / "manifest.csv").unlink()
    expected = kernel if record or lr != "pyramid" else None  # a scanner's level is no reduction of HR
    assert kernel_of_data(lmdb(tmp_path / "data", scale=scale), scale) == expected
    assert kernel_of_data(lmdb(tmp_path / "data", scale=scale) | {"kernel": "blur"}, scale) == "blur"


def test_a_record_with_two_kernels_names_both_and_a_damaged_one_is_replaced_by_a_measurement(tmp_path):
    write_dataset(tmp_path / "data")
    manifest = tmp_path / "data" / "manifest.csv"
    rows = read_rows(manifest)
    rows[0]["lr_source"] = "x2:area x4:level1/2 x8:level2"
    write_rows(manifest, rows)
    assert kernel_of_data(lmdb(tmp_path / "data"), 4) == "area+pyramid"
    assert kernel_of_data(lmdb(tmp_path / "data", scale=2), 2) == "area"
    assert kernel_of_data(lmdb(tmp_path / "data", split="val"), 4) == "area"
    manifest.write_text("key,split\n")
    assert kernel_of_data(lmdb(tmp_path / "data"), 4) == "area"


@pytest.mark.parametrize("template", ["{}", "{}_x4"])
@pytest.mark.parametrize("kernel", ["area", "bicubic", None])
def test_folders_of_images_are_measured(tmp_path, kernel, template):
    for folder in ("HR", "LR"):
        (tmp_path / folder).mkdir()
    for number in range(7):
        hr, _ = synthesize(66, 66, seed=number)  # BasicSR crops HR to 64
        lr = reduce_patch(np.ascontiguousarray(hr[:64, :64]), 4, kernel=kernel or "area")
        if kernel is None and number == 6:
            lr = np.roll(lr, 1, 0)
        cv2.imwrite(str(tmp_path / "HR" / f"a{number}.png"), hr)
        cv2.imwrite(str(tmp_path / "LR" / f"{template.format(f'a{number}')}.png"), lr)
    dataset = {
        "type": "PairedImageDataset",
        "dataroot_gt": str(tmp_path / "HR"),
        "dataroot_lq": str(tmp_path / "LR"),
        "filename_tmpl": template,
        "io_backend": {"type": "disk"},
    }
    expected = kernel or "area"
    assert kernel_of_data(dataset, 4) == expected
    (tmp_path / "names.txt").write_text("a5.png (64,64,3)\na6.png (64,64,3)\n")
    assert kernel_of_data(dataset | {"meta_info_file": str(tmp_path / "names.txt")}, 4) == kernel
    assert kernel_of_data(dataset | {"meta_info_file": str(tmp_path / "absent.txt")}, 4) is None
    assert kernel_of_data({"type": "SingleImageDataset", "dataroot_lq": str(tmp_path / "LR")}, 4) is None


def test_any_rounding_of_the_mean_is_area():
    hr, _ = synthesize(64, 64, seed=1)
    mean = hr.reshape(32, 2, 32, 2, 3).mean((1, 3))
    for rounded in (np.floor(mean + 0.5), np.rint(mean), np.ceil(mean - 0.5)):
        assert kernel_of_images(hr, rounded.astype(np.uint8), 2) == "area"
    assert kernel_of_images(hr, (np.floor(mean + 0.5) + 1).astype(np.uint8), 2) is None
    assert kernel_of_images(hr, mean[:16].astype(np.uint8)[:, :8], 4) is None


def options_of(folder, lr="area"):
    """Options of a training on a data set of `prepare`, with its kernels filled in."""
    write_dataset(folder, lr=lr)
    options = edsr()
    options["datasets"] = {"train": lmdb(folder), "val": lmdb(folder, "val")}
    filled = Options(options, {(): "o.yml"})
    fill_kernels(filled)
    return filled


def test_the_projection_is_refused_where_lr_is_not_the_mean(tmp_path):
    area, bicubic = options_of(tmp_path / "area"), options_of(tmp_path / "bicubic", "bicubic")
    for options, mistakes in ((area, 0), (bicubic, 1)):
        options.values["val"]["consistency"] = "both"
        for command in ("train", "test"):
            assert len(check_kernels(options, command)[0]) == mistakes
        options.values["network_g"]["consistency"] = True
        assert len(check_kernels(options, "train")[0]) == 2 * mistakes
    lines, _ = check_kernels(bicubic, "test")
    assert lines[0] == (
        "o.yml: val.consistency: both needs LR that is the k×k mean of HR, but the kernel of datasets.val is bicubic; "
        "say off, or `kernel: area` there if it is this mean"
    )
    assert "network_g.consistency: true needs" in lines[1] and "datasets.train is bicubic; say false" in lines[1]
    area.values["train"]["lq_augment"] = {"share": 0.5}
    (line,) = check_kernels(area, "train")[0]
    assert line.startswith("o.yml: network_g.consistency: ") and "train.lq_augment" in line
    bicubic.values["datasets"]["val"]["kernel"] = None
    assert "datasets.val is not known" in check_kernels(bicubic, "test")[0][0]


def test_the_command_refuses_in_one_line(refused):
    options = changed(edsr(), "val", "consistency", to="area")  # the images are random, so LR is not the mean of HR
    assert "val.consistency: area needs LR that is the k×k mean of HR" in refused(options)
    assert "expected one of 'area', 'both', 'off', got 'on'" in refused(changed(edsr(), "val", "consistency", to="on"))
    assert "expected one of 'area', 'both', 'off', got True" in refused(changed(edsr(), "val", "consistency", to=True))


def test_weights_name_the_kernel_of_their_training_and_another_one_in_the_data_is_a_line(tmp_path):
    save_whole({"params": {"w": torch.ones(1)}, "kernel": "bicubic"}, tmp_path / "a.pth")
    save_whole({"params": {"w": torch.ones(1)}}, tmp_path / "b.pth")
    save_file({"w": torch.ones(1)}, tmp_path / "a.safetensors", {"kernel": "bicubic"})
    (tmp_path / "c.pth").write_bytes(b"no weights")
    kernels = [kernel_of_weights(tmp_path / name) for name in ("a.pth", "b.pth", "a.safetensors", "c.pth", "d.pth")]
    assert kernels == ["bicubic", None, "bicubic", None, None]
    options = options_of(tmp_path / "data")
    assert check_kernels(options, "train") == ([], [])
    options.values["path"] = {"pretrain_network_g": str(tmp_path / "a.pth")}
    assert kernel_of_network(options.values) == "bicubic"
    (line,) = check_kernels(options, "train")[1]
    assert line == (
        "o.yml: datasets.train: its LR is made by area, but the weights that network_g starts from were trained on "
        "bicubic"
    )
    (line,) = check_kernels(options, "test")[1]
    assert line.startswith("o.yml: datasets.val: its LR is made by area, but network_g was trained on bicubic")
    options.values["path"] = {"pretrain_network_g": str(tmp_path / "b.pth")}
    assert check_kernels(options, "test") == ([], [])
    options.values["datasets"]["val"]["kernel"] = "bicubic"
    assert len(check_kernels(options, "train")[1]) == 1  # validated on another kernel than trained
