"""Training passes of a network as CUDA graphs: the GPU runs recorded kernels, without Python between two of them."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from mihatp_arch.errors import UserError


def use_graphs(net: nn.Module) -> None:
    """Let `net` ([B, C, H, W] -> [B, C, H, W]) train on a GPU by CUDA graphs, one for each shape of its batches.

    Python takes longer to start a small kernel than the GPU takes to run it: without graphs, the GPU waits for most of
    HAT's step at LR 24. Evaluation, other devices, and a second pass before the backward pass of the first run without
    graphs.

    Raises:
        UserError: the network recomputes activations in the backward pass, which a graph cannot record, or it was
            compiled as a whole.
    """
    if getattr(net, "use_checkpoint", False):
        raise UserError("train.cuda_graphs: use_checkpoint cannot be recorded; set one of them to false")
    if net._compiled_call_impl is not None:  # set by nn.Module.compile, whose trace would contain the recording
        raise UserError(f"train.cuda_graphs: {not_with_compile(type(net).__name__)}")
    net.forward = Graphs(net)


def compiles_by_blocks(network: object) -> bool:
    """Whether a class of networks compiles its blocks one by one. Only then can graphs record the compiled network."""
    return getattr(network, "compile", nn.Module.compile) is not nn.Module.compile


def not_with_compile(network: str) -> str:
    """The message for a network that cannot have both `train.compile` and `train.cuda_graphs`."""
    return (
        f"with train.compile only for networks that are compiled block by block (HAT, MiHATP), not for {network}; "
        "set one of them to false"
    )


class Graphs:
    """Takes the place of a network's `forward`."""

    def __init__(self, net: nn.Module) -> None:
        self.net = net
        self.plain: Callable[[Tensor], Tensor] = net.forward
        self._recorded: dict[tuple[Any, ...], Callable[[Tensor], Tensor]] = {}
        self._waiting = False  # for a backward pass, which needs the activations in the memory of the graph

    def __call__(self, x: Tensor) -> Tensor:
        if self._waiting or not (x.is_cuda and self.net.training and torch.is_grad_enabled()):
            return self.plain(x)
        autocast = torch.get_autocast_dtype("cuda") if torch.is_autocast_enabled("cuda") else None
        key = (x.shape, x.dtype, autocast)
        if key not in self._recorded:
            self._recorded[key] = self._record(x, autocast)
        for parameter in self.net.parameters():  # the graph writes gradients over those of an earlier part of the batch
            if parameter.grad is not None:
                parameter.grad = parameter.grad.clone()
        output = self._recorded[key](x)
        output.register_hook(self._backward_begins)
        self._waiting = True
        return output

    def _record(self, x: Tensor, autocast: torch.dtype | None) -> Callable[[Tensor], Tensor]:
        """The graphs of one shape; recording draws no random numbers and leaves running statistics alone."""
        del self.net.forward  # PyTorch records the network's own, and puts the graphs in its place
        buffers = [buffer.clone() for buffer in self.net.buffers()]
        try:
            # Without its cache, autocast casts the weights in the graph; a cached cast would stay as it was recorded.
            with (
                torch.random.fork_rng(devices=[x.device]),
                torch.autocast("cuda", autocast, enabled=autocast is not None, cache_enabled=False),
            ):
                torch.cuda.make_graphed_callables(self.net, (x.detach().clone(),), allow_unused_input=True)
            return self.net.forward
        finally:
            self.net.forward = self
            for buffer, before in zip(self.net.buffers(), buffers, strict=True):
                buffer.copy_(before)

    def _backward_begins(self, grad: Tensor) -> None:
        self._waiting = False
