"""A training that resumes with other options: the option file counts, a line and the record say what changed."""

import json
import logging
import re
from pathlib import Path

import pytest
import torch
from basicsr.utils import logger as basicsr_logger
from helpers.basicsr import NAME, changed, edsr, without, write_data, write_options

from mihatp_cli.basicsr import main


@pytest.fixture
def here(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    write_data(tmp_path / "datasets" / "toy")
    return tmp_path


def _options(**train) -> dict:
    options = changed(edsr(), "logger", to={"print_freq": 1, "save_checkpoint_freq": 2})
    return changed(without(options, "val"), "train", to=options["train"] | {"total_iter": 4} | train)


def _train(options: dict, *more: str) -> str:
    """Train in this process; the log of this start."""
    write_options(Path("o.yml"), options)
    logger = logging.getLogger("basicsr")
    for handler in list(logger.handlers):
        logger.removeHandler(handler)
    basicsr_logger.initialized_logger.clear()
    before = set(Path.cwd().rglob("*.log"))
    for log in before:
        log.rename(log.with_suffix(".old"))
    assert main(["train", "-opt", "o.yml", *more]) == 0
    return "".join(log.read_text() for log in Path.cwd().rglob("*.log"))


def _rates(log: str) -> dict[int, float]:
    return {int(number): float(rate) for number, rate in re.findall(r"iter: +(\d+), lr:\(([^,]+),\)", log)}


def _optimizer(name: str = NAME, iteration: int = 4) -> dict:
    file = Path("experiments") / name / "training_states" / f"{iteration}.state"
    return torch.load(file, weights_only=True)["optimizers"][0]["param_groups"][0]


def _adam(**values) -> dict:
    return {"type": "Adam", "lr": 1e-3, "weight_decay": 0, "betas": [0.9, 0.99]} | values


SCHEDULE = {"type": "MultiStepLR", "milestones": [10, 20], "gamma": 0.5}
COSINE = {"type": "CosineAnnealingRestartLR", "periods": [8], "restart_weights": [1], "eta_min": 1e-7}


@pytest.mark.parametrize(
    "train",
    [
        {"optim_g": _adam(lr=5e-4)},
        {"scheduler": SCHEDULE | {"milestones": [1, 3]}},
        {"scheduler": SCHEDULE | {"milestones": [2], "gamma": 0.1}, "warmup_iter": 3},
        {"scheduler": COSINE},
        {"warmup_iter": 3},
    ],
    ids=["lr", "milestones", "milestones and warm-up", "cosine", "warm-up"],
)
def test_the_learning_rate_is_that_of_a_training_with_these_options(here, train):
    first = _train(_options(total_iter=2))
    assert _rates(first) == {1: 1e-3, 2: 1e-3}
    resumed = _rates(_train(_options(**train), "--auto_resume"))
    anew = _rates(_train(changed(_options(**train), "name", to="anew")))
    assert set(resumed) == {3, 4} and resumed == {number: anew[number] for number in (3, 4)}
    assert _optimizer()["lr"] == _optimizer("anew")["lr"]
    assert _optimizer()["initial_lr"] == _optimizer("anew")["initial_lr"]


def test_the_options_count_and_are_recorded(here):
    _train(_options(total_iter=2))
    pixel = {"type": "L1Loss", "loss_weight": 0.5, "reduction": "mean"}
    options = _options(optim_g=_adam(betas=[0.8, 0.9], weight_decay=0.1), pixel_opt=pixel)
    log = _train(options, "--auto_resume")
    assert list(_optimizer(iteration=2)["betas"]) == [0.9, 0.99]
    assert (list(_optimizer()["betas"]), _optimizer()["weight_decay"]) == ([0.8, 0.9], 0.1)
    lines = re.findall(r"Resumed with another option: (.*)", log)
    assert lines == [
        "train.optim_g.weight_decay was 0, and is 0.1 from now on.",
        "train.optim_g.betas was [0.9, 0.99], and is [0.8, 0.9] from now on.",
        "train.total_iter was 2, and is 4 from now on.",
        "train.pixel_opt.loss_weight was 1.0, and is 0.5 from now on.",
    ]
    first, second = json.loads((Path("experiments") / NAME / "run.json").read_text())
    assert (first["iteration"], first["changed_options"]) == (0, {})
    assert second["iteration"] == 2 and second["changed_options"]["train.optim_g.weight_decay"] == [0, 0.1]
    assert "Resumed with another option" not in _train(options | {"num_gpu": 0}, "--auto_resume")


def test_a_training_that_has_ended_can_be_made_longer(here):
    """Its end, 3, is no multiple of the frequency of states, 2."""
    _train(_options(total_iter=3))
    experiment = Path("experiments") / NAME
    assert (experiment / "training_states" / "3.state").is_file()
    assert "Resumed with another option: train.total_iter was 3" in _train(_options(total_iter=5), "--auto_resume")
    _train(changed(_options(total_iter=5), "name", to="whole"))
    networks = [
        torch.load(Path("experiments") / name / "models" / "net_g_latest.pth", weights_only=True)
        for name in (NAME, "whole")
    ]
    for key in ("params", "params_ema"):
        assert all(torch.equal(networks[0][key][name], tensor) for name, tensor in networks[1][key].items())


def test_a_metric_that_is_new_is_measured(here):
    psnr, ssim = ({"type": f"calculate_{name}", "crop_border": 4} for name in ("psnr", "ssim"))
    options = changed(_options(total_iter=2), "val", to={"val_freq": 2, "metrics": {"psnr": psnr}})
    _train(options)
    options = changed(_options(), "val", to={"val_freq": 2, "metrics": {"psnr": psnr, "ssim": ssim}})
    log = _train(options, "--auto_resume")
    assert "Resumed with another option: val.metrics.ssim.type was None, and is calculate_ssim from now on." in log
    assert "# ssim:" in log


def test_nothing_is_left_to_train(here):
    _train(_options())
    assert "Nothing is left to train: iteration 4 is done" in _train(_options(total_iter=3), "--auto_resume")


def test_a_state_without_options_is_resumed(here):
    _train(_options(total_iter=2))
    file = Path("experiments") / NAME / "training_states" / "2.state"
    state = torch.load(file, weights_only=True)
    del state["options"]
    torch.save(state, file)
    log = _train(_options(optim_g=_adam(lr=5e-4)), "--auto_resume")
    assert "Resumed with another option" not in log and _rates(log) == {3: 5e-4, 4: 5e-4}
