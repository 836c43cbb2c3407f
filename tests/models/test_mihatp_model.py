"""MiHATPModel: one step of Eq. 5, its ablations, what it saves and takes up again."""

import copy
import math

import pytest
import torch
from helpers.mihatp import NETWORK, batch, build, options, step
from torch import nn

from mihatp_arch.archs import HAT
from mihatp_arch.errors import UserError
from mihatp_arch.models import MiHATPModel


def test_one_step_is_equation_5(tmp_path):
    model = build(tmp_path, probe_freq=0)
    reference = copy.deepcopy(model.net_g), copy.deepcopy(model.net_c)
    model.feed_data(batch())
    torch.manual_seed(7)
    model.optimize_parameters(1)

    f_base, f_con = reference
    lq, gt, k_p = model.lq, model.gt, 2
    torch.manual_seed(7)
    sr = f_base(lq)
    draw = model.reversible_pool.draw(2, height=8, width=8, k=k_p)
    con = f_con(model.reversible_pool.apply(lq.repeat_interleave(k_p, 0), draw))
    l_base = (gt - sr).abs().mean()
    l_con = (model.reversible_pool.apply(gt.repeat_interleave(k_p, 0), draw) - con).abs().mean()
    positives = model.reversible_pool.invert(con, draw).unflatten(0, (2, k_p))
    l_cl, sims = model.cri_cl(sr, positives, model.irreversible_pool(gt))
    (l_base + l_con + l_cl).backward()

    assert set(model.log_dict) == {"l_pix_base", "l_pix_con", "l_cl", "sim_pos", "sim_neg"}
    for name, value in {"l_pix_base": l_base, "l_pix_con": l_con, "l_cl": l_cl, **sims}.items():
        assert model.log_dict[name] == pytest.approx(value.item(), rel=1e-5)
    for net, mine in zip(reference, (model.net_g, model.net_c), strict=True):
        for (name, a), b in zip(net.named_parameters(), mine.parameters(), strict=True):
            torch.testing.assert_close(a.grad, b.grad, rtol=1e-4, atol=1e-7, msg=lambda m, n=name: f"{n}: {m}")


def test_every_parameter_of_both_branches_learns(tmp_path):
    model = build(tmp_path)
    for net in (model.net_g, model.net_c):
        for name, parameter in net.named_parameters():
            if name.endswith("dat.offset_out.weight"):
                nn.init.normal_(parameter)  # its zero start hides the layers before it
    before = [p.detach().clone() for net in (model.net_g, model.net_c) for p in net.parameters()]
    step(model)
    names = [f"{kind}.{name}" for kind in ("g", "c") for name, _ in getattr(model, f"net_{kind}").named_parameters()]
    after = [p for net in (model.net_g, model.net_c) for p in net.parameters()]
    assert [n for n, a, b in zip(names, before, after, strict=True) if torch.equal(a, b)] == []
    # gradients: Adam's first step is their sign alone, which two branches may share
    pairs = zip(model.net_g.parameters(), model.net_c.parameters(), strict=True)
    assert not any(torch.equal(a.grad, b.grad) for a, b in pairs)


@pytest.mark.parametrize("threads", [True, False])
def test_learnable_scales_train_in_both_branches_and_the_average_follows(tmp_path, threads):
    opt = options(tmp_path, branch_threads=threads, optim_g={"type": "AdamW", "lr": 1e-3, "weight_decay": 0.1})
    opt["network_g"] |= {"learnable_scales": True}
    torch.manual_seed(3)
    model = MiHATPModel(opt)
    names = [name for name, p in model.net_g.named_parameters() if p.ndim == 0]
    assert len(names) == 4
    step(model)
    for net in (model.net_g, model.net_c, model.net_g_ema):
        assert all(net.get_parameter(name) != 0.01 for name in names)
    decays = {id(p): group["weight_decay"] for group in model.optimizer_g.param_groups for p in group["params"]}
    assert {decays[id(p)] for p in model.net_g.parameters() if p.ndim == 0} == {0}
    assert {decays[id(p)] for p in model.net_c.parameters() if p.ndim > 0} == {0.1}
    assert decays.keys() == {id(p) for net in (model.net_g, model.net_c) for p in net.parameters()}


