"""Checkpointing: the same numbers, less memory, and no second pass through convolutions and attention."""

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from mihatp_arch.archs.fast import checkpointing, chunked_attention
from mihatp_arch.archs.hat_arch import HAT
from mihatp_arch.archs.mihatp_arch import MiHATP

SMALL = {"embed_dim": 24, "depths": [2, 2], "num_heads": [2, 2], "window_size": 4, "squeeze_factor": 4}
SMALL |= {"upsampler": "pixelshuffledirect"}  # the other outweighs the groups
NETWORKS = [(HAT, {}), (MiHATP, {"position": "lepe"}), (MiHATP, {"position": "bias"})]


def build(kind=HAT, **options):
    torch.manual_seed(0)
    return kind(**{**SMALL, **options}).train()


def step(net, *, use_checkpoint, precision=torch.float32, backwards=1):
    net.use_checkpoint = use_checkpoint
    net.zero_grad()
    torch.manual_seed(5)
    with torch.autocast("cpu", precision, enabled=precision != torch.float32):
        out = net(torch.rand(2, 3, 8, 12))
    loss = out.float().square().mean()
    for number in range(backwards):
        loss.backward(retain_graph=number + 1 < backwards)
    return [out.detach(), *(p.grad for p in net.parameters())]


@pytest.mark.parametrize("precision", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("fused_attn", [True, False])
@pytest.mark.parametrize(("kind", "options"), NETWORKS)
def test_the_numbers_stay_bit_for_bit(kind, options, fused_attn, precision):
    net = build(kind, drop_path_rate=0.5, fused_attn=fused_attn, **options)
    plain = step(net, use_checkpoint=False, precision=precision)
    assert all(map(torch.equal, plain, step(net, use_checkpoint=True, precision=precision)))


def test_a_second_backward_pass_adds_the_same_again():
    net = build()
    once = step(net, use_checkpoint=True)
    twice = step(net, use_checkpoint=True, backwards=2)
    torch.testing.assert_close([2 * grad for grad in once[1:]], twice[1:])


def test_frozen_layers_stay_without_gradient():
    net = build()
    for name, parameter in net.named_parameters():
        parameter.requires_grad_("conv_block" not in name)
    results = [step(net, use_checkpoint=use_checkpoint) for use_checkpoint in (False, True)]
    frozen = [a is None and b is None for a, b in zip(*results, strict=True)]
    assert sum(frozen) == 4 * 8
    assert all(none or torch.equal(a, b) for none, a, b in zip(frozen, *results, strict=True))


@pytest.mark.parametrize(("kind", "options"), NETWORKS)
def test_convolutions_are_not_computed_again(kind, options):
    net, counts = build(kind, **options), []
    for use_checkpoint in (False, True):
        with FlopCounterMode(display=False) as counter:
            step(net, use_checkpoint=use_checkpoint)
        counts.append(counter.get_flop_counts()["Global"])
    plain, again = counts
    convolution, gradient = torch.ops.aten.convolution, torch.ops.aten.convolution_backward
    assert again[gradient] == plain[gradient]
    assert again[convolution] <= 1.01 * plain[convolution]  # offsets of the deformable attention are


@pytest.mark.parametrize("precision", [torch.float32, torch.bfloat16])
def test_attention_is_not_computed_again(precision, monkeypatch):
    calls, forward = [], chunked_attention._forward
    monkeypatch.setattr(chunked_attention, "_forward", lambda *args: calls.append(args) or forward(*args))
    net = build(MiHATP)
    for use_checkpoint in (False, True):
        step(net, use_checkpoint=use_checkpoint, precision=precision)
    per_block = [2, 2, 1]  # window attention and deformable attention of two blocks, then the overlapping attention
    assert len(calls) == 2 * 2 * sum(per_block)


def test_memory_is_less(monkeypatch):
    net, results, totals = build(), [], []
    run = checkpointing._FirstPass.run

    def run_and_count(*args):
        result = run(*args)
        results.append(result.numel())
        return result

    monkeypatch.setattr(checkpointing._FirstPass, "run", run_and_count)
    for net.use_checkpoint in (False, True):
        saved = []
        with torch.autograd.graph.saved_tensors_hooks(lambda t, saved=saved: saved.append(t.numel()) or t, lambda t: t):
            net(torch.rand(4, 3, 8, 8))
        totals.append(sum(saved) + sum(results))
    assert results and totals[1] < totals[0] / 2


@pytest.mark.slow
def test_compiled_it_gives_the_same_numbers():
    """Inductor adds to the views of `unfold` outside their memory: no gradient may do that."""
    shallow = {"depths": [1], "num_heads": [2]}
    plain, net = (build(**shallow) for _ in range(2))
    net.compile(dynamic=False)
    results = [step(one, use_checkpoint=True) for one in (plain, net)]
    torch.testing.assert_close(*results, atol=1e-5, rtol=1e-4)
