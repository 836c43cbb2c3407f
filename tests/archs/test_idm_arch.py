"""IDM: its size, the noise schedule, training at many sizes, the implicit decoder, sampling."""

import pytest
import torch
import torch.nn.functional as F
from helpers.small_idm import small
from torch import nn

from mihatp_arch.archs.diffusion.idm_blocks import EqualConv, EqualLinear
from mihatp_arch.archs.diffusion.idm_unet import Attention
from mihatp_arch.archs.idm_arch import IDM, side_at
from mihatp_arch.errors import UserError


def test_it_has_the_number_of_parameters_of_the_authors_code():
    """Without those of theirs that nothing uses: 115 153 415 + 1 222 171 + 215 299 there, 16 789 215 of them idle."""
    with torch.device("meta"):
        net = IDM()
    count = {name: sum(p.numel() for p in part.parameters()) for name, part in net.named_children()}
    assert count == {"encoder": 1_222_147, "pyramid": 5_502_528, "unet": 93_076_995}
    assert sum(count.values()) == 99_801_670
    assert net.multiple == 4
    attend = {
        name.rpartition(".blocks")[0] or name for name, part in net.unet.named_modules() if isinstance(part, Attention)
    }
    assert attend == {"encoder.3", "decoder.3", "middle.0.attend"}


@pytest.mark.parametrize(("upscale", "multiple"), [(2, 8), (4, 4), (8, 2)])
def test_legal_sizes_are_those_that_halve_four_times(upscale, multiple):
    with torch.device("meta"):
        assert IDM(upscale=upscale).multiple == multiple
        assert IDM(upscale=upscale, mult=(1, 2), attention_levels=()).multiple == 1


@pytest.mark.parametrize("upscale", [2, 4, 8])
@pytest.mark.parametrize("size", [(2, 2), (5, 8)])
def test_shapes_of_samples(upscale, size):
    out = small(upscale=upscale, steps=1)(torch.rand(2, 3, *size))
    assert out.shape == (2, 3, size[0] * upscale, size[1] * upscale)
    assert out.min() >= 0
    assert out.max() <= 1


def test_sizes_lie_on_the_way_from_lr_to_hr():
    assert [side_at(p, 48, 192, 16) for p in (0, 0.04, 0.07, 0.5, 0.96, 1)] == [48, 48, 64, 128, 192, 192]
    assert side_at(0, 20, 160, 16) == 32  # never less than LR
    assert side_at(0, 2, 16, 16) == 16


def test_samples_of_a_batch_have_sizes_of_their_own(monkeypatch):
    net = small(full_scale_share=0)
    lq, gt = torch.rand(8, 3, 8, 12) * 2 - 1, torch.rand(8, 3, 32, 48) * 2 - 1
    told = []
    whole = net.condition
    monkeypatch.setattr(net, "condition", lambda *args: told.append((len(args[0]), *args[1:])) or whole(*args))
    said, noise = net.prediction_and_target(lq, gt)
    assert len(told) > 1
    assert sum(count for count, _, _ in told) == 8
    assert said.shape == noise.shape == (sum(3 * count * h * w for count, (h, w), _ in told),)
    for _, (height, width), s in told:
        assert height % 4 == width % 4 == 0
        assert s == pytest.approx((height + width - 20) / 60)


def test_a_share_of_the_samples_is_trained_at_full_size():
    net = small(mult=(1, 1), attention_levels=(), full_scale_share=0.25)
    lq, gt = torch.zeros(2000, 3, 8, 8), torch.zeros(2000, 3, 32, 32)
    sizes = net._sizes(lq, gt)
    assert len(sizes[32, 32]) / 2000 == pytest.approx(0.25 + 0.75 / 24, abs=0.04)  # half of the last of 12 steps
    assert sorted(sizes) == [(side, side) for side in range(8, 33, 2)]


def test_full_size_only_gives_images():
    for options in ({"continuous": False}, {"full_scale_share": 1.0}):
        said, noise = small(**options)(torch.rand(3, 3, 4, 4), torch.rand(3, 3, 16, 16))
        assert said.shape == noise.shape == (3, 3, 16, 16)
        assert noise.std() == pytest.approx(1, abs=0.1)


def test_what_the_network_sees_in_training(monkeypatch):
    """x_t belongs to the noise that is returned, to γ, and to HR resized; at full size to HR itself."""
    net = small()
    lq, gt = torch.rand(2, 3, 8, 8) * 2 - 1, torch.randn(2, 3, 32, 32).sign()  # hard edges, which bicubic overshoots
    seen = []
    monkeypatch.setattr(net, "epsilon", lambda x_t, gamma, condition: seen.append((x_t, gamma)) or x_t)
    for side in (32, 20):
        monkeypatch.setattr(net, "_sizes", lambda lq, gt, side=side: {(side, side): [0, 1]})
        _, noise = net.prediction_and_target(lq, gt)
        x_t, gamma = seen.pop()
        level = gamma[:, None, None, None]
        resized = F.interpolate(gt, (side, side), mode="bicubic", antialias=True).clamp(-1, 1)
        torch.testing.assert_close(x_t, level * resized + (1 - level**2).sqrt() * noise, atol=1e-5, rtol=0)
        assert gamma[0] != gamma[1]


