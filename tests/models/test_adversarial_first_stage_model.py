"""A first stage against a discriminator: its losses, the adaptive weight, the two steps, the start, resumption."""

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers.options import frame
from helpers.small_ldm import STAGE
from torch.nn import functional as F

from mihatp_arch.errors import UserError
from mihatp_arch.models import AdversarialFirstStageModel, FirstStageModel

TRAIN: dict[str, Any] = {
    "optim_g": {"type": "Adam", "lr": 1e-3},
    "optim_d": {"type": "Adam", "lr": 1e-2},
    "pixel_opt": {"type": "L1Loss", "loss_weight": 1.0, "reduction": "mean"},
    "gan_opt": {"type": "GANLoss", "gan_type": "hinge", "loss_weight": 0.75},
}


def options(folder: Path, **train: Any) -> dict[str, Any]:
    opt = frame(folder, {"type": "Autoencoder", **STAGE}, **copy.deepcopy(TRAIN | train))
    discriminator = {"type": "NLayerDiscriminator", "num_feat": 4, "num_layers": 2}
    return opt | {"val": {}, "network_d": discriminator, "datasets": {"train": {"gt_size": 32}}}


def build(folder: Path, kind: type = AdversarialFirstStageModel, **train: Any):
    torch.manual_seed(0)
    return kind(options(folder, **train))


def feed(model, seed: int = 1, batch: int = 4) -> None:
    torch.manual_seed(seed)
    gt = torch.rand(batch, 3, 32, 32)
    model.feed_data({"lq": gt, "gt": gt, "lq_path": ["a"] * batch})


def states(model) -> dict[str, dict[str, torch.Tensor]]:
    return {name: copy.deepcopy(getattr(model, name).state_dict()) for name in ("net_g", "net_d")}


def equal(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return all(torch.equal(one[name], other[name]) for name in one)


def gradient(loss: torch.Tensor, parameter: torch.Tensor) -> torch.Tensor:
    return torch.autograd.grad(loss, parameter, retain_graph=True)[0]


def test_the_adversarial_gradient_is_as_large_as_the_others_at_the_last_layer(tmp_path):
    model = build(tmp_path)
    feed(model)
    model._adversarial = True
    terms, values = model.losses()
    assert terms.keys() == {"l_pix", "l_latent", "l_gan"}
    last = model.net_g.vae.decoder.conv_out.weight
    pixels, adversarial = gradient(terms["l_pix"], last), gradient(terms["l_gan"], last)
    assert adversarial.norm().item() == pytest.approx(0.75 * pixels.norm().item(), rel=0.05)  # 1e-4 beside the norm
    score = -model.net_d(2 * model.output - 1).mean()
    wanted = pixels.norm() / (gradient(score, last).norm() + 1e-4)
    torch.testing.assert_close(values["gan_weight"], wanted)
    torch.testing.assert_close(terms["l_gan"], 0.75 * wanted * score)


def test_both_networks_make_a_step_each_on_its_own_loss(tmp_path):
    model = build(tmp_path)
    feed(model)
    before = states(model)
    twin = copy.deepcopy(model.net_d)
    model.optimize_parameters(1)
    after = states(model)
    assert not equal(before["net_g"], after["net_g"]) and not equal(before["net_d"], after["net_d"])
    assert model.log_dict.keys() == {"l_pix", "l_latent", "l_gan", "gan_weight", "l_d_real", "l_d_fake"}
    fake = model.output.detach()
    twin(2 * fake - 1)  # the pass of the first stage's loss; running statistics alone change
    losses = [F.relu(1 - sign * twin(2 * images - 1)).mean() for sign, images in ((1, model.gt), (-1, fake))]
    assert model.log_dict["l_d_real"] == pytest.approx(0.5 * losses[0].item(), rel=1e-5)
    assert model.log_dict["l_d_fake"] == pytest.approx(0.5 * losses[1].item(), rel=1e-5)
    (0.5 * sum(losses)).backward()
    for ours, theirs in zip(model.net_d.parameters(), twin.parameters(), strict=True):
        torch.testing.assert_close(ours.grad, theirs.grad, rtol=1e-4, atol=1e-6)


def test_the_discriminator_learns(tmp_path):
    model = build(tmp_path)
    for step in range(30):
        feed(model, seed=step)
        model.optimize_parameters(step + 1)
    assert model.log_dict["l_d_real"] + model.log_dict["l_d_fake"] < 0.7  # 1 for scores of 0


def test_before_its_start_the_discriminator_changes_nothing(tmp_path):
    model, plain = build(tmp_path, disc_start=2), build(tmp_path, FirstStageModel)
    plain.net_g.load_state_dict(model.net_g.state_dict())
    before = states(model)["net_d"]
    for step in (1, 2):
        for trained in (model, plain):
            feed(trained, seed=step)
            trained.optimize_parameters(step)
    assert equal(states(model)["net_d"], before) and equal(model.net_g.state_dict(), plain.net_g.state_dict())
    model.optimize_parameters(3)
    assert not equal(states(model)["net_d"], before)


def test_parts_of_a_batch_reach_the_discriminator_together(tmp_path):
    whole, parts = build(tmp_path), build(tmp_path, accumulate=2)
    for model in (whole, parts):
        feed(model)
        model.net_g.eval()  # no reset of the codebook between the parts
        model.optimize_parameters(1)
    assert len(parts._reconstructions) == 2
    assert parts.log_dict["l_d_real"] == pytest.approx(whole.log_dict["l_d_real"], rel=1e-5)


def test_it_resumes_to_the_bit(tmp_path):
    model = build(tmp_path)
    for step in range(1, 5):
        feed(model, seed=step)
        model.optimize_parameters(step)
        if step == 2:
            model.save(0, 2)
    state = torch.load(tmp_path / "2.state", weights_only=True)
    assert len(state["optimizers"]) == len(state["schedulers"]) == 2
    opt = options(tmp_path)
    opt["path"] |= {"pretrain_network_g": str(tmp_path / "net_g_2.pth"), "resume_state": str(tmp_path / "2.state")}
    opt["path"]["pretrain_network_d"] = str(tmp_path / "net_d_2.pth")  # as BasicSR sets them
    resumed = AdversarialFirstStageModel(opt)
    resumed.resume_training(state)
    for step in (3, 4):
        feed(resumed, seed=step)
        resumed.optimize_parameters(step)
    for name, weights in states(model).items():
        assert equal(weights, states(resumed)[name]), name


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"network_d": None}, "network_d: AdversarialFirstStageModel needs it, as in options/train_VQF4gan_x4.yml"),
        ({"optim_d": None}, "train.optim_d: AdversarialFirstStageModel needs it"),
        ({"gan_opt": None}, "train.gan_opt: AdversarialFirstStageModel takes GANLoss"),
        ({"gan_opt": TRAIN["gan_opt"] | {"loss_weight": 0}}, "GANLoss with a loss_weight above 0"),
        ({"compile": True}, "train.compile: not for AdversarialFirstStageModel"),
        ({"gt_size": 8}, "datasets.train.gt_size: 8 is less than 12, which network_d needs"),
    ],
)
def test_options_that_do_not_fit_are_refused(tmp_path, change, message):
    opt = options(tmp_path)
    for key, value in change.items():
        section = {"network_d": opt, "gt_size": opt["datasets"]["train"]}.get(key, opt["train"])
        section[key] = value
    with pytest.raises(UserError, match=message):
        AdversarialFirstStageModel.check_options(opt)
