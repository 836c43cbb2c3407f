"""Stochastic depth whose masks can be drawn before the forward pass."""

import torch
from torch import Tensor, nn


class DropPath(nn.Module):
    """Stochastic depth, x -> x·mask / (1 - drop_prob), with one mask bit for each sample; the identity in eval mode.

    Without `draw_ahead` the forward pass draws its mask from the global generator of the device, as timm's DropPath.
    Two threads that draw from one generator draw in a random order. `draw_ahead` avoids this: it draws the same bits
    before the forward pass. They stay until `forget`, so that a recomputed forward pass uses them again.

    Args:
        drop_prob: probability that a sample's path is dropped.
        calls: how often one forward pass of the network calls this module.
    """

    def __init__(self, drop_prob: float, *, calls: int = 1) -> None:
        super().__init__()
        self.drop_prob = drop_prob
        self.calls = calls
        self.forget()

    def draw_ahead(self, batch: int) -> None:
        """Draw the masks of a forward pass of `batch` samples from the global CPU generator, call by call."""
        self.masks = [torch.empty(batch).bernoulli_(1 - self.drop_prob) for _ in range(self.calls)]
        self.next_call = 0

    def forget(self) -> None:
        """Draw in the forward pass again."""
        self.masks: list[Tensor] = []
        self.next_call = 0

    def forward(self, x: Tensor) -> Tensor:
        if not self.training or self.drop_prob == 0:
            return x
        shape = (len(x), *[1] * (x.dim() - 1))
        if self.masks:
            mask = self.masks[self.next_call].to(x).view(shape)
            self.next_call = (self.next_call + 1) % self.calls
        else:
            mask = x.new_empty(shape).bernoulli_(1 - self.drop_prob)
        return x * (mask / (1 - self.drop_prob))

    def extra_repr(self) -> str:
        return f"drop_prob={self.drop_prob:.3f}"


def draw_ahead(network: nn.Module, batch: int) -> None:
    """Draw all masks of the next forward pass, in the order in which the network registers and calls DropPaths."""
    for module in network.modules():
        if isinstance(module, DropPath):
            module.draw_ahead(batch)


def forget(network: nn.Module) -> None:
    """Let the network draw in its forward passes again."""
    for module in network.modules():
        if isinstance(module, DropPath):
            module.forget()
