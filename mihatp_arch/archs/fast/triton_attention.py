# Triton is not there without a GPU:
# pyright: reportMissingImports=false, reportIndexIssue=false
"""softmax(scale q kᵀ + bias + mask) v of windows on a GPU, with the gradient of the bias, in Triton.

PyTorch's kernels read a bias for every window and write a gradient for every window: most of their memory traffic. Here
all windows read one bias, and its gradient is summed in registers. Nothing is atomic, so that the same input gives the
same numbers.

Needs Triton, which comes with torch for GPUs. If TRITON_INTERPRET=1 is set before its first import, it runs on a CPU,
slowly.
"""

from collections.abc import Callable, Sequence
from itertools import accumulate
from typing import Any

import torch
import triton
from torch import Tensor

from mihatp_arch.archs.fast.triton_programs import backward_keys, backward_queries, forward

_KINDS = 4  # most masks
_QUERIES = 256  # most queries of a window: their scores for a block of keys stay in registers
_PROGRAMS = 4  # about as many programs on a multiprocessor sum gradients of the bias at once
_INTERPRETED = not isinstance(forward, triton.JITFunction)


def supports(packed: Sequence[Tensor], bias: Tensor, masks: Tensor | None, counts: Sequence[int]) -> bool:
    """Whether `window_attention` can compute the attention of these arguments.

    Args:
        packed: q, k and v `[3, w, h, n, d]`; or q `[1, w, h, n, d]`, and k and v `[2, w, h, m, d]`.
        bias: `[1, h, n, m]`.
        masks: as in `window_attention`.
        counts: as in `window_attention`.
    """
    first, last = packed[0], packed[-1]
    _, windows, heads, n, d = first.shape
    return (
        len(packed) <= 2
        and (first.is_cuda or (_INTERPRETED and first.dtype != torch.bfloat16))  # the interpreter has no bf16 product
        and first.dtype in (torch.bfloat16, torch.float16, torch.float32)
        and all(x.dtype == first.dtype and x.stride(-1) == 1 and 0 not in x.stride() for x in packed)
        and d in (16, 32, 64)
        and 0 < n <= _QUERIES
        and windows > 0
        and bias.shape == (1, heads, n, last.shape[3])
        and (masks is None or (len(masks) <= _KINDS and not masks.requires_grad and len(counts) == len(masks)))
    )


def window_attention(
    first: Tensor, second: Tensor | None, bias: Tensor, masks: Tensor | None, counts: Sequence[int], scale: float
) -> Tensor:
    """softmax(scale q kᵀ + bias + mask) v: `[w, h, n, d]`, a pixel's heads next to each other in memory.

    Args:
        first: q, k and v `[3, w, h, n, d]`, or only q `[1, w, h, n, d]`.
        second: k and v `[2, w, h, m, d]`, if `first` is only q.
        bias: `[1, h, n, m]`.
        masks: `[kinds, n, m]`, without a gradient. The first `counts[0]` windows have the first mask, and so on.
        counts: number of windows with each mask.
        scale: factor of the products.
    """
    if torch.compiler.is_compiling():
        return _operator(first, second, bias, masks, counts, scale)[0]
    return _Eager.apply(first, second, bias, masks, counts, scale)  # type: ignore[return-value]


def _attention(
    first: Tensor, second: Tensor | None, bias: Tensor, masks: Tensor | None, counts: Sequence[int], scale: float
) -> tuple[Tensor, Tensor]:
    """The attention, and the logarithms to base 2 of the softmax's denominators, `[w, h, n]`."""
    out, lse = _like_outputs(first)
    inputs, strides, numbers, options = _arguments(first, second, bias, masks, counts, scale)
    grid, blocks = _by_queries(lse, bias)
    with torch.cuda.device_of(first):
        forward[grid](*inputs, out, lse, *strides, *numbers, **options, **blocks)
    return out, lse


