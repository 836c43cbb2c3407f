"""Window attention: the fast paths against the plain ones."""

import pytest
import torch
from torch import nn

from mihatp_arch.archs.fast import chunked_attention
from mihatp_arch.archs.fast.attention import attention, attention_kvpacked, attention_qkvpacked
from mihatp_arch.archs.fast.linear import FromHeads, HeadLinear, Linear
from mihatp_arch.archs.layers.attention import CAB, ChannelAttention, OverlappingAttention, WindowAttention
from mihatp_arch.archs.layers.windows import (
    WindowPartition,
    overlapping_position_index,
    overlapping_window_partition,
    relative_position_index,
    shifted_window_attn_mask,
)


def window_attention(*, fused=True):
    torch.manual_seed(1)
    module = WindowAttention(12, num_heads=3, window_size=4, qkv_bias=True, fused=fused)
    nn.init.normal_(module.relative_position_bias_table)
    return module


def geometry(x, shift):
    """The arguments of a window attention besides the map."""
    partition = WindowPartition.of(x.shape[:3], window_size=4, shift_size=shift, device=x.device)
    return relative_position_index(4), shifted_window_attn_mask(4, 2), partition


def outputs_and_gradients(compute, inputs):
    out = compute(*inputs)
    return [out, *torch.autograd.grad((out.float() * torch.linspace(-1, 1, out.numel()).view_as(out)).sum(), inputs)]


@pytest.mark.parametrize("kind", ["no bias", "one bias", "a bias for each", "masks"])
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-5), (torch.bfloat16, 5e-2)])
def test_fused_equals_plain_with_gradients(kind, dtype, tolerance, monkeypatch):
    torch.manual_seed(0)
    inputs = [torch.randn(t, 5, 3, n, 5, requires_grad=True, dtype=dtype) for t, n in ((1, 7), (2, 9))]
    if kind != "no bias":
        inputs.append(torch.randn(5 if kind == "a bias for each" else 1, 3, 7, 9, requires_grad=True, dtype=dtype))
    masks = {"attn_mask": torch.randn(3, 7, 9), "mask_counts": (3, 0, 2)} if kind == "masks" else {}

    def by(fused):
        return lambda q, kv, bias=None: attention(q[0], *kv, bias=bias, scale=0.3, fused=fused, **masks)

    plain = outputs_and_gradients(by(False), [x.detach().float().requires_grad_() for x in inputs])
    for queries in (1, 3, 7, 14, 35):  # at a time: rows of a window, one window, two and a remainder, all
        monkeypatch.setattr(chunked_attention, "_CHUNK_BYTES", queries * 3 * 9 * inputs[0].element_size())
        for a, b in zip(outputs_and_gradients(by(True), inputs), plain, strict=True):
            torch.testing.assert_close(a.float(), b, atol=tolerance, rtol=tolerance)
    with torch.no_grad():
        torch.testing.assert_close(by(True)(*inputs).float(), plain[0], atol=tolerance, rtol=tolerance)


def test_no_graph_without_a_gradient():
    q, k, v = torch.randn(3, 2, 1, 4, 8)
    assert attention(q, k, v, bias=torch.randn(1, 1, 4, 4), scale=1.0, fused=True).grad_fn is None


@pytest.mark.parametrize("fused", [False, True])
def test_packed_tensors_give_the_same_numbers_and_gradients(fused):
    torch.manual_seed(0)
    qkv, bias = torch.randn(3, 5, 3, 7, 5, requires_grad=True), torch.randn(1, 3, 7, 7, requires_grad=True)
    options = {"scale": 0.3, "fused": fused}
    three, kv_packed, packed = (
        outputs_and_gradients(compute, [qkv, bias])
        for compute in (
            lambda qkv, bias: attention(*qkv, bias=bias, **options),
            lambda qkv, bias: attention_kvpacked(qkv[0], qkv[1:], bias=bias, **options),
            lambda qkv, bias: attention_qkvpacked(qkv, bias=bias, **options),
        )
    )
    assert all(map(torch.equal, three, kv_packed)) and all(map(torch.equal, three, packed))


