"""Validation: a line for each image, means without what is infinite, sets without HR, the network back in its mode."""

import csv
import logging
from statistics import mean

import pytest
import torch
from basicsr.metrics import calculate_psnr, calculate_ssim
from basicsr.utils import get_root_logger, tensor2img
from helpers.model import build
from torch.utils.data import DataLoader, Dataset

METRICS = {
    "psnr": {"type": "calculate_psnr", "crop_border": 0, "test_y_channel": False},
    "ssim": {"type": "calculate_ssim", "crop_border": 2, "test_y_channel": True},
}


class Images(Dataset):
    """A few small pairs, or LR images alone."""

    def __init__(self, *, paired=True):
        self.opt = {"name": "toy"}
        generator = torch.Generator().manual_seed(3)
        self.lq = [torch.rand(3, 8, 8, generator=generator) for _ in range(5)]
        self.gt = [torch.rand(3, 32, 32, generator=generator) for _ in range(5)] if paired else None

    def __len__(self):
        return 5

    def __getitem__(self, index):
        pair = {"lq": self.lq[index], "lq_path": f"folder/im{index}.png"}
        return pair | ({"gt": self.gt[index]} if self.gt else {})


@pytest.fixture
def model(tmp_path):
    model = build(tmp_path)
    model.opt["path"] |= {"experiments_root": str(tmp_path), "visualization": str(tmp_path / "visualization")}
    model.opt["val"] = {"metrics": METRICS}
    return model


def validate(model, images, *, save_img=False):
    model.validation(DataLoader(images, batch_size=1), 9, None, save_img)


def lines(folder):
    with (folder / "metrics" / "toy_9.csv").open(newline="") as file:
        return list(csv.DictReader(file))


@torch.no_grad()
def restored(model, images):
    return [tensor2img([model.net_g_ema(lq[None])]) for lq in images.lq]


def test_every_image_has_its_line_and_the_set_its_mean(model, tmp_path):
    images = Images()
    validate(model, images, save_img=True)
    rows = lines(tmp_path)
    assert [row["image"] for row in rows] == [f"im{index}" for index in range(5)]
    for row, image, gt in zip(rows, restored(model, images), images.gt, strict=True):
        hr = tensor2img([gt])
        assert float(row["psnr"]) == pytest.approx(calculate_psnr(image, hr, 0), abs=1e-9)
        assert float(row["ssim"]) == pytest.approx(calculate_ssim(image, hr, 2, test_y_channel=True), abs=1e-9)
    assert model.metric_results["psnr"] == mean(float(row["psnr"]) for row in rows)
    assert model.best_metric_results["toy"]["psnr"]["iter"] == 9
    assert (tmp_path / "visualization" / "im4" / "im4_9.png").is_file()
    assert not hasattr(model, "gt")


def test_what_is_infinite_is_named_and_not_averaged(model, tmp_path, caplog):
    images = Images()
    exact = torch.from_numpy(restored(model, images)[2][..., ::-1].copy()).permute(2, 0, 1).float() / 255
    images.gt[2] = exact
    get_root_logger().propagate = True
    with caplog.at_level(logging.WARNING, "basicsr"):
        validate(model, images)
    values = [float(row["psnr"]) for row in lines(tmp_path)]
    assert values[2] == float("inf")
    assert model.metric_results["psnr"] == pytest.approx(mean(values[:2] + values[3:]))
    assert "toy: psnr of 1 of 5 images is infinite or undefined" in caplog.text and "im2" in caplog.text


def test_a_set_without_hr_runs_without_metrics(model, tmp_path):
    model.gt = torch.zeros(4, 3, 32, 32)  # left from a batch of training
    validate(model, Images(paired=False), save_img=True)
    assert not (tmp_path / "metrics").exists()
    assert len(list((tmp_path / "visualization").rglob("*.png"))) == 5


@pytest.mark.parametrize("training", [True, False])
def test_the_network_goes_back_to_its_mode_and_training_draws_nothing_else(model, training):
    del model.net_g_ema
    model.net_g.train(training)
    before = torch.get_rng_state()
    loader = DataLoader(Images(), batch_size=1, generator=torch.Generator())
    model.validation(loader, 9, None, False)
    assert model.net_g.training is training
    assert torch.equal(before, torch.get_rng_state())
