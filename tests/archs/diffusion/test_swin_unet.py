"""ResShift's U-Net: its size, the mask of the shifted windows, time steps, sizes, precision."""

import math

import pytest
import torch
from torch import nn

from mihatp_arch.archs.diffusion.swin_unet import Level, ResBlock, SwinUNet, encode_time
from mihatp_arch.archs.layers.swin_blocks import SwinBlock, SwinOptions
from mihatp_arch.errors import UserError

SMALL = {"model_channels": 8, "channel_mult": (1, 2), "swin_embed": 16, "swin_heads": 2, "norm_groups": 4}
WINDOW = 4
OPTIONS = SwinOptions(
    swin_embed=8, swin_heads=2, swin_depth=2, window_size=WINDOW, mlp_ratio=2, norm_groups=4, dropout=0
)


def perturbed(module):
    """The module, in evaluation, without zeros or other round numbers among its parameters."""
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.1)
    return module.eval()


def small(**options):
    return perturbed(SwinUNet(**{**SMALL, "window_size": 3, **options}))


@pytest.mark.parametrize(("window_size", "parameters"), [(6, 118_582_351), (8, 118_593_583)])
def test_it_has_the_number_of_parameters_of_the_authors_code(window_size, parameters):
    with torch.device("meta"):
        net = SwinUNet(window_size=window_size)
    assert sum(p.numel() for p in net.parameters()) == parameters
    assert net.multiple == 8 * window_size


def regions(side, shift):
    """Which window every pixel of an axis is in: they begin at `shift`, modulo the window; none wraps around."""
    return (torch.arange(side) - shift) // WINDOW


