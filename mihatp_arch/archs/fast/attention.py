"""softmax(scale q kᵀ + bias) v, written out and by what is fastest where it runs; all give the same numbers."""

import importlib.util
from collections.abc import Iterator, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from mihatp_arch.archs.fast.checkpointing import Kept

if importlib.util.find_spec("triton"):  # it comes with torch for GPUs
    from mihatp_arch.archs.fast import triton_attention as window_kernel
else:
    window_kernel = None

_CHUNK_BYTES = 3 << 19  # of scores at a time: what stays in the second-level caches


def attend(
    parts: Sequence[Tensor],
    bias: Tensor | None,
    *,
    scale: float,
    fused: bool,
    masks: Tensor | None = None,
    counts: Sequence[int] = (),
    kept: Kept | None = None,
) -> Tensor:
    """softmax(scale q kᵀ + bias + mask) v.

    With `fused` it is a kernel of ours where there is a GPU and a bias for all of the batch (window_kernel.py), or
    PyTorch's; but on a CPU, where that is slow in bf16 and in training, the way of `_Chunked` (unless each of the batch
    has a bias of its own).

    Args:
        parts: q, k and v along a first axis, as the layers before give them: 3xBxhxnxd, or 1xBxhxnxd and 2xBxhxmxd. A
            gradient comes back in one piece for each, which takes no time to put together.
        bias: broadcasts to Bxhxnxm.
        scale: of the products.
        fused: the fast way, or the plain one.
        masks: (kinds)xnxm, without a gradient; the first `counts[0]` of the batch have the first, and so on. Needs a
            bias of 1xhxnxm.
        counts: how many of the batch have each mask; sums to B.
        kept: of the block's first pass, where it is checkpointed.
    """
    q, k, v = (x for part in parts for x in part)
    bias = None if bias is None else bias.to(q.dtype)
    masks = None if masks is None else masks.to(q.dtype)
    if not fused:
        scores = (q * scale) @ k.transpose(-2, -1)
        scores = scores if bias is None else scores + bias
        return (scores if masks is None else scores + masks[_kinds(counts)][:, None]).softmax(-1) @ v
    if bias is not None and window_kernel and window_kernel.supports(parts, bias, masks, counts):
        second = parts[1] if len(parts) == 2 else None
        return window_kernel.window_attention(parts[0], second, bias, masks, counts, scale)
    in_training = torch.is_grad_enabled() and any(x is not None and x.requires_grad for x in (q, k, v, bias))
    chunked = q.device.type == "cpu" and (in_training or q.dtype == torch.bfloat16)
    if chunked and (bias is None or len(bias) == 1):
        kinds = None if masks is None else _kinds(counts)
        table = None if bias is None else bias[0]
        return _Chunked.apply(kept, table, masks, kinds, scale, *parts)  # type: ignore[return-value]
    if masks is None or bias is None:
        return F.scaled_dot_product_attention(q, k, v, attn_mask=bias, scale=scale)
    runs = zip(*(x.split(list(counts)) for x in (q, k, v)), masks, strict=True)
    return torch.cat([F.scaled_dot_product_attention(*qkv, attn_mask=bias + m, scale=scale) for *qkv, m in runs])


def _kinds(counts: Sequence[int]) -> Tensor:
    """Which mask each of the batch has."""
    return torch.tensor([kind for kind, count in enumerate(counts) for _ in range(count)])


