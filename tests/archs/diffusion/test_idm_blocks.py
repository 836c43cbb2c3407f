"""The blocks of IDM: the implicit decoder, modulation, equalised layers, the blur, attention, noise levels."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from mihatp_arch.archs.diffusion.idm_blocks import BiasedLeakyReLU, Blur, EqualConv, Modulation, ScaledShift
from mihatp_arch.archs.diffusion.idm_unet import Attention, ImplicitUpsample, encode_level, offsets


@pytest.mark.parametrize(("source", "size"), [((4, 6), (8, 12)), ((3, 5), (7, 8)), ((5, 5), (5, 6))])
def test_the_decoder_asks_the_nearest_feature(source, size):
    """Against `grid_sample`, of the feature and of its coordinates, as the method is written."""

    def centres(*sides):
        axes = [(2 * torch.arange(n) + 1) / n - 1 for n in sides]
        return torch.stack(torch.meshgrid(*axes, indexing="ij"))

    up = ImplicitUpsample(4, hidden=8, gelu=True)
    nn.init.uniform_(up.activate.bias)
    x, scale, shift = torch.randn(2, 4, *source), torch.randn(2, 4, 1, 1), torch.randn(2, 4, *source)
    feature = F.leaky_relu(x * scale + shift + up.activate.bias[:, None, None], 0.2) * 2**0.5
    coordinates, wanted = centres(*source).expand(2, 2, *source), centres(*size).expand(2, 2, *size)
    grid = wanted.permute(0, 2, 3, 1).flip(-1)
    near, at = (F.grid_sample(one, grid, mode="nearest", align_corners=False) for one in (feature, coordinates))
    where = (wanted - at) * torch.tensor(source)[:, None, None]
    expected = up.mlp(torch.cat([near, where], 1))
    torch.testing.assert_close(up(x, Modulation(scale, shift), size), expected, atol=1e-5, rtol=1e-5)


def test_offsets_are_within_a_pixel():
    torch.testing.assert_close(offsets(6, 3, torch.device("cpu")), torch.tensor([-0.5, 0.5] * 3))
    assert offsets(5, 5, torch.device("cpu")).abs().max() < 1e-6


def test_scale_and_shift_weigh_own_and_other_features():
    part = ScaledShift(3, 5)
    feature, s = torch.randn(2, 3, 4, 6), torch.tensor([0.0, 0.7])
    scale, shift = part(feature, s)
    own, other = part.own.weight * s + 1, part.other.weight * s + 1  # 5x2
    norm = (own**2 + other**2).sqrt()
    torch.testing.assert_close(scale[..., 0, 0], (own / norm).T)
    torch.testing.assert_close(shift, part.conv(feature) * (other / norm).T[..., None, None])


def test_equalised_layers_keep_the_variance():
    x = torch.randn(4, 64, 32, 32)
    out = EqualConv(64, 128)(x)
    assert out[..., 1:-1, 1:-1].std().item() == pytest.approx(1, abs=0.1)
    assert BiasedLeakyReLU(128)(out).square().mean().item() == pytest.approx(1, abs=0.1)
    assert EqualConv(64, 8, stride=2)(x).shape == (4, 8, 16, 16)


def test_the_blur_keeps_a_flat_image_and_spreads_a_point():
    out = Blur()(torch.ones(1, 2, 5, 6))
    torch.testing.assert_close(out[..., 1:-1, 1:-1], torch.ones(1, 2, 3, 4))
    point = torch.zeros(1, 1, 5, 5)
    point[..., 2, 2] = 1
    taps = torch.tensor([0, 0.2, 0.6, 0.2, 0])
    torch.testing.assert_close(Blur()(point)[0, 0], torch.outer(taps, taps))


def test_attention_is_the_written_sum():
    part = Attention(4, 2)
    x = torch.randn(2, 4, 3, 5)
    q, k, v = part.qkv(part.norm(x)).flatten(2).chunk(3, 1)
    weights = (q.transpose(1, 2) @ k / 2).softmax(-1)
    expected = x + part.out((v @ weights.transpose(1, 2)).view_as(x))
    torch.testing.assert_close(part(x), expected, atol=1e-5, rtol=1e-5)


def test_the_noise_level_is_encoded_as_sines_and_cosines():
    found = encode_level(torch.tensor([0.5, 1.0]), 4)
    expected = torch.tensor([[0.5, 0.005], [1, 0.01]])
    torch.testing.assert_close(found, torch.cat([expected.sin(), expected.cos()], 1))