@pytest.mark.parametrize("rows", [1024, 1030, 7])
@pytest.mark.parametrize("head_dim", [5, 8])
def test_linear_layers_are_torchs(rows, head_dim):
    torch.manual_seed(0)
    x = torch.randn(rows, 3 * head_dim, requires_grad=True)
    plain = nn.Linear(3 * head_dim, 6 * head_dim)
    ours, heads = Linear(3 * head_dim, 6 * head_dim), HeadLinear(3 * head_dim, head_dim=head_dim, heads=6)
    for layer in (ours, heads):
        layer.load_state_dict(plain.state_dict())
    expected = outputs_and_gradients(lambda x, *_: plain(x), [x, *plain.parameters()])
    for a, b in zip(outputs_and_gradients(lambda x, *_: ours(x), [x, *ours.parameters()]), expected, strict=True):
        torch.testing.assert_close(a, b, atol=2e-3, rtol=1e-4)  # the bias: 1030 rows of up to 1
    padded = heads(x).unflatten(1, (6, 8))
    torch.testing.assert_close(padded[..., :head_dim].flatten(1), expected[0], atol=1e-5, rtol=1e-5)
    assert not padded[..., head_dim:].any()
    last = FromHeads(6 * head_dim, head_dim=head_dim)
    behind = torch.nn.functional.linear(expected[0], last.weight, last.bias)
    torch.testing.assert_close(last(padded.flatten(1)), behind, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("shift", [0, 2])
@pytest.mark.parametrize("size", [(4, 4), (8, 4), (12, 16)])
def test_a_partition_is_rolled_windows_and_the_way_back(size, shift):
    x = torch.randn(2, *size, 3, requires_grad=True)
    partition = WindowPartition.of(x.shape[:3], window_size=4, shift_size=shift, device=x.device)
    windows = partition.window_partition(x)
    rolled = x.roll((-shift, -shift), (1, 2)).unfold(1, 4, 4).unfold(2, 4, 4).permute(0, 1, 2, 4, 5, 3).reshape(-1, 48)
    assert {tuple(w.tolist()) for w in windows.reshape(-1, 48)} == {tuple(w.tolist()) for w in rolled}
    assert sum(partition.mask_counts) == len(rolled)
    assert torch.equal(partition.window_reverse(windows, x), x)
    weights = torch.randn_like(x)
    (grad,) = torch.autograd.grad((windows * partition.window_partition(weights)).sum(), x)
    assert torch.equal(grad, weights)


@pytest.mark.parametrize("shift", [0, 2])
@pytest.mark.parametrize("size", [(4, 4), (8, 4), (12, 16)])
def test_window_attention_sees_only_its_window(shift, size):
    """Each output pixel depends on the pixels of its own (shifted, not wrapped) window and on no other."""
    module = window_attention().eval()
    x = torch.randn(1, *size, 12, requires_grad=True)
    for y, column in ((0, 0), (size[0] - 1, size[1] - 1), (size[0] // 2, 1)):
        (grad,) = torch.autograd.grad(module(x, *geometry(x, shift))[0, y, column].sum(), x)
        seen = grad[0].abs().sum(-1) > 1e-12
        rows, columns = torch.arange(size[0]), torch.arange(size[1])
        expected = ((rows + 4 - shift) // 4 == (y + 4 - shift) // 4)[:, None] & (
            (columns + 4 - shift) // 4 == (column + 4 - shift) // 4
        )[None]
        assert torch.equal(seen, expected)


@pytest.mark.parametrize("shift", [0, 2])
def test_window_attention_fused_equals_plain(shift):
    fused, plain = window_attention(), window_attention(fused=False)
    x = torch.randn(2, 8, 12, 12)
    args = geometry(x, shift)
    torch.testing.assert_close(fused(x, *args), plain(x, *args), atol=1e-5, rtol=1e-5)


def test_overlapping_attention_fused_equals_plain_and_sees_its_margin():
    torch.manual_seed(1)
    options = {"num_heads": 3, "window_size": 4, "overlap_ratio": 0.5, "qkv_bias": False}
    fused = OverlappingAttention(12, **options, fused=True)
    plain = OverlappingAttention(12, **options, fused=False)
    plain.load_state_dict(fused.state_dict())
    index = overlapping_position_index(4, 6)
    x = torch.randn(2, 12, 8, 12, requires_grad=True)
    torch.testing.assert_close(fused.cross_attention(x, index), plain.cross_attention(x, index), atol=1e-5, rtol=1e-5)
    (grad,) = torch.autograd.grad(fused.cross_attention(x, index)[0, 5, 2].sum(), x)
    seen = grad[0].abs().sum(-1) > 1e-12
    assert seen[3:9, 0:5].all()
    assert seen.sum() == 6 * 5


def test_overlapping_position_index_has_the_rows_of_hats_signed_index():
    window, key = 16, 24
    grid = torch.stack(torch.meshgrid(torch.arange(key), torch.arange(key), indexing="ij"))
    signed = grid.flatten(1)[:, None, :] - grid[:, :window, :window].flatten(1)[:, :, None] + window - key + 1
    signed = signed[0] * (window + key - 1) + signed[1]
    assert signed.min() == -880
    assert signed.max() == 640
    table = torch.randn((window + key - 1) ** 2, 2)
    assert torch.equal(table[signed], table[overlapping_position_index(window, key)])


@pytest.mark.parametrize("key", [4, 6, 8, 14])
@pytest.mark.parametrize("size", [(4, 4), (8, 12), (20, 4)])
def test_overlapping_windows_equal_unfold_with_gradients(size, key):
    x = torch.randn(2, *size, 3, requires_grad=True)

    def unfolded(x):
        columns = nn.functional.unfold(x.permute(0, 3, 1, 2), key, padding=(key - 4) // 2, stride=4)  # [B, C·key², L]
        return columns.unflatten(1, (3, -1)).permute(0, 3, 2, 1).flatten(0, 1)

    ours = outputs_and_gradients(lambda x: overlapping_window_partition(x, 4, key), [x])
    for a, b in zip(ours, outputs_and_gradients(unfolded, [x]), strict=True):
        torch.testing.assert_close(a, b)


@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
def test_channel_attention_is_what_its_layers_compute_on_maps(memory_format):
    module = ChannelAttention(12, 4)
    x = torch.randn(2, 12, 5, 7).contiguous(memory_format=memory_format).requires_grad_()
    plain = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Conv2d(12, 3, 1), nn.ReLU(), nn.Conv2d(3, 12, 1), nn.Sigmoid())
    plain.load_state_dict(module.attention.state_dict())
    ours = outputs_and_gradients(lambda x, *_: module(x), [x, *module.parameters()])
    maps = outputs_and_gradients(lambda x, *_: x * plain(x), [x, *plain.parameters()])
    for a, b in zip(ours, maps, strict=True):
        torch.testing.assert_close(a, b, atol=1e-5, rtol=1e-5)


def test_cab_is_its_convolutions_on_channels_first():
    module = CAB(12, compress_ratio=3, squeeze_factor=4)
    x = torch.randn(2, 5, 7, 12)
    expected = module.cab(x.permute(0, 3, 1, 2).contiguous()).permute(0, 2, 3, 1)
    torch.testing.assert_close(module(x), expected)
