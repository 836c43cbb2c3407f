"""softmax(q kᵀ / √d + bias) v, written out and by what is fastest where it runs; all give the same numbers."""

from collections.abc import Iterator
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

_CHUNK_BYTES = 3 << 19  # of scores at a time: what stays in the second-level caches


def attend(q: Tensor, k: Tensor, v: Tensor, bias: Tensor | None, *, scale: float, fused: bool) -> Tensor:
    """softmax(scale q kᵀ + bias) v for q (Bxhxnxd), k and v (Bxhxmxd), and a bias that broadcasts to Bxhxnxm.

    With `fused` it is PyTorch's kernel; but on a CPU, where that is slow in bf16 and in training, the way of `_Chunked`
    (unless each of the batch has a bias of its own).
    """
    bias = None if bias is None else bias.to(q.dtype)
    if not fused:
        scores = (q * scale) @ k.transpose(-2, -1)
        return (scores if bias is None else scores + bias).softmax(-1) @ v
    in_training = torch.is_grad_enabled() and any(x is not None and x.requires_grad for x in (q, k, v, bias))
    chunked = q.device.type == "cpu" and (in_training or q.dtype == torch.bfloat16)
    if chunked and (bias is None or len(bias) == 1):
        return _Chunked.apply(q, k, v, None if bias is None else bias[0], scale)  # type: ignore[return-value]
    return F.scaled_dot_product_attention(q, k, v, attn_mask=bias, scale=scale)


class _Chunked(torch.autograd.Function):
    """Some queries at a time, so that their scores do not leave the cache between one operation and the next.

    The backward pass computes probabilities of fp32 again: it takes 3 % of a step's time, keeping them a third of its
    memory. Those of bf16 are half as large, and 6 % of the shorter step.
    """

    @staticmethod
    def forward(ctx: Any, q: Tensor, k: Tensor, v: Tensor, bias: Tensor | None, scale: float) -> Tensor:
        batch, heads, n, d = q.shape
        out = q.new_empty(batch, n, heads, d).transpose(1, 2)  # the heads of a pixel together, as what follows wants
        keep, kept = q.dtype == torch.bfloat16 and any(ctx.needs_input_grad), []
        with torch.autocast("cpu", enabled=False):
            for some, rows in _chunks(q, k):
                b = None if bias is None else bias[:, rows]
                p = _probabilities(q[some, :, rows], k[some], b, scale)
                out[some, :, rows] = p @ v[some]
                if keep:
                    kept.append(p)
        ctx.save_for_backward(q, k, v, bias, *kept)
        ctx.bias_shape, ctx.scale = None if bias is None else bias.shape, scale
        return out

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:  # type: ignore[override]
        q, k, v, bias, *kept = ctx.saved_tensors
        dq, dk, dv = torch.empty_like(q), torch.zeros_like(k), torch.zeros_like(v)
        d_bias = (
            None
            if ctx.bias_shape is None
            else torch.zeros(ctx.bias_shape, dtype=torch.promote_types(q.dtype, torch.float32))
        )
        with torch.autocast("cpu", enabled=False):
            for number, (some, rows) in enumerate(_chunks(q, k)):
                b = None if bias is None else bias[:, rows]
                p = kept[number] if kept else _probabilities(q[some, :, rows], k[some], b, ctx.scale)
                g = grad[some, :, rows]
                dv[some] += p.transpose(-2, -1) @ g
                d_scores = torch._softmax_backward_data(g @ v[some].transpose(-2, -1), p, -1, p.dtype)
                if d_bias is not None:
                    for of_one in d_scores:  # in fp32, and faster than a sum over the batch
                        d_bias[:, rows] += of_one
                dq[some, :, rows] = (d_scores @ k[some]).mul_(ctx.scale)
                dk[some] += (d_scores.transpose(-2, -1) @ q[some, :, rows]).mul_(ctx.scale)
        return dq, dk, dv, None if d_bias is None else d_bias.to(q.dtype), None


def _chunks(q: Tensor, k: Tensor) -> Iterator[tuple[slice, slice]]:
    """Which of the batch, and which of its queries: several whole ones, or rows of one."""
    batch, heads, n, _ = q.shape
    row = heads * k.shape[2] * q.element_size()
    some, rows = max(_CHUNK_BYTES // (n * row), 1), n
    if n * row > 4 * _CHUNK_BYTES:  # a little too much is better than many small pieces
        rows = max(_CHUNK_BYTES // row, 1)
    for first in range(0, batch, some):
        yield from ((slice(first, first + some), slice(row, row + rows)) for row in range(0, n, rows))


def _probabilities(q: Tensor, k: Tensor, bias: Tensor | None, scale: float) -> Tensor:
    batch, heads, n, _ = q.shape
    q, k = q.flatten(0, 1), k.flatten(0, 1).transpose(1, 2)
    if bias is None:
        scores = torch.bmm(q, k).mul_(scale)
    else:
        bias = bias.expand(batch, *bias.shape).reshape(batch * heads, n, -1)
        scores = torch.baddbmm(bias, q, k, alpha=scale)
    return scores.softmax(-1).unflatten(0, (batch, heads))
