"""Activation checkpointing that keeps what is dear: a block is computed again, its convolutions are not."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from mihatp_arch.archs.fast import channel_padding as aligned


class Kept:
    """Results of a block's first pass, which its later passes take instead of computing them.

    Convolutions and attention: hundreds of operations for each number that they give.
    """

    def __init__(self) -> None:
        self._results: list[Tensor] = []
        self._passes = 0
        self._taken = 0

    def start(self) -> None:
        """Begin a pass."""
        self._passes += 1
        self._taken = 0

    def known(self) -> Tensor | None:
        """The next result, None in the first pass."""
        if self._passes == 1:
            return None
        self._taken += 1
        return self._results[self._taken - 1].detach()

    def keep(self, result: Tensor) -> Tensor:
        """Take in a result of the first pass, and give it back."""
        self._results.append(result.detach())
        return result


def checkpointed(block: nn.Module, *inputs: Any) -> Tensor:
    """block(*inputs, kept), whose activations are computed again in the backward pass, but for those that it keeps.

    Compiled code keeps none: there it is the compiler that chooses.
    """
    if torch.compiler.is_compiling() or block._compiled_call_impl is not None:
        return checkpoint(block, *inputs, None, use_reentrant=False)  # type: ignore[return-value]
    kept = Kept()

    def one_pass(*inputs: Any) -> Tensor:
        kept.start()
        return block(*inputs, kept)

    return checkpoint(one_pass, *inputs, use_reentrant=False)  # type: ignore[return-value]


def convolve(layer: nn.Conv2d, x: Tensor, kept: Kept | None) -> Tensor:
    """layer(x), padded with zeros; its result is kept where there is something to keep it in."""
    if kept is None:
        half = aligned.half_precision(x)
        return aligned.conv2d(layer, x, half) if half and layer.groups == 1 else layer(x)
    device = x.device.type
    dtype = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else x.dtype
    weight, bias = (None if p is None else p.to(dtype) for p in (layer.weight, layer.bias))
    return _Convolution.apply(kept, x.to(dtype), weight, bias, layer.stride, layer.padding, layer.groups)  # type: ignore[return-value]


class _Convolution(torch.autograd.Function):
    """conv2d(x, weight, bias), computed in the first pass only."""

    @staticmethod
    def forward(
        ctx: Any,
        kept: Kept,
        x: Tensor,
        weight: Tensor,
        bias: Tensor | None,
        stride: tuple[int, int],
        padding: tuple[int, int],
        groups: int,
    ) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.geometry = stride, padding, groups
        known = kept.known()
        return kept.keep(F.conv2d(x, weight, bias, stride, padding, 1, groups)) if known is None else known

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:  # type: ignore[override]
        x, weight = ctx.saved_tensors
        stride, padding, groups = ctx.geometry
        _, *wanted = ctx.needs_input_grad
        grads = torch.ops.aten.convolution_backward(
            grad, x, weight, [weight.shape[0]], stride, padding, (1, 1), False, (0, 0), groups, wanted[:3]
        )
        return None, *grads, None, None, None