def test_branches_learn_and_the_loss_falls(tmp_path):
    model = build(tmp_path)
    colours = torch.rand(2, 3, 1, 1)
    model.feed_data({"lq": colours.expand(2, 3, 8, 8), "gt": colours.expand(2, 3, 32, 32)})
    first = None
    for iteration in range(1, 31):
        model.optimize_parameters(iteration)
        first = first or dict(model.log_dict)
    assert model.log_dict["l_pix_base"] < 0.9 * first["l_pix_base"]
    assert model.log_dict["l_pix_con"] < 0.9 * first["l_pix_con"]


def test_without_pools_the_contrastive_loss_is_its_constant(tmp_path):
    model = build(tmp_path, reversible_opt=None, irreversible_opt=None)
    log = step(model)
    assert model.net_c is None
    assert "l_pix_con" not in log
    assert log["l_cl"] == pytest.approx(0.01 * math.log(5))
    model.save(0, 1)
    assert not (tmp_path / "net_c_1.pth").exists()


@pytest.mark.parametrize("off", ["reversible_opt", "irreversible_opt", "contrastive_opt"])
def test_each_ablation_trains(tmp_path, off):
    model = build(tmp_path, **{off: None})
    log = step(model)
    assert ("l_pix_con" in log) == (off != "reversible_opt")
    assert ("l_cl" in log) == (off != "contrastive_opt")
    if off == "reversible_opt":
        assert log["sim_pos"] == 1
    if off == "irreversible_opt":
        assert log["sim_neg"] == 1


def test_image_space_off_leaves_the_feature_layers(tmp_path):
    contrastive = options(tmp_path)["train"]["contrastive_opt"]
    with_is = step(build(tmp_path))["l_cl"]
    without = step(build(tmp_path, contrastive_opt={**contrastive, "image_space": False}))["l_cl"]
    assert with_is != pytest.approx(without, rel=1e-3)


def test_shared_branches_are_one_network(tmp_path):
    model = build(tmp_path, share_branches=True)
    assert model.net_c is model.net_g
    assert len(model.optimizer_g.param_groups[0]["params"]) == len(list(model.net_g.parameters()))
    step(model)
    model.save(0, 1)
    assert not (tmp_path / "net_c_1.pth").exists()


@pytest.mark.parametrize("detach", [True, False])
def test_detached_positives_send_no_contrastive_gradient_into_f_con(tmp_path, detach):
    model = build(tmp_path, detach_positive=detach)
    model.feed_data(batch())
    seen = []
    model.cri_cl.register_forward_pre_hook(lambda _, images: seen.append(images))
    terms, _ = model.losses()
    ((_, positives, _),) = seen
    assert positives.requires_grad is not detach
    assert terms["l_pix_con"].requires_grad


def test_non_square_patches_train(tmp_path):
    model = build(tmp_path)
    model.feed_data({"lq": torch.rand(1, 3, 8, 12), "gt": torch.rand(1, 3, 32, 48)})
    model.optimize_parameters(1)
    assert math.isfinite(model.log_dict["l_cl"])


def test_saved_and_resumed_run_goes_on_as_if_never_stopped(tmp_path):
    model = build(tmp_path)
    for iteration in (1, 2):
        step(model, iteration)
    model.save(0, 2)
    assert {p.name for p in tmp_path.iterdir()} == {"net_g_2.pth", "net_c_2.pth", "2.state"}
    saved = torch.load(tmp_path / "net_g_2.pth", weights_only=True)
    assert set(saved) == {"params", "params_ema"}
    assert not any(k.startswith("net_c") for k in saved["params"])

    opt = options(tmp_path)
    opt["path"] |= {"pretrain_network_g": str(tmp_path / "net_g_2.pth"), "resume_state": str(tmp_path / "2.state")}
    resumed = MiHATPModel(opt)
    resumed.resume_training(torch.load(tmp_path / "2.state", weights_only=True))
    expected, actual = step(model, 3), step(resumed, 3)
    assert actual == pytest.approx(expected, rel=1e-5)
    for a, b in zip(model.net_c.parameters(), resumed.net_c.parameters(), strict=True):
        torch.testing.assert_close(a, b)
    for a, b in zip(model.net_g_ema.parameters(), resumed.net_g_ema.parameters(), strict=True):
        assert torch.equal(a, b)