def test_the_output_depends_on_the_scale_from_the_start():
    net = small()
    lq, x_t = torch.rand(1, 3, 8, 8), torch.randn(1, 3, 16, 16)
    with torch.no_grad():
        outs = [net.epsilon(x_t, torch.ones(1), net.condition(lq, (16, 16), s)) for s in (0.0, 0.5, 1.0)]
    assert (outs[0] - outs[1]).abs().mean() > 0.01
    assert (outs[1] - outs[2]).abs().mean() > 0.01


def test_the_output_depends_on_lr_and_noise_level_of_each_sample():
    net = small()
    lq, x_t, gamma = torch.rand(2, 3, 8, 8), torch.randn(2, 3, 16, 16), torch.tensor([0.2, 0.9])
    with torch.no_grad():
        both = net.epsilon(x_t, gamma, net.condition(lq, (16, 16), 1.0))
        for i in range(2):
            alone = net.epsilon(x_t[i : i + 1], gamma[i : i + 1], net.condition(lq[i : i + 1], (16, 16), 1.0))
            torch.testing.assert_close(both[i : i + 1], alone, atol=1e-5, rtol=0)
        assert (net.epsilon(x_t, gamma.flip(0), net.condition(lq, (16, 16), 1.0)) - both).abs().max() > 1e-3
        assert (net.epsilon(x_t, gamma, net.condition(lq.flip(0), (16, 16), 1.0)) - both).abs().max() > 1e-3


@pytest.mark.parametrize("mlp_gelu", [False, True])
def test_every_parameter_gets_a_gradient(mlp_gelu):
    net = small(mlp_gelu=mlp_gelu, full_scale_share=0).train()
    said, noise = net(torch.rand(4, 3, 4, 8), torch.rand(4, 3, 16, 32))
    (said - noise).abs().mean().backward()
    assert [n for n, p in net.named_parameters() if p.grad is None or p.grad.abs().max() == 0] == []


def test_ordinary_layers_start_orthogonal_and_equalised_ones_do_not():
    net = small()
    for module in net.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            matrix = module.weight.flatten(1)
            matrix = matrix if len(matrix) < matrix.shape[1] else matrix.T
            torch.testing.assert_close(matrix @ matrix.T, torch.eye(len(matrix)), atol=1e-4, rtol=0)
            assert module.bias is None or module.bias.abs().max() == 0
        if isinstance(module, EqualLinear):
            assert module.bias.eq(1).all()
    weight = torch.cat([m.weight.flatten() for m in net.modules() if isinstance(m, EqualConv)])
    assert weight.std().item() == pytest.approx(1, abs=0.1)


def test_bf16_autocast_stays_close():
    net = small(upscale=2)
    lq, x_t, gamma = torch.rand(2, 3, 8, 8), torch.randn(2, 3, 16, 16), torch.tensor([0.3, 0.99])
    with torch.no_grad():
        full = net.epsilon(x_t, gamma, net.condition(lq, (16, 16), 1.0))
        with torch.autocast("cpu", torch.bfloat16):
            half = net.epsilon(x_t, gamma, net.condition(lq, (16, 16), 1.0))
            sample = net(lq)
    assert half.dtype == sample.dtype == torch.float32
    assert (half - full).abs().mean() < 0.02 * full.abs().mean() + 0.01
    assert (sample - net(lq)).abs().mean() < 0.05


def test_training_under_autocast_is_finite():
    net = small(upscale=2).train()
    with torch.autocast("cpu", torch.bfloat16):
        said, noise = net(torch.rand(4, 3, 8, 8), torch.rand(4, 3, 16, 16))
    (said - noise).abs().mean().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in net.parameters())


def test_its_weights_load_strictly():
    one, other = small(), small()
    other.load_state_dict(one.state_dict(), strict=True)
    lq = torch.rand(1, 3, 4, 4)
    assert torch.equal(one(lq), other(lq))
    assert not any("gamma" in key or "kernel" in key for key in one.state_dict())


@pytest.mark.parametrize(
    "options",
    [
        {"upscale": 3},
        {"upscale": 0},
        {"steps": 0},
        {"steps": 51},
        {"steps": 20},
        {"timesteps": 1, "steps": 1},
        {"eta": 2},
        {"eta": -1},
        {"beta_start": 0},
        {"beta_start": 0.1, "beta_end": 0.01},
        {"beta_end": 1},
        {"full_scale_share": 1.5},
        {"dropout": 1},
        {"dropout": -0.1},
        {"num_blocks": 0},
        {"encoder_feat": 0},
        {"encoder_blocks": 0},
        {"hidden": 0},
        {"norm_groups": 0},
        {"norm_groups": 3},
        {"num_feat": 0},
        {"num_feat": 7, "norm_groups": 1},
        {"mult": (1,)},
        {"mult": ()},
        {"mult": (1, 0)},
        {"attention_levels": (3,)},
        {"attention_levels": (-1,)},
    ],
)
def test_options_that_do_not_fit_are_refused(options):
    with pytest.raises(UserError, match=r"^network: [^\n]+$"):
        small(**options)


def test_misspelt_option_is_an_error():
    with pytest.raises(TypeError, match="etas"):
        small(etas=1)


def test_images_of_other_sizes_are_refused():
    with torch.device("meta"):
        net = IDM(upscale=2)
    with pytest.raises(UserError, match=r"^lq is 9×4: IDM x2 needs at least 5 pixels a side$"):
        net.sample(torch.rand(1, 3, 4, 9))
    with pytest.raises(UserError, match="multiples of 16 pixels, not on 24×24"):
        net(torch.rand(1, 3, 12, 12), torch.rand(1, 3, 24, 24))
