"""Both branches in threads of their own: the step is the same, the draws too, and errors come through."""

import pytest
import torch
from helpers.mihatp import batch, options, step

from mihatp_arch.models import MiHATPModel
from mihatp_arch.training.parallel_branches import JoinedBranches, ParallelBranches, SequentialBranches


@pytest.fixture(autouse=True)
def _two_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


def build(folder, *, network=None, **train):
    opt = options(folder, **train)
    opt["train"]["contrastive_opt"]["features"]["layers"] = ["relu1_1"]
    opt["network_g"] |= {"drop_path_rate": 0.5} | (network or {})
    torch.manual_seed(3)
    return MiHATPModel(opt)


@pytest.mark.parametrize(
    ("use_checkpoint", "train"),
    [
        (False, {"detach_positive": True}),
        (True, {"accumulate": 2, "grad_clip": 0.1}),
        (True, {"precision": "bf16"}),
    ],
)
def test_a_step_in_threads_is_the_step(tmp_path, use_checkpoint, train):
    """With stochastic depth, and generators that go on from the same state."""
    plain, threaded = (
        build(tmp_path, network={"use_checkpoint": use_checkpoint}, branch_threads=branch_threads, **train)
        for branch_threads in (False, True)
    )
    assert isinstance(plain.branches, SequentialBranches) and isinstance(threaded.branches, ParallelBranches)
    rounding = {"rtol": 5e-2, "atol": 1e-3} if "precision" in train else {"rtol": 1e-4, "atol": 1e-7}
    logs, states = [], []
    for model in (plain, threaded):
        logs.append(dict(step(model)))
        states.append(torch.get_rng_state())
    assert logs[1] == pytest.approx(logs[0], rel=1e-3 if "precision" in train else 1e-5)
    assert torch.equal(*states) and torch.get_num_threads() == 2
    for a, b in zip(plain.trained_networks, threaded.trained_networks, strict=True):
        for (name, p), q in zip(a.named_parameters(), b.parameters(), strict=True):
            torch.testing.assert_close(q.grad, p.grad, **rounding, msg=lambda m, n=name: f"{n}: {m}")


def test_a_step_in_threads_repeats_itself(tmp_path):
    first, second = build(tmp_path), build(tmp_path)
    for iteration in (1, 2):
        step(first, iteration)
        step(second, iteration)
    for a, b in zip(first.net_c.parameters(), second.net_c.parameters(), strict=True):
        assert torch.equal(a, b)


@pytest.mark.parametrize("where", ["forward", "backward"])
def test_an_error_in_a_thread_reaches_the_caller(tmp_path, where):
    model = build(tmp_path)

    def fail(*_):
        raise RuntimeError("in the thread")

    if where == "forward":
        model.net_c.conv_first.register_forward_hook(fail)
    else:
        model.net_c.conv_first.weight.register_hook(fail)
    model.feed_data(batch())
    with pytest.raises(RuntimeError, match="in the thread"):
        model.optimize_parameters(1)
    assert torch.get_num_threads() == 2


def gradients_of(model, branches):
    """Of a step of a model whose branches run this way, and how often its network ran."""
    calls = []
    handle = model.net_g.register_forward_pre_hook(lambda _, inputs: calls.append(len(inputs[0])))
    model.branches = branches
    log = dict(step(model))
    handle.remove()
    return log, {name: p.grad for name, p in model.net_g.named_parameters()}, calls


@pytest.mark.parametrize("use_checkpoint", [False, True])
def test_one_network_runs_both_branches_in_one_batch(tmp_path, use_checkpoint):
    """Without stochastic depth, whose masks are drawn in another order."""
    network = {"drop_path_rate": 0.0, "use_checkpoint": use_checkpoint}
    plain, joined = (build(tmp_path, network=network, share_branches=True) for _ in range(2))
    assert isinstance(joined.branches, JoinedBranches)
    (log, wanted, calls), (found_log, found, joined_calls) = (
        gradients_of(plain, SequentialBranches()),
        gradients_of(joined, joined.branches),
    )
    assert found_log == pytest.approx(log, rel=1e-5)
    assert joined_calls == [sum(calls)] and len(calls) == 2
    for name, gradient in wanted.items():
        torch.testing.assert_close(found[name], gradient, rtol=1e-4, atol=1e-7, msg=lambda m, n=name: f"{n}: {m}")


def test_one_network_runs_inputs_of_two_sizes_apart():
    network = torch.nn.Conv2d(3, 3, 3)
    branches = JoinedBranches()
    wide, high = torch.rand(2, 3, 8, 12), torch.rand(2, 3, 12, 8)
    with branches:
        outputs = [branches.start(network, x) for x in (wide, high)]
    assert [tuple(output.result().shape) for output in outputs] == [(2, 3, 6, 10), (2, 3, 10, 6)]
    assert torch.equal(outputs[0].result(), network(wide))


def test_an_error_before_the_end_of_the_block_starts_no_network():
    branches = JoinedBranches()
    with pytest.raises(ValueError, match="negatives"), branches:
        output = branches.start(torch.nn.Conv2d(3, 3, 3), torch.rand(1, 3, 8, 8))
        raise ValueError("negatives")
    with pytest.raises(TimeoutError):
        output.result(timeout=0)


def test_a_batch_norm_keeps_its_batches(tmp_path):
    opt = options(tmp_path, share_branches=True)
    opt["network_g"] = {"type": "SHISRCNet", "upscale": 4}
    assert isinstance(MiHATPModel(opt).branches, SequentialBranches)


@pytest.mark.parametrize("train", [{"branch_threads": False}, {"reversible_opt": None}, {"compile": True}])
def test_where_branches_stay_in_one_thread(tmp_path, train):
    assert isinstance(build(tmp_path, **train).branches, SequentialBranches)


def test_networks_that_may_draw_otherwise_stay_in_one_thread(tmp_path):
    opt = options(tmp_path)
    opt["network_g"] = {"type": "EDSR", "num_in_ch": 3, "num_out_ch": 3, "num_feat": 4, "num_block": 1, "upscale": 4}
    assert isinstance(MiHATPModel(opt).branches, SequentialBranches)


def test_one_core_has_one_thread(tmp_path):
    torch.set_num_threads(1)
    assert isinstance(build(tmp_path).branches, SequentialBranches)