def test_average_starts_equal_to_a_network_that_started_from_hat_weights(tmp_path):
    hat = HAT(**{k: v for k, v in NETWORK.items() if k not in ("type", "sample_grid")})
    torch.save({"params": hat.state_dict()}, tmp_path / "hat.pth")
    opt = options(tmp_path)
    opt["path"] |= {"pretrain_network_g": str(tmp_path / "hat.pth"), "strict_load_g": False}
    model = MiHATPModel(opt)
    for (name, value), average in zip(model.net_g.named_parameters(), model.net_g_ema.parameters(), strict=True):
        torch.testing.assert_close(value, average, msg=name)
    for name, value in hat.named_parameters():
        assert torch.equal(model.net_g.get_parameter(name), value)


def test_a_loss_that_is_not_finite_stops_before_the_weights_are_spoilt(tmp_path):
    model = build(tmp_path)
    model.feed_data({"lq": torch.rand(1, 3, 8, 8), "gt": torch.full((1, 3, 32, 32), torch.nan)})
    with pytest.raises(UserError, match="iteration 5: the loss is not finite"):
        model.optimize_parameters(5)
    assert all(p.isfinite().all() for p in model.net_g.parameters())


def test_resume_without_the_contrastive_branch_is_refused(tmp_path):
    with pytest.raises(UserError, match=r"net_c_9\.pth"):
        build(tmp_path).resume_training({"iter": 9, "optimizers": [], "schedulers": []})


def test_testing_builds_the_base_branch_alone(tmp_path):
    opt = {**options(tmp_path), "is_train": False}
    del opt["train"]
    model = MiHATPModel(opt)
    model.feed_data(batch())
    model.test()
    assert model.output.shape == (2, 3, 32, 32)
    assert not hasattr(model, "net_c")


@pytest.mark.parametrize(
    ("train", "message"),
    [
        ({"perceptual_opt": {"type": "PerceptualLoss"}}, "perceptual_opt"),
        ({"pixel_opt": None}, "pixel_opt"),
        ({"reversible_opt": {"k_p": 0}}, "k_p"),
        ({"reversible_opt": {"element": ["hflip"]}}, "train.reversible_opt.*element"),
        ({"irreversible_opt": {"kn": 4}}, "train.irreversible_opt.*kn"),
        ({"irreversible_opt": {"k_n": 40}}, "k_n"),
        ({"irreversible_opt": {"k_n": 4.0}}, "k_n"),
        ({"irreversible_opt": {"scale": 3}}, "train.irreversible_opt.*scale"),
        ({"contrastive_opt": {"type": "L1Loss"}}, "contrastive_opt"),
        ({"pixel_opt": {"type": "ContrastiveLoss"}}, "pixel_opt"),
    ],
)
def test_options_that_do_not_fit_are_refused_before_anything_is_built(tmp_path, train, message):
    with pytest.raises(UserError, match=message):
        MiHATPModel.check_options(options(tmp_path, **train))


def test_a_network_c_without_a_second_branch_is_refused(tmp_path):
    opt = options(tmp_path, reversible_opt=None)
    with pytest.raises(UserError, match="network_c: without train"):
        MiHATPModel.check_options({**opt, "network_c": opt["network_g"]})


def test_shared_branches_and_network_c_contradict(tmp_path):
    opt = options(tmp_path, share_branches=True)
    with pytest.raises(UserError, match="share_branches"):
        MiHATPModel.check_options({**opt, "network_c": opt["network_g"]})