class _Chunked(torch.autograd.Function):
    """Some queries at a time, so that their scores do not leave the cache between one operation and the next.

    The backward pass computes probabilities of fp32 again: it takes 3 % of a step's time, keeping them a third of its
    memory. They are kept in bf16, where they are half as large, but for checkpointed blocks.
    """

    @staticmethod
    def forward(
        ctx: Any,
        kept: Kept | None,
        bias: Tensor | None,
        masks: Tensor | None,
        kinds: Tensor | None,
        scale: float,
        *parts: Tensor,
    ) -> Tensor:
        ctx.scale, ctx.parts = scale, len(parts)
        if kept is not None and (known := kept.known()) is not None:
            ctx.save_for_backward(bias, masks, kinds, *parts)
            return known
        q, k, v = (x for part in parts for x in part)
        batch, heads, n, d = q.shape
        out = q.new_empty(batch, n, heads, d).transpose(1, 2)  # the heads of a pixel together, as what follows wants
        saving = kept is None and q.dtype == torch.bfloat16 and any(ctx.needs_input_grad)
        saved = []
        with torch.autocast("cpu", enabled=False):
            for some, rows in _chunks(q, k):
                p = _probabilities(q, k, bias, masks, kinds, scale, some, rows)
                out[some, :, rows] = p @ v[some]
                if saving:
                    saved.append(p)
        ctx.save_for_backward(bias, masks, kinds, *parts, *saved)
        return out if kept is None else kept.keep(out)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:  # type: ignore[override]
        bias, masks, kinds, *rest = ctx.saved_tensors
        parts, saved = rest[: ctx.parts], rest[ctx.parts :]
        grads = [torch.empty_like(part) for part in parts]
        (q, k, v), (dq, dk, dv) = ((x for part in some for x in part) for some in (parts, grads))
        d_bias = None if bias is None else torch.zeros_like(bias, dtype=torch.promote_types(q.dtype, torch.float32))
        with torch.autocast("cpu", enabled=False):
            for number, (some, rows) in enumerate(_chunks(q, k)):
                p = saved[number] if saved else _probabilities(q, k, bias, masks, kinds, ctx.scale, some, rows)
                g = grad[some, :, rows]
                of_v = p.transpose(-2, -1) @ g
                d_scores = g @ v[some].transpose(-2, -1)
                torch._softmax_backward_data(d_scores, p, -1, p.dtype, grad_input=d_scores)
                if d_bias is not None:
                    for of_one in d_scores:  # in fp32, and faster than a sum over the batch
                        d_bias[:, rows] += of_one
                dq[some, :, rows] = (d_scores @ k[some]).mul_(ctx.scale)
                of_k = (d_scores.transpose(-2, -1) @ q[some, :, rows]).mul_(ctx.scale)
                dk[some] = of_k if rows.start == 0 else dk[some] + of_k
                dv[some] = of_v if rows.start == 0 else dv[some] + of_v
        return None, None if d_bias is None else d_bias.to(q.dtype), None, None, None, *grads


def _chunks(q: Tensor, k: Tensor) -> Iterator[tuple[slice, slice]]:
    """Which of the batch, and which of its queries: several whole ones, or rows of one."""
    batch, heads, n, _ = q.shape
    row = heads * k.shape[2] * q.element_size()
    some, rows = max(_CHUNK_BYTES // (n * row), 1), n
    if n * row > 4 * _CHUNK_BYTES:  # a little too much is better than many small pieces
        rows = max(_CHUNK_BYTES // row, 1)
    for first in range(0, batch, some):
        yield from ((slice(first, first + some), slice(row, row + rows)) for row in range(0, n, rows))


def _probabilities(
    q: Tensor,
    k: Tensor,
    bias: Tensor | None,
    masks: Tensor | None,
    kinds: Tensor | None,
    scale: float,
    some: slice,
    rows: slice,
) -> Tensor:
    q, k = q[some, :, rows], k[some]
    batch, heads, n, _ = q.shape
    flat_q, flat_k = q.flatten(0, 1), k.flatten(0, 1).transpose(1, 2)
    if bias is None:
        scores = torch.bmm(flat_q, flat_k).mul_(scale)
    else:
        scores = bias[:, rows].expand(batch, heads, n, -1).clone(memory_format=torch.contiguous_format).flatten(0, 1)
        scores.baddbmm_(flat_q, flat_k, alpha=scale)
    scores = scores.unflatten(0, (batch, heads))
    if masks is not None and kinds is not None:
        scores += masks[kinds[some], rows][:, None]
    return scores.softmax(-1)