def naive_attention(attention, x, shift):
    """Softmax attention of every pixel of one image HxWxC over the pixels of its region, without roll or mask."""
    height, width, dim = x.shape
    heads = attention.num_heads
    q, k, v = (
        nn.functional.linear(x, attention.qkv.weight, attention.qkv.bias)
        .view(height, width, 3, heads, dim // heads)
        .permute(2, 3, 0, 1, 4)
    )
    rows, columns = regions(height, shift), regions(width, shift)
    out = torch.zeros(height, width, heads, dim // heads)
    for i in range(height):
        for j in range(width):
            near = [(a, b) for a in range(height) for b in range(width) if rows[a] == rows[i]]
            near = [(a, b) for a, b in near if columns[b] == columns[j]]
            span = 2 * WINDOW - 1
            for h in range(heads):
                table = attention.relative_position_bias_table[:, h]
                scores = [
                    q[h, i, j] @ k[h, a, b] / math.sqrt(dim // heads)
                    + table[(i - a + WINDOW - 1) * span + j - b + WINDOW - 1]
                    for a, b in near
                ]
                weights = torch.stack(scores).softmax(0)
                out[i, j, h] = sum(w * v[h, a, b] for w, (a, b) in zip(weights, near, strict=True))
    return nn.functional.linear(out.flatten(2), attention.proj.weight, attention.proj.bias)


@pytest.mark.parametrize("shift", [0, 1, 2])
@pytest.mark.parametrize(("size", "shifts"), [((8, 12), True), ((4, 8), False), ((8, 4), False), ((4, 4), False)])
@torch.no_grad()
def test_attention_is_that_of_the_regions(shift, size, shifts):
    """Shifted regions are cut at the borders; a map one window high or wide is not shifted."""
    block = perturbed(SwinBlock(OPTIONS, shift_size=shift))
    x = torch.randn(2, *size, 8)
    expected = torch.stack([naive_attention(block.attn, one, shift * shifts) for one in x])
    torch.testing.assert_close(block.window_attention(x), expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("pixel", [(0, 5), (11, 5), (5, 0), (5, 11), (0, 0), (11, 11), (0, 11), (6, 6)])
def test_a_shifted_block_does_not_see_across_the_border(pixel):
    """A pixel moves those of its region and no other; the normalisations, which see all pixels, are left out."""
    block = perturbed(SwinBlock(OPTIONS, shift_size=2))
    block.norm1 = block.norm2 = nn.Identity()
    x = torch.randn(1, 8, 12, 12)
    other = x.clone()
    other[:, :, pixel[0], pixel[1]] += 1
    moved = (block(other) - block(x)).abs().amax((0, 1)) > 0
    region = regions(12, 2)
    assert torch.equal(moved, (region == region[pixel[0]])[:, None] & (region == region[pixel[1]])[None, :])


def test_a_residual_block_is_its_equation():
    block = perturbed(ResBlock(8, 16, time_channels=4, options=OPTIONS))
    x, time = torch.randn(2, 8, 5, 6), torch.randn(2, 4)
    scale, shift = block.film(time).view(2, 2, 16, 1, 1).unbind(1)
    h = torch.nn.functional.silu(block.norm(block.enter(x)) * (1 + scale) + shift)
    torch.testing.assert_close(block(x, time), block.skip(x) + block.leave[-1](h))
    fresh = ResBlock(8, 8, time_channels=4, options=OPTIONS)
    assert torch.equal(fresh(x, time), x)  # it starts as the identity


def test_a_swin_block_is_its_equations():
    block = perturbed(SwinBlock(OPTIONS, shift_size=2))
    x = torch.randn(2, 8, 8, 12)
    attended = block.window_attention(block.norm1(x).permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
    y = x + attended
    hidden = nn.functional.gelu(block.mlp.fc1(block.norm2(y)))
    torch.testing.assert_close(block(x), y + block.mlp.fc2(hidden))


def test_the_swin_layer_of_a_level_follows_its_first_block():
    level = perturbed(Level([12, 12], 8, time_channels=4, options=OPTIONS))
    x, skips, time = torch.randn(2, 8, 8, 8), torch.randn(2, 2, 4, 8, 8), torch.randn(2, 4)
    first = level.blocks[0](torch.cat([x, skips[0]], 1), time)
    first = level.swin.unembed(level.swin.blocks(level.swin.embed(first)))
    second = level.blocks[1](torch.cat([first, skips[1]], 1), time)
    assert [block.shift_size for block in level.swin.blocks] == [0, WINDOW // 2]
    torch.testing.assert_close(level(x, time, list(skips)), [first, second])


def test_time_is_encoded_by_cosines_and_sines():
    code = encode_time(torch.tensor([0, 3]), 4)
    angles = [3.0, 3.0 / 100]
    expected = [[1, 1, 0, 0], [*map(math.cos, angles), *map(math.sin, angles)]]
    torch.testing.assert_close(code, torch.tensor(expected))


@pytest.mark.parametrize("size", [(6, 6), (12, 6), (6, 18), (24, 12)])
@pytest.mark.parametrize("mult", [(1, 2), (2, 1)])
def test_any_multiple_square_or_not(size, mult):
    net = small(in_channels=5, out_channels=2, channel_mult=mult)
    assert net.multiple == 6
    out = net(torch.randn(2, 5, *size), torch.tensor([0, 9]))
    assert out.shape == (2, 2, *size)
    assert out.isfinite().all()


@pytest.mark.parametrize(("levels", "blocks", "depth"), [(1, 1, 1), (1, 2, 3), (3, 1, 2)])
def test_other_depths(levels, blocks, depth):
    net = small(channel_mult=[1] * levels, num_res_blocks=blocks, swin_depth=depth)
    side = net.multiple
    assert side == 3 * 2 ** (levels - 1)
    assert net(torch.randn(1, 6, side, 2 * side), torch.tensor([1])).shape == (1, 3, side, 2 * side)


@torch.no_grad()
def test_an_image_does_not_depend_on_its_neighbours_and_has_its_own_time_step():
    net = small()
    x, t = torch.randn(3, 6, 12, 18), torch.tensor([0, 7, 14])
    together = net(x, t)
    for i in range(3):
        torch.testing.assert_close(together[i : i + 1], net(x[i : i + 1], t[i : i + 1]), atol=1e-5, rtol=1e-5)
    moved = (together - net(x, torch.tensor([1, 7, 14]))).abs().amax((1, 2, 3))
    assert moved[0] > 1e-3
    assert (moved[1:] < 1e-5).all()


def test_every_parameter_gets_a_gradient():
    net = small(dropout=0.1).train()
    net(torch.randn(2, 6, 12, 12), torch.tensor([3, 8])).square().mean().backward()
    assert [n for n, p in net.named_parameters() if p.grad is None or p.grad.abs().max() == 0] == []


@torch.no_grad()
def test_dropout_is_for_training_only():
    net = small(dropout=0.5)
    x, t = torch.randn(1, 6, 6, 6), torch.tensor([0])
    assert torch.equal(net(x, t), net(x, t))
    net.train()
    assert not torch.equal(net(x, t), net(x, t))


@torch.no_grad()
def test_its_weights_load_strictly():
    one, other = small(), small()
    other.load_state_dict(one.state_dict(), strict=True)
    x, t = torch.randn(1, 6, 12, 6), torch.tensor([5])
    assert torch.equal(one(x, t), other(x, t))
    assert set(one.state_dict()) == {name for name, _ in one.named_parameters()}


def test_bf16_autocast_stays_close():
    net = small()
    x, t = torch.randn(2, 6, 12, 18), torch.tensor([0, 9])
    full = net(x, t)
    with torch.autocast("cpu", torch.bfloat16):
        half = net(x, t)
    assert (full - half.float()).abs().max() < 0.05 * full.abs().max()
    half.float().square().mean().backward()
    assert all(p.grad.isfinite().all() for p in net.parameters())


@pytest.mark.parametrize("size", [(9, 6), (6, 9), (3, 3), (7, 7)])
def test_a_size_that_does_not_fit_is_refused(size):
    with pytest.raises(UserError, match=r"^network: [^\n]*multiples of 6$"):
        small()(torch.randn(1, 6, *size), torch.tensor([0]))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("in_channels", 0),
        ("out_channels", 0),
        ("model_channels", 0),
        ("model_channels", 6),
        ("channel_mult", ()),
        ("channel_mult", (1, 0)),
        ("num_res_blocks", 0),
        ("swin_embed", 0),
        ("swin_embed", 18),
        ("swin_heads", 0),
        ("swin_heads", 3),
        ("swin_depth", 0),
        ("window_size", 1),
        ("mlp_ratio", 0),
        ("mlp_ratio", float("nan")),
        ("norm_groups", 0),
        ("norm_groups", 5),
        ("dropout", -0.1),
        ("dropout", 1),
    ],
)
def test_options_that_do_not_fit_are_refused(name, value):
    with pytest.raises(UserError) as refused:
        SwinUNet(**{**SMALL, name: value})
    said = str(refused.value)
    assert said.startswith("network: ")
    assert name in said
    assert "\n" not in said


def test_an_odd_number_of_channels_is_refused():
    with pytest.raises(UserError, match="model_channels 9 must be even"):
        SwinUNet(**{**SMALL, "model_channels": 9, "norm_groups": 1})


def test_misspelt_option_is_an_error():
    with pytest.raises(TypeError, match="heads"):
        SwinUNet(heads=2)
