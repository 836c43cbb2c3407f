"""softmax(scale q kᵀ + bias) v, written out or by the fastest way on each device; all ways give the same numbers.

`attention` takes q, k and v as three tensors. A layer that computes several of them at once uses the packed forms (as
in flash-attn), whose gradient comes back in one tensor: nothing has to be put together.
"""

import importlib.util
from collections.abc import Sequence

from torch import Tensor

from mihatp_arch.archs.fast.attention_ways import AttentionInputs, fastest_on_cpu, sdpa, written_out

if importlib.util.find_spec("triton"):  # it comes with torch for GPUs
    from mihatp_arch.archs.fast import triton_attention
else:
    triton_attention = None


def attention(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    *,
    bias: Tensor | None = None,
    scale: float,
    fused: bool,
    attn_mask: Tensor | None = None,
    mask_counts: Sequence[int] = (),
) -> Tensor:
    """softmax(scale q kᵀ + bias + mask) v: `[B, h, n, d]`, where B may count windows.

    Args:
        q: `[B, h, n, d]`.
        k: `[B, h, m, d]`.
        v: `[B, h, m, d]`.
        bias: broadcasts to `[B, h, n, m]`.
        scale: factor of the products.
        fused: the fastest way, or the written-out one.
        attn_mask: `[kinds, n, m]`, added to the scores, without a gradient. The first `mask_counts[0]` windows have the
            first mask, and so on. Needs a bias of `[1, h, n, m]`.
        mask_counts: number of windows with each mask; their sum is B.
    """
    packed = (q.unsqueeze(0), k.unsqueeze(0), v.unsqueeze(0))
    return _attention(packed, bias, scale=scale, fused=fused, attn_mask=attn_mask, mask_counts=mask_counts)


def attention_qkvpacked(
    qkv: Tensor,
    *,
    bias: Tensor | None = None,
    scale: float,
    fused: bool,
    attn_mask: Tensor | None = None,
    mask_counts: Sequence[int] = (),
) -> Tensor:
    """`attention` of q, k and v in one tensor `[3, B, h, n, d]`."""
    return _attention((qkv,), bias, scale=scale, fused=fused, attn_mask=attn_mask, mask_counts=mask_counts)


def attention_kvpacked(q: Tensor, kv: Tensor, *, bias: Tensor | None = None, scale: float, fused: bool) -> Tensor:
    """`attention` of q `[B, h, n, d]`, and of k and v in one tensor `[2, B, h, m, d]`."""
    return _attention((q.unsqueeze(0), kv), bias, scale=scale, fused=fused)


def _attention(
    packed: tuple[Tensor, ...],
    bias: Tensor | None,
    *,
    scale: float,
    fused: bool,
    attn_mask: Tensor | None = None,
    mask_counts: Sequence[int] = (),
) -> Tensor:
    """The attention of q, k and v along the first axes of one, two or three tensors.

    The fastest way on a GPU is our Triton program, if one bias serves all windows, else PyTorch's attention. On a CPU
    it is fixed or measured (attention_ways.py).
    """
    dtype = packed[0].dtype
    bias = None if bias is None else bias.to(dtype)
    attn_mask = None if attn_mask is None else attn_mask.to(dtype)
    inputs = AttentionInputs(packed, bias, scale, attn_mask, mask_counts)
    if not fused:
        return written_out(inputs)
    if bias is not None and triton_attention and triton_attention.supports(packed, bias, attn_mask, mask_counts):
        kv = packed[1] if len(packed) == 2 else None
        return triton_attention.window_attention(packed[0], kv, bias, attn_mask, mask_counts, scale)
    return fastest_on_cpu(inputs) if packed[0].device.type == "cpu" else sdpa(inputs)
