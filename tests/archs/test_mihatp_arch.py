"""MiHATP's network: Eq. 4, and what is left of it when its terms are switched off."""

import pytest
import torch
from torch import nn

from mihatp_arch.archs.hat_arch import HAT
from mihatp_arch.archs.mihatp_arch import MiHATP

TINY = {"embed_dim": 12, "depths": [2, 2], "num_heads": [2, 2], "window_size": 4, "squeeze_factor": 4}


def test_without_its_terms_it_is_hat():
    hat = HAT(**TINY, drop_path_rate=0.0)
    net = MiHATP(**TINY, beta=0.0, norm_residual=False, drop_path_rate=0.0)
    missing, unexpected = net.load_state_dict(hat.state_dict(), strict=False)
    assert unexpected == []
    assert set(missing) == {k for k in net.state_dict() if ".dat." in k}
    x = torch.rand(2, 3, 9, 11)
    torch.testing.assert_close(net(x), hat(x), atol=1e-6, rtol=1e-6)


@pytest.mark.parametrize("norm_residual", [True, False])
def test_block_is_equation_4(norm_residual):
    net = MiHATP(**TINY, alpha=0.3, beta=0.7, norm_residual=norm_residual, drop_path_rate=0.0)
    block = net.layers[0].residual_group.blocks[1]
    nn.init.normal_(block.dat.offset_out.weight)
    seen = {}
    block.register_forward_hook(lambda module, inputs, output: seen.update(inputs=inputs, output=output))
    net(torch.rand(1, 3, 8, 8))
    X, windows = seen["inputs"]
    X_norm = block.norm1(X)
    SW_MSA = block.attn(X_norm, windows.relative_position_index, windows.attn_mask, windows.shifted)
    X_med = SW_MSA + 0.3 * block.conv_block(X_norm) + 0.7 * block.dat(X_norm)
    expected = block.mlp(block.norm2(X_med + X)) + X_med + X
    if norm_residual:
        expected = X_norm + expected
    torch.testing.assert_close(seen["output"], expected)
    assert block.shifted


def learnable(**options) -> MiHATP:
    return MiHATP(**TINY, alpha=0.3, beta=0.7, learnable_scales=True, **options)


def blocks_of(net: MiHATP) -> list[nn.Module]:
    return [block for layer in net.layers for block in layer.residual_group.blocks]


def test_learnable_scales_are_one_alpha_and_one_beta_in_each_block():
    torch.manual_seed(0)
    fixed, net = MiHATP(**TINY, alpha=0.3, beta=0.7, drop_path_rate=0.0), learnable(drop_path_rate=0.0)
    missing, unexpected = net.load_state_dict(fixed.state_dict(), strict=False)
    scales = {
        f"layers.{g}.residual_group.blocks.{b}.{s}" for g in (0, 1) for b in (0, 1) for s in ("conv_scale", "beta")
    }
    assert set(missing) == scales and unexpected == []
    x = torch.rand(2, 3, 9, 11)
    torch.testing.assert_close(net(x), fixed(x))

    with torch.no_grad():
        for block in blocks_of(net):
            block.conv_scale.fill_(0.1)
            block.beta.fill_(0.2)
    again = MiHATP(**TINY, alpha=0.1, beta=0.2, drop_path_rate=0.0)
    again.load_state_dict({k: v for k, v in net.state_dict().items() if k not in scales})
    torch.testing.assert_close(net(x), again(x))


@pytest.mark.parametrize("use_checkpoint", [False, True])
def test_alpha_and_beta_learn(use_checkpoint):
    torch.manual_seed(0)
    net = learnable(drop_path_rate=0.0, use_checkpoint=use_checkpoint)
    x, weight = torch.rand(1, 3, 8, 8), torch.randn(1, 3, 32, 32)
    (weight * net(x)).sum().backward()
    beta, step = blocks_of(net)[1].beta, 0.05
    outputs = []
    with torch.no_grad():
        for value in (0.7 - step, 0.7 + step):
            beta.fill_(value)
            outputs.append(net.eval()(x))
    difference = (weight * (outputs[1] - outputs[0])).sum().item() / (2 * step)
    assert beta.grad.item() == pytest.approx(difference, rel=0.02)
    assert all(b.conv_scale.grad.abs() > 0 and b.beta.grad.abs() > 0 for b in blocks_of(net))


def test_paper_size():
    with torch.device("meta"):
        net = MiHATP(upscale=8, img_size=24, window_size=12)
    assert len(net.layers) == 6
    assert all(len(layer.residual_group.blocks) == 6 for layer in net.layers)
    block = net.layers[0].residual_group.blocks[0]
    assert (block.conv_scale, block.beta, block.norm_residual) == (0.01, 0.01, True)
    assert block.dat.stride == 3


@pytest.mark.parametrize(
    ("upscale", "position"), [(4, "lepe"), (4, "bias"), (4, "none"), (2, "lepe"), (3, "lepe"), (8, "lepe")]
)
def test_any_size(upscale, position):
    """Each position at one scale, each scale with one position: the blocks do not depend on the scale."""
    net = MiHATP(**TINY, upscale=upscale, position=position, img_size=24)
    for size in ((1, 1), (7, 5), (24, 24), (33, 50)):
        for mode in (True, False):
            out = net.train(mode)(torch.rand(1, 3, *size))
            assert out.shape == (1, 3, size[0] * upscale, size[1] * upscale)
            assert out.isfinite().all()


def test_every_parameter_gets_a_gradient():
    net = MiHATP(**{**TINY, "squeeze_factor": 1}, drop_path_rate=0.0)  # 12 units: no layer of dead ReLUs
    for block in (b for layer in net.layers for b in layer.residual_group.blocks):
        nn.init.normal_(block.dat.offset_out.weight)  # at its zero start it hides the layers before it
    net(torch.rand(1, 3, 12, 12)).square().mean().backward()
    assert [n for n, p in net.named_parameters() if p.grad is None or p.grad.abs().max() == 0] == []
