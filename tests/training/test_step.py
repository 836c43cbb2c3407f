"""A step in parts, in bf16, with clipped gradients, and on a loss that is not finite."""

import copy

import pytest
import torch
from helpers.model import build
from torch import nn

from mihatp_arch.errors import UserError
from mihatp_arch.training.ema import share_of_start, start_ema_at


def step(model, *, value=None, iteration=7):
    torch.manual_seed(1)
    lq, gt = torch.rand(5, 3, 6, 6), torch.rand(5, 3, 24, 24)
    if value is not None:
        gt[3, 0, 0, 0] = value
    model.feed_data({"lq": lq, "gt": gt, "lq_path": [f"patch_{i}" for i in range(5)]})
    model.optimize_parameters(iteration)
    return model


def weights(model):
    return copy.deepcopy(model.net_g.state_dict())


@pytest.mark.parametrize("parts", [2, 3, 5])
def test_a_step_in_parts_is_the_step(tmp_path, parts):
    whole, split = step(build(tmp_path)), step(build(tmp_path, accumulate=parts))
    assert split.log_dict["l_pix"] == pytest.approx(whole.log_dict["l_pix"], rel=1e-6)
    for a, b in zip(whole.net_g.parameters(), split.net_g.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-7)
    assert len(split.lq) == 5  # the whole batch is back


def test_bf16_runs_the_network_and_nothing_else(tmp_path):
    seen = []
    model = build(tmp_path, precision="bf16")
    model.net_g.conv_last.register_forward_hook(lambda *args: seen.append(args[2].dtype))
    reference, model = step(build(tmp_path)), step(model)
    assert seen == [torch.bfloat16]
    assert model.log_dict["l_pix"] == pytest.approx(reference.log_dict["l_pix"], rel=0.02)
    assert model.log_dict["l_pix"] != reference.log_dict["l_pix"]
    assert {p.dtype for p in [*model.net_g.parameters(), *model.net_g_ema.parameters()]} == {torch.float32}


@pytest.mark.slow
def test_a_compiled_network_takes_the_same_step_and_has_the_same_names(tmp_path):
    """Images of another size are validated without compiling once more."""
    plain, compiled = step(build(tmp_path)), step(build(tmp_path, compile=True))
    assert compiled.net_g._compiled_call_impl is not None and plain.net_g._compiled_call_impl is None
    assert compiled.log_dict["l_pix"] == pytest.approx(plain.log_dict["l_pix"], rel=1e-5)
    ours, theirs = weights(compiled), weights(plain)
    assert ours.keys() == theirs.keys()
    for name in ours:
        torch.testing.assert_close(ours[name], theirs[name], rtol=1e-4, atol=1e-6)
    with torch.compiler.set_stance("fail_on_recompile"):
        step(compiled)
        compiled.lq = torch.rand(1, 3, 9, 7)
    del compiled.net_g_ema
    compiled.test()
    assert compiled.output.shape == (1, 3, 36, 28) and compiled.net_g.training


def test_gradients_are_clipped_together(tmp_path):
    before = weights(build(tmp_path))
    model = step(build(tmp_path, grad_clip=1e-3))
    moved = torch.cat([(p - before[name]).flatten() for name, p in model.net_g.named_parameters()])
    assert moved.norm().item() == pytest.approx(0.1 * 1e-3, rel=1e-3)  # lr times the norm


def test_the_average_follows_parameters(tmp_path):
    before, model = weights(build(tmp_path)), build(tmp_path)
    start_ema_at(model, 100)  # after the warm-up of the decay
    step(model)
    for (name, p), average in zip(model.net_g.named_parameters(), model.net_g_ema.parameters(), strict=True):
        torch.testing.assert_close(average, 0.5 * before[name] + 0.5 * p)


@pytest.mark.parametrize("decay", [0.9999, 0.25])
def test_the_decay_of_the_average_warms_up(tmp_path, decay):
    """After n iterations it is min(decay, (1 + n) / (10 + n))."""
    model = build(tmp_path, ema_decay=decay)
    average = weights(model)
    for n in range(1, 6):
        step(model, iteration=n)
        weight = 1 - min(decay, (1 + n) / (10 + n))
        for name, p in model.net_g.named_parameters():
            average[name] = torch.lerp(average[name], p.detach(), weight)
    for name, p in model.net_g_ema.named_parameters():
        torch.testing.assert_close(p, average[name])
    model.model_ema(0)  # a copy, and no iteration
    assert all(torch.equal(a, b) for a, b in zip(model.net_g.parameters(), model.net_g_ema.parameters(), strict=True))
    assert model.averaged_iterations == 5