def _attention_backward(
    grad: Tensor, out: Tensor, lse: Tensor, first: Tensor, second: Tensor | None, bias: Tensor, masks: Tensor | None,
    counts: Sequence[int], scale: float,
) -> tuple[Tensor, Tensor, Tensor]:  # fmt: skip
    """The gradients of `first`, `second` (empty if there is none) and `bias`."""
    d_first, d_second = _like_parts(first, second)
    dq, dk, dv = (x for part in (d_first, d_second) for x in part)
    inputs, strides, numbers, options = _arguments(first, second, bias, masks, counts, scale)
    grad, out = (x.transpose(1, 2).contiguous() for x in (grad, out))  # [w, n, h, d], as `out` is in memory
    delta = torch.empty_like(lse)
    (windows, heads, n), m = lse.shape, bias.shape[3]
    processors = torch.cuda.get_device_properties(first.device).multi_processor_count if first.is_cuda else 4
    rows, columns = min(_block(n), 128), 64 // first.element_size()  # so that registers hold nearly all sums
    blocks = {"BM": rows, "BLOCKS": triton.cdiv(n, rows), "BN": columns, "num_warps": 8 if rows > 64 else 4}
    programs = triton.cdiv(m, columns) * heads
    chunk = triton.cdiv(windows, max(_PROGRAMS * processors // programs, 1))
    sums = lse.new_empty(triton.cdiv(windows, chunk), heads, n, m)
    with torch.cuda.device_of(first):
        grid, by_queries = _by_queries(lse, bias)
        backward_queries[grid](
            *inputs, out, lse, grad, delta, dq, *strides, *dq.stride()[:3], *numbers, **options, **by_queries
        )
        grid = programs // heads, heads, len(sums)
        strides += dk.stride()[:3]
        backward_keys[grid](
            *inputs, lse, grad, delta, dk, dv, sums, *strides, *numbers, windows, chunk, **options, **blocks
        )
    return d_first, d_second, sums.sum(0, keepdim=True).to(bias.dtype)


def _by_queries(lse: Tensor, bias: Tensor) -> tuple[tuple[int, int], dict[str, int]]:
    """Grid and blocks. The blocks of a window follow one another, so that its keys are still in the cache."""
    windows, heads, n = lse.shape
    rows = min(_block(n), 64)
    return (triton.cdiv(n, rows) * windows, heads), {"BM": rows, "BN": min(_block(bias.shape[3]), 64), "num_warps": 4}


def _arguments(
    first: Tensor, second: Tensor | None, bias: Tensor, masks: Tensor | None, counts: Sequence[int], scale: float
) -> tuple[list[Tensor], list[int], list[float], dict[str, int]]:
    """The arguments of all kernels: tensors, strides of q and k, sizes and scale, and compile-time constants."""
    q, k, v = (x for part in (first, second) if part is not None for x in part)
    bias = bias.contiguous()
    inputs = [q, k, v, bias, bias if masks is None else masks.contiguous()]
    ends = [*accumulate(counts), *_KINDS * [len(q)]][: _KINDS - 1]
    numbers = [q.shape[2], k.shape[2], *ends, scale]
    options = {"MASKED": masks is not None, "D": q.shape[3], "num_stages": 2}
    return inputs, [*q.stride()[:3], *k.stride()[:3]], numbers, options


def _block(count: int) -> int:
    """The smallest block that holds `count` rows; a product takes powers of two from 16 on."""
    return max(triton.next_power_of_2(count), 16)


def _like_outputs(first: Tensor, *_: Any) -> tuple[Tensor, Tensor]:
    windows, heads, n, d = first.shape[1:]
    out = first.new_empty(windows, n, heads, d).transpose(1, 2)
    return out, first.new_empty(windows, heads, n, dtype=torch.float32)


def _like_parts(first: Tensor, second: Tensor | None) -> tuple[Tensor, Tensor]:
    return torch.empty_like(first), first.new_empty(0) if second is None else torch.empty_like(second)


def _like_inputs(
    grad: Tensor, out: Tensor, lse: Tensor, first: Tensor, second: Tensor | None, bias: Tensor, *_: Any
) -> tuple[Tensor, Tensor, Tensor]:
    return *_like_parts(first, second), bias.new_empty(bias.shape)


class _Eager(torch.autograd.Function):
    """The attention without torch.compile: starting an operator of torch.library takes several times as long."""

    @staticmethod
    def forward(ctx: Any, *inputs: Any) -> Tensor:
        output = _attention(*inputs)
        _save_for_backward(ctx, inputs, output)
        return output[0]

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:  # type: ignore[override]
        return _gradients(ctx, grad, None, _attention_backward)


def _save_for_backward(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
    *tensors, ctx.counts, ctx.scale = inputs
    ctx.save_for_backward(*output, *tensors)
    ctx.set_materialize_grads(False)


def _gradients(
    ctx: Any, grad: Tensor, _: None, backward: Callable[..., tuple[Tensor, Tensor, Tensor]] | None = None
) -> tuple[Tensor | None, ...]:
    backward = backward or _backward_operator
    d_first, d_second, d_bias = backward(grad, *ctx.saved_tensors, ctx.counts, ctx.scale)
    return d_first, d_second if len(d_second) else None, d_bias, None, None, None


_operator = torch.library.custom_op("mihatp::window_attention", mutates_args=())(_attention)
_operator.register_fake(_like_outputs)
_operator.register_autograd(_gradients, setup_context=_save_for_backward)
_backward_operator = torch.library.custom_op("mihatp::window_attention_backward", mutates_args=())(_attention_backward)
_backward_operator.register_fake(_like_inputs)
