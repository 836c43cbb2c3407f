"""Validation: a line for each image, means without what is infinite, sets without HR, the network back in its mode.

`val.consistency` projects what is measured and written.
"""

import csv
import logging
from statistics import mean

import cv2
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from basicsr.metrics import calculate_psnr, calculate_ssim
from basicsr.utils import get_root_logger, tensor2img
from helpers.model import build
from torch.utils.data import DataLoader, Dataset

from mihatp_arch.archs.layers.consistency import project
from mihatp_arch.training.resumed.best_results import read_best_results
from mihatp_arch.training.validation import validated_sets

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


def test_the_best_results_are_written_before_the_table(model, tmp_path, monkeypatch):
    """A set without a table is validated again after a kill; the best result of a set with a table must be there."""

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("mihatp_arch.training.validation.write_file", killed)
    with pytest.raises(KeyboardInterrupt):
        validate(model, Images())
    assert not list((tmp_path / "metrics").iterdir())
    assert read_best_results(tmp_path)["toy"]["psnr"]["iter"] == 9


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


def consistent(model, images):
    """The projected outputs as pictures, and HR whose mean is LR."""
    with torch.no_grad():
        projected = [project(model.net_g_ema(lq[None]), lq[None]) for lq in images.lq]
    return [tensor2img([image]) for image in projected], [tensor2img([gt]) for gt in images.gt]


def matched_images():
    """HR of 8 bits whose mean is near LR, as a data set of `lr: area` has it."""
    images = Images()
    images.gt = [(gt * 255).round() / 255 for gt in images.gt]
    images.lq = [(F.avg_pool2d(gt[None], 4)[0] * 255 + 0.5).floor() / 255 for gt in images.gt]
    return images


def test_area_measures_and_writes_the_projected_output(model, tmp_path):
    images = matched_images()
    model.opt["val"]["consistency"] = "off"
    validate(model, images)
    before = [float(row["psnr"]) for row in lines(tmp_path)]
    model.opt["val"]["consistency"] = "area"
    validate(model, images)  # after the same iteration: nothing is done
    assert [float(row["psnr"]) for row in lines(tmp_path)] == before
    validated_sets(model).clear()
    validate(model, images, save_img=True)
    pictures, hr = consistent(model, images)
    for index, row in enumerate(lines(tmp_path)):
        assert float(row["psnr"]) == pytest.approx(calculate_psnr(pictures[index], hr[index], 0), abs=1e-9)
        written = cv2.imread(str(tmp_path / "visualization" / f"im{index}" / f"im{index}_9.png"))
        assert np.array_equal(written, pictures[index])
        assert float(row["psnr"]) > before[index]
    psnr = [calculate_psnr(*images, 0) for images in zip(pictures, hr, strict=True)]
    assert model.metric_results["psnr"] == pytest.approx(mean(psnr))


def test_both_leaves_a_test_as_it_is_and_writes_the_projected_output_beside_it(model, tmp_path, caplog):
    images, root = matched_images(), tmp_path / "results"
    model.opt |= {"is_train": False, "name": "run"}
    tables, pictures = {}, {}
    for mode, name in (("off", "plain"), ("area", "projected"), ("both", "run")):
        model.opt["path"] |= {"results_root": str(root / name), "visualization": str(root / name / "visualization")}
        model.opt["val"]["consistency"] = mode
        get_root_logger().propagate = True
        with caplog.at_level(logging.INFO, "basicsr"):
            validate(model, images, save_img=True)
        tables[mode] = (root / name / "metrics" / "toy.csv").read_bytes()
        pictures[mode] = [(root / name / "visualization" / "toy" / f"im{i}_run.png").read_bytes() for i in range(5)]
    assert tables["both"] == tables["off"] != tables["area"]
    assert pictures["both"] == pictures["off"] != pictures["area"]
    beside = root / "run_consistent"
    assert (beside / "metrics" / "toy.csv").read_bytes() == tables["area"]
    written = [(beside / "visualization" / "toy" / f"im{i}_run_consistent.png").read_bytes() for i in range(5)]
    assert written == pictures["area"]
    assert "toy, after the consistency projection: psnr: " in caplog.text
    assert sorted(path.name for path in root.iterdir()) == ["plain", "projected", "run", "run_consistent"]


def test_both_in_a_training_is_off(model, tmp_path):
    model.opt["val"]["consistency"] = "both"
    validate(model, Images(), save_img=True)
    plain = (tmp_path / "metrics" / "toy_9.csv").read_bytes()
    assert not list(tmp_path.parent.glob("*_consistent"))
    model.opt["val"]["consistency"] = "off"
    validate(model, Images())
    assert (tmp_path / "metrics" / "toy_9.csv").read_bytes() == plain


def test_a_model_whose_input_is_hr_is_projected_onto_lr(model, tmp_path):
    """As FirstStageModel, which gives HR to its network: without LR of the data the output would become HR."""
    images = matched_images()
    model.opt["val"]["consistency"] = "area"
    model.feed_data = lambda data: model.__dict__.update(lq=data["gt"], gt=data["gt"])
    model.test = lambda: setattr(model, "output", torch.full((1, 3, 32, 32), 0.5))
    validate(model, images)
    for index, row in enumerate(lines(tmp_path)):
        picture = tensor2img([project(torch.full((1, 3, 32, 32), 0.5), images.lq[index][None])])
        assert float(row["psnr"]) == pytest.approx(calculate_psnr(picture, tensor2img([images.gt[index]]), 0))


def test_the_projection_survives_clamping_and_rounding_up_to_a_bound(model, tmp_path):
    """After Π, clamping and rounding, the MSE is at most that before Π, plus the roundings of LR and of the picture."""
    images = matched_images()
    pictures, hr = consistent(model, images)
    for lq, picture, target in zip(images.lq, pictures, hr, strict=True):
        with torch.no_grad():
            plain = model.net_g_ema(lq[None])[0].flip(0).permute(1, 2, 0).numpy() * 255
        before = np.sqrt(np.square(plain - target).mean())
        after = np.sqrt(np.square(picture.astype(float) - target).mean())
        assert after <= np.sqrt(before**2 + 0.25) + 0.5  # grey levels: LR is rounded by 0.5, so is the picture