def test_after_a_short_training_the_average_has_left_its_start(tmp_path):
    """With a constant decay of 0.9999, 99.7 % of the average of 30 iterations is the untrained network."""
    model = build(tmp_path, ema_decay=0.9999, optim_g={"type": "SGD", "lr": 0.0})
    with torch.no_grad():
        for p in model.net_g_ema.parameters():
            p.fill_(1e3)
    for n in range(1, 31):
        step(model, iteration=n)
    for p, average in zip(model.net_g.parameters(), model.net_g_ema.parameters(), strict=True):
        torch.testing.assert_close(average, p, rtol=0, atol=1e-2)


@pytest.mark.parametrize(("decay", "total", "share"), [(0.999, 1, 2 / 11), (0.999, 2, 6 / 132), (0.5, 2, 6 / 132)])
def test_the_share_of_the_start_is_the_product_of_the_decays(decay, total, share):
    assert share_of_start(decay, total) == pytest.approx(share)
    assert share_of_start(decay, total, warm_up=False) == pytest.approx(decay**total)
    assert share_of_start(decay, 300) < 1e-6


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_loss_that_is_not_finite_names_the_images_and_spoils_nothing(tmp_path, value):
    model = build(tmp_path)
    before = weights(model)
    with pytest.raises(UserError, match=r"iteration 7: .*patch_0, patch_1"):
        step(model, value=value)
    assert all(torch.equal(before[name], p) for name, p in model.net_g.state_dict().items())


def test_running_statistics_are_averaged_too(tmp_path):
    model = build(tmp_path)
    model.net_g.register_buffer("running", torch.tensor([3.0]))
    model.net_g_ema.register_buffer("running", torch.tensor([0.0]))
    step(model)
    assert model.net_g_ema.running.item() == 3


@pytest.mark.parametrize("name", ["Adam", "AdamW", "NAdam", "RMSprop"])
def test_any_optimizer_of_torch(tmp_path, name):
    """Its step is that of torch itself on the same gradients, with the options that were given."""
    how = {"lr": 1e-3, "weight_decay": 1.0}
    model = build(tmp_path, optim_g={"type": name, **how})
    expected = copy.deepcopy(model.net_g)
    step(model)
    assert type(model.optimizer_g).__name__ == name
    for p, trained in zip(expected.parameters(), model.net_g.parameters(), strict=True):
        p.grad = trained.grad
    before = copy.deepcopy(expected.state_dict())
    getattr(torch.optim, name)(expected.parameters(), **how).step()
    for key, p in model.net_g.named_parameters():
        torch.testing.assert_close(p, expected.state_dict()[key], rtol=1e-5, atol=1e-7)
        assert not torch.equal(p, before[key])


@pytest.mark.parametrize("name", ["Adam", "AdamW"])
def test_fused_adam_goes_on_from_an_unfused_state_as_unfused_would(tmp_path, name):
    plain, fused = (step(build(tmp_path, optim_g={"type": name, "lr": 1e-3, **how})) for how in ({"fused": False}, {}))
    fused.net_g.load_state_dict(plain.net_g.state_dict())
    fused.optimizer_g.load_state_dict(copy.deepcopy(plain.optimizer_g.state_dict()))
    assert [model.optimizer_g.param_groups[0]["fused"] for model in (plain, fused)] == [False, True]
    for a, b in zip(step(plain).net_g.parameters(), step(fused).net_g.parameters(), strict=True):
        torch.testing.assert_close(b, a, rtol=1e-5, atol=1e-7)


def test_adam_is_fused_where_it_can_be_and_nothing_else_is_asked(tmp_path):
    model = build(tmp_path)
    for dtype, how, fused in ((torch.float64, {}, False), (torch.float32, {"foreach": True}, None)):
        optimizer = model.get_optimizer("Adam", [nn.Parameter(torch.ones(2, dtype=dtype))], lr=0.1, **how)
        assert optimizer.param_groups[0]["fused"] is fused
