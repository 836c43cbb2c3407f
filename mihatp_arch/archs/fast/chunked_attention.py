"""Attention with its gradient on a CPU, in chunks of queries whose scores fit into the cache.

PyTorch's own CPU kernel is slow in bf16, and has no gradient of the bias. Here a chunk's scores stay in the cache from
one operation to the next.
"""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from mihatp_arch.archs.fast.checkpointing import in_checkpoint, save_result

_CHUNK_BYTES = 3 << 19  # of scores; they fit into the second-level caches


def chunked_attention(
    packed: tuple[Tensor, ...], bias: Tensor | None, masks: Tensor | None, mask_index: Tensor | None, scale: float
) -> Tensor:
    """softmax(scale q kᵀ + bias + mask) v: `[B, h, n, d]`, a pixel's heads next to each other in memory.

    Args:
        packed: q, k and v along the first axes of one to three tensors `[…, B, h, n, d]`. Each gets one gradient.
        bias: `[h, n, m]`.
        masks: `[kinds, n, m]`, without a gradient.
        mask_index: `[B]`, the mask of each window; None without masks.
        scale: of the products.
    """
    return _ChunkedAttention.apply(bias, masks, mask_index, scale, *packed)  # type: ignore[return-value]


class _ChunkedAttention(torch.autograd.Function):
    """The attention, chunk by chunk.

    The backward pass recomputes fp32 probabilities: this takes 3 % of a step's time, and saves a third of its memory.
    bf16 probabilities are half as large. They are saved, except in a checkpointed block.
    """

    @staticmethod
    def forward(
        ctx: Any, bias: Tensor | None, masks: Tensor | None, mask_index: Tensor | None, scale: float, *packed: Tensor
    ) -> Tensor:
        ctx.scale, ctx.packed = scale, len(packed)
        q, k, v = (x for tensor in packed for x in tensor)
        probabilities: list[Tensor] = []
        if q.dtype == torch.bfloat16 and any(ctx.needs_input_grad) and not in_checkpoint():
            out = _forward(q, k, v, bias, masks, mask_index, scale, probabilities)
        else:
            operator = torch.ops.mihatp.chunked_attention.default
            out = save_result(operator, operator, q, k, v, bias, masks, mask_index, scale)
        ctx.save_for_backward(bias, masks, mask_index, *packed, *probabilities)
        return out

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:  # type: ignore[override]
        bias, masks, mask_index, *rest = ctx.saved_tensors
        packed, probabilities = rest[: ctx.packed], rest[ctx.packed :]
        grads = [torch.empty_like(tensor) for tensor in packed]
        (q, k, v), (dq, dk, dv) = ((x for tensor in tensors for x in tensor) for tensors in (packed, grads))
        d_bias = None if bias is None else torch.zeros_like(bias, dtype=torch.promote_types(q.dtype, torch.float32))
        with torch.autocast("cpu", enabled=False):
            for number, (windows, rows) in enumerate(_chunks(q, k)):
                if probabilities:
                    p = probabilities[number]
                else:
                    p = _probabilities(q, k, bias, masks, mask_index, ctx.scale, windows, rows)
                g = grad[windows, :, rows]
                of_v = p.transpose(-2, -1) @ g
                d_scores = g @ v[windows].transpose(-2, -1)
                torch._softmax_backward_data(d_scores, p, -1, p.dtype, grad_input=d_scores)
                if d_bias is not None:
                    for window in d_scores:  # in fp32, and faster than a sum over the windows
                        d_bias[:, rows].add_(window)  # `+=` on a slice would copy the sum onto itself
                dq[windows, :, rows] = (d_scores @ k[windows]).mul_(ctx.scale)
                of_k = (d_scores.transpose(-2, -1) @ q[windows, :, rows]).mul_(ctx.scale)
                dk[windows] = of_k if rows.start == 0 else dk[windows] + of_k
                dv[windows] = of_v if rows.start == 0 else dv[windows] + of_v
        return None if d_bias is None else d_bias.to(q.dtype), None, None, None, *grads


def _forward(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    bias: Tensor | None,
    masks: Tensor | None,
    mask_index: Tensor | None,
    scale: float,
    probabilities: list[Tensor] | None = None,
) -> Tensor:
    """The attention; appends the probabilities of each chunk to `probabilities`, if there is such a list."""
    batch, heads, n, d = q.shape
    out = q.new_empty(batch, n, heads, d).transpose(1, 2)
    with torch.autocast("cpu", enabled=False):
        for windows, rows in _chunks(q, k):
            p = _probabilities(q, k, bias, masks, mask_index, scale, windows, rows)
            out[windows, :, rows] = p @ v[windows]
            if probabilities is not None:
                probabilities.append(p)
    return out


@torch.no_grad()
def all_at_once(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    bias: Tensor | None,
    masks: Tensor | None,
    mask_index: Tensor | None,
    scale: float,
) -> Tensor:
    """The same attention without a gradient, in one chunk."""
    everything = slice(None)
    with torch.autocast("cpu", enabled=False):
        return _probabilities(q, k, bias, masks, mask_index, scale, everything, everything) @ v


@torch.library.custom_op("mihatp::chunked_attention", mutates_args=())
def chunked_attention_operator(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    bias: Tensor | None,
    masks: Tensor | None,
    mask_index: Tensor | None,
    scale: float,
) -> Tensor:
    """The attention as one operator, which selective checkpointing can save."""
    return _forward(q, k, v, bias, masks, mask_index, scale)


@chunked_attention_operator.register_fake
def _(q: Tensor, *_: Any) -> Tensor:
    batch, heads, n, d = q.shape
    return q.new_empty(batch, n, heads, d).transpose(1, 2)


def _chunks(q: Tensor, k: Tensor) -> Iterator[tuple[slice, slice]]:
    """Windows and rows of queries of each chunk: several whole windows, or some rows of one window."""
    batch, heads, n, _ = q.shape
    row_bytes = heads * k.shape[2] * q.element_size()
    windows, rows = max(_CHUNK_BYTES // (n * row_bytes), 1), n
    if n * row_bytes > 4 * _CHUNK_BYTES:  # a chunk a little too large is better than many small chunks
        rows = max(_CHUNK_BYTES // row_bytes, 1)
    for window in range(0, batch, windows):
        yield from ((slice(window, window + windows), slice(row, row + rows)) for row in range(0, n, rows))


def _probabilities(
    q: Tensor,
    k: Tensor,
    bias: Tensor | None,
    masks: Tensor | None,
    mask_index: Tensor | None,
    scale: float,
    windows: slice,
    rows: slice,
) -> Tensor:
    """softmax(scale q kᵀ + bias + mask) of one chunk."""
    q, k = q[windows, :, rows], k[windows]
    batch, heads, n, _ = q.shape
    flat_q, flat_k = q.flatten(0, 1), k.flatten(0, 1).transpose(1, 2)
    if bias is None:
        scores = torch.bmm(flat_q, flat_k).mul_(scale)
    else:
        scores = bias[:, rows].expand(batch, heads, n, -1).clone(memory_format=torch.contiguous_format).flatten(0, 1)
        scores.baddbmm_(flat_q, flat_k, alpha=scale)
    scores = scores.unflatten(0, (batch, heads))
    if masks is not None and mask_index is not None:
        scores += masks[mask_index[windows], rows][:, None]
    return torch.softmax(scores, -1, out=scores)  # in place
