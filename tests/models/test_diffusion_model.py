"""DiffusionModel and FirstStageModel: what is trained, what samples, what a step sees."""

import copy
from typing import Any

import pytest
import torch
from helpers.options import frame
from helpers.small_ldm import LDM, STAGE

from mihatp_arch.archs import Autoencoder
from mihatp_arch.errors import UserError
from mihatp_arch.models import DiffusionModel, FirstStageModel


def options(folder, network: dict[str, Any], **train: Any) -> dict[str, Any]:
    defaults = {
        "optim_g": {"type": "AdamW", "lr": 1e-2, "weight_decay": 0.1},
        "pixel_opt": {"type": "MSELoss", "loss_weight": 1.0, "reduction": "mean"},
    }
    return {**frame(folder, copy.deepcopy(network), **defaults | train), "val": {}}


@pytest.fixture
def stage(tmp_path) -> Autoencoder:
    """A first stage that has seen one batch, in a file."""
    net = Autoencoder(**STAGE).train()
    net(torch.rand(2, 3, 32, 32), with_loss=True)
    torch.save({"params": net.state_dict()}, tmp_path / "stage.pth")
    return net


def ldm(tmp_path, **train: Any) -> DiffusionModel:
    torch.manual_seed(1)
    opt = options(tmp_path, LDM, **train)
    opt["path"]["pretrain_network_first_stage"] = str(tmp_path / "stage.pth")
    return DiffusionModel(opt)


def feed(model, batch: int = 4) -> None:
    gt = torch.rand(batch, 3, 32, 32, generator=torch.Generator().manual_seed(2))
    model.feed_data({"lq": torch.nn.functional.avg_pool2d(gt, 4), "gt": gt, "lq_path": ["a"] * batch})


def test_a_step_moves_the_network_and_not_its_first_stage(tmp_path, stage):
    model = ldm(tmp_path)
    feed(model)
    before = copy.deepcopy(model.net_g.state_dict())
    model.optimize_parameters(1)
    assert model.log_dict.keys() == {"l_diff"}
    after, loaded, average = model.net_g.state_dict(), stage.state_dict(), model.net_g_ema.state_dict()
    for name, tensor in after.items():
        if name.startswith("first_stage."):
            assert torch.equal(tensor, loaded[name.removeprefix("first_stage.")]), name
            assert torch.equal(tensor, average[name]), name
    moved = [name for name in after if not torch.equal(after[name], before[name])]
    assert len(moved) > 10 and all(name.startswith("unet.") for name in moved)
    optimized = [p for group in model.optimizer_g.param_groups for p in group["params"]]
    assert sum(p.numel() for p in optimized) == sum(p.numel() for p in model.net_g.unet.parameters())


def test_the_average_samples(tmp_path, stage):
    model = ldm(tmp_path)
    feed(model)
    for step in range(3):
        model.optimize_parameters(step)
    model.test()
    assert torch.equal(model.output, model.net_g_ema.sample(model.lq))
    assert not torch.equal(model.output, model.net_g.eval().sample(model.lq))


def test_parts_give_the_step_of_the_whole_batch_in_the_mean(tmp_path, stage, monkeypatch):
    """With the same t and noise for every sample."""
    monkeypatch.setattr(torch, "randint", lambda high, size, device=None: torch.full(size, 3))
    monkeypatch.setattr(torch, "randn_like", lambda x: torch.ones_like(x))
    whole, parts = ldm(tmp_path), ldm(tmp_path, accumulate=2)
    for model in (whole, parts):
        feed(model)
        model.optimize_parameters(1)
    assert whole.log_dict["l_diff"] == pytest.approx(parts.log_dict["l_diff"], rel=1e-5)


def test_bf16_trains_and_samples(tmp_path, stage):
    model = ldm(tmp_path, precision="bf16")
    feed(model)
    model.optimize_parameters(1)
    full = model.net_g_ema.eval().sample(model.lq)
    model.opt["val"]["precision"] = "bf16"
    model.test()
    assert model.output.dtype == torch.float32 and not torch.equal(model.output, full)
    assert (model.output - full).abs().mean() < 0.05


def test_a_first_stage_sees_hr_and_learns_it(tmp_path):
    train = {"pixel_opt": {"type": "L1Loss", "loss_weight": 1.0, "reduction": "mean"}, "latent_weight": 0.5}
    model = FirstStageModel(options(tmp_path, {"type": "Autoencoder", **STAGE}, **train))
    feed(model)
    assert torch.equal(model.lq, model.gt)
    seen = []
    for step in range(40):
        model.optimize_parameters(step)
        seen.append(model.log_dict["l_pix"])
    assert model.log_dict.keys() == {"l_pix", "l_latent"} and seen[-1] < 0.98 * seen[1]
    model.test()
    assert model.output.shape == model.gt.shape
    with pytest.raises(UserError, match="a set without HR cannot test a first stage"):
        model.feed_data({"lq": model.lq})
