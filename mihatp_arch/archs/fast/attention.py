"""softmax(scale q kᵀ + bias) v, written out or by the fastest way on each device; all ways give the same numbers.

`attention` takes q, k and v as three tensors. A layer that computes several of them at once uses the packed forms (as
in flash-attn), whose gradient comes back in one tensor: nothing has to be put together.
"""

import importlib.util
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from mihatp_arch.archs.fast.chunked_attention import chunked_attention

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

    The fastest way on a GPU is our Triton program, if one bias serves all windows. On a CPU it is `chunked_attention`
    in training and in bf16, unless each window has a bias of its own. In all other cases it is PyTorch's attention.
    """
    q, k, v = (x for tensor in packed for x in tensor)
    bias = None if bias is None else bias.to(q.dtype)
    attn_mask = None if attn_mask is None else attn_mask.to(q.dtype)
    if not fused:
        scores = (q * scale) @ k.transpose(-2, -1)
        scores = scores if bias is None else scores + bias
        scores = scores if attn_mask is None else scores + attn_mask[_mask_index(mask_counts)][:, None]
        return scores.softmax(-1) @ v
    if bias is not None and triton_attention and triton_attention.supports(packed, bias, attn_mask, mask_counts):
        kv = packed[1] if len(packed) == 2 else None
        return triton_attention.window_attention(packed[0], kv, bias, attn_mask, mask_counts, scale)
    in_training = torch.is_grad_enabled() and any(x is not None and x.requires_grad for x in (q, k, v, bias))
    chunked = q.device.type == "cpu" and (in_training or q.dtype == torch.bfloat16)
    if chunked and (bias is None or len(bias) == 1):
        mask_index = None if attn_mask is None else _mask_index(mask_counts)
        return chunked_attention(packed, None if bias is None else bias[0], attn_mask, mask_index, scale)
    if attn_mask is None or bias is None:
        return F.scaled_dot_product_attention(q, k, v, attn_mask=bias, scale=scale)
    by_mask = zip(*(x.split(list(mask_counts)) for x in (q, k, v)), attn_mask, strict=True)
    return torch.cat(
        [F.scaled_dot_product_attention(*qkv, attn_mask=bias + mask, scale=scale) for *qkv, mask in by_mask]
    )


def _mask_index(mask_counts: Sequence[int]) -> Tensor:
    """The number of the mask of each window: `[B]`."""
    return torch.tensor([kind for kind, count in enumerate(mask_counts) for _ in range(count)])
