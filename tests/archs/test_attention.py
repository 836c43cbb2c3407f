"""Window attention: the fast paths against the plain ones, and the kept bias."""

import pytest
import torch
from torch import nn

from mihatp_arch.archs.attention import (
    CAB,
    OverlappingAttention,
    WindowAttention,
    attend,
    overlap_index,
    shift_masks,
    window_index,
)


def window_attention(shift, *, window=4, dim=12, heads=3, fused=True):
    torch.manual_seed(1)
    module = WindowAttention(dim, num_heads=heads, window_size=window, shift=shift, qkv_bias=True, fused=fused)
    nn.init.normal_(module.relative_position_bias_table)
    return module


@pytest.mark.parametrize("with_bias", [True, False])
def test_fused_equals_plain_with_gradients(with_bias):
    q, k, v = (torch.randn(2, 3, n, 5, requires_grad=True) for n in (7, 9, 9))
    bias = torch.randn(1, 3, 7, 9, requires_grad=True) if with_bias else None
    inputs = [q, k, v] + ([bias] if with_bias else [])
    fused, plain = (attend(q, k, v, bias, fused=f) for f in (True, False))
    torch.testing.assert_close(fused, plain, atol=1e-5, rtol=1e-5)
    weights = torch.randn_like(fused)
    for a, b in zip(
        torch.autograd.grad((fused * weights).sum(), inputs),
        torch.autograd.grad((plain * weights).sum(), inputs),
        strict=True,
    ):
        torch.testing.assert_close(a, b, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("shift", [0, 2])
@pytest.mark.parametrize("size", [(4, 4), (8, 4), (12, 16)])
def test_window_attention_sees_only_its_window(shift, size):
    """Each output pixel depends on the pixels of its own (shifted, not wrapped) window and on no other."""
    module = window_attention(shift).eval()
    index, masks = window_index(4), shift_masks(4, 2)
    x = torch.randn(1, *size, 12, requires_grad=True)
    for y, column in ((0, 0), (size[0] - 1, size[1] - 1), (size[0] // 2, 1)):
        (grad,) = torch.autograd.grad(module(x, index, masks)[0, y, column].sum(), x)
        seen = grad[0].abs().sum(-1) > 1e-12
        rows, columns = torch.arange(size[0]), torch.arange(size[1])
        expected = ((rows + 4 - shift) // 4 == (y + 4 - shift) // 4)[:, None] & (
            (columns + 4 - shift) // 4 == (column + 4 - shift) // 4
        )[None]
        assert torch.equal(seen, expected)


@pytest.mark.parametrize("shift", [0, 2])
def test_window_attention_fused_equals_plain(shift):
    fused, plain = window_attention(shift), window_attention(shift, fused=False)
    x = torch.randn(2, 8, 12, 12)
    args = (window_index(4), shift_masks(4, 2))
    torch.testing.assert_close(fused(x, *args), plain(x, *args), atol=1e-5, rtol=1e-5)


def test_overlapping_attention_fused_equals_plain_and_sees_its_margin():
    torch.manual_seed(1)
    options = {"num_heads": 3, "window_size": 4, "overlap_ratio": 0.5, "qkv_bias": False}
    fused = OverlappingAttention(12, **options, fused=True)
    plain = OverlappingAttention(12, **options, fused=False)
    plain.load_state_dict(fused.state_dict())
    index = overlap_index(4, 6)
    x = torch.randn(2, 12, 8, 12, requires_grad=True)
    torch.testing.assert_close(fused.attend_windows(x, index), plain.attend_windows(x, index), atol=1e-5, rtol=1e-5)
    (grad,) = torch.autograd.grad(fused.attend_windows(x, index)[0, 5, 2].sum(), x)
    seen = grad[0].abs().sum(-1) > 1e-12
    assert seen[3:9, 0:5].all()
    assert seen.sum() == 6 * 5


def test_overlap_index_names_the_rows_that_hats_signed_index_names():
    window, key = 16, 24
    grid = torch.stack(torch.meshgrid(torch.arange(key), torch.arange(key), indexing="ij"))
    signed = grid.flatten(1)[:, None, :] - grid[:, :window, :window].flatten(1)[:, :, None] + window - key + 1
    signed = signed[0] * (window + key - 1) + signed[1]
    assert signed.min() == -880
    assert signed.max() == 640
    table = torch.randn((window + key - 1) ** 2, 2)
    assert torch.equal(table[signed], table[overlap_index(window, key)])


def test_kept_bias_follows_every_kind_of_weight_change():
    module = window_attention(0).eval()
    table, index = module.relative_position_bias_table, window_index(4)

    def fresh():
        return table[index.flatten()].view(16, 16, 3).permute(2, 0, 1)

    with torch.no_grad():
        assert module.bias(index) is module.bias(index), "kept while nothing changes"
        for change in (
            lambda: table.add_(1),
            lambda: module.load_state_dict({k: v + 2 for k, v in module.state_dict().items()}),
            lambda: (table.data.mul_(3), module.eval()),  # how BasicSR's EMA writes, and its test() then calls eval()
            lambda: module.to(torch.float64),
        ):
            change()
            assert torch.equal(module.bias(index), fresh())
    assert module.bias(index).requires_grad


def test_kept_bias_is_not_taken_for_a_table_that_reuses_its_memory():
    module = window_attention(0).eval()
    x, args = torch.randn(1, 4, 4, 12), (window_index(4), shift_masks(4, 2))
    with torch.no_grad():
        for seed in range(10):
            table = torch.randn(49, 3, generator=torch.Generator().manual_seed(seed))
            out = torch.func.functional_call(module, {"relative_position_bias_table": table}, (x, *args))
            module.relative_position_bias_table.copy_(table)
            assert torch.equal(out, module(x, *args))
            del table


def test_inference_mode_then_no_grad():
    module = window_attention(2).eval()
    x, args = torch.randn(1, 8, 8, 12), (window_index(4), shift_masks(4, 2))
    with torch.inference_mode():
        first = module(x, *args)
    torch.testing.assert_close(first.clone(), module(x, *args).detach())


def test_cab_is_its_convolutions_on_channels_first():
    module = CAB(12, compress_ratio=3, squeeze_factor=4)
    x = torch.randn(2, 5, 7, 12)
    expected = module.cab(x.permute(0, 3, 1, 2).contiguous()).permute(0, 2, 3, 1)
    torch.testing.assert_close(module(x), expected)
