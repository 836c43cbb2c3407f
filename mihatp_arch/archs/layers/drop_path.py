"""Stochastic depth whose masks can be drawn before the forward pass."""

import timm.layers
import torch
from torch import Tensor, nn


class DropPath(timm.layers.DropPath):
    """timm's DropPath, x -> x·mask / (1 - drop_prob), one mask bit for each sample, until `draw_ahead` gives it masks.

    Threads that draw from the one global generator draw in an order of chance. Masks drawn ahead are the same bits that
    the forward pass would draw. They stay until `forget`, so that a recomputed forward pass finds them again.

    Args:
        drop_prob: probability of a sample's path to be dropped.
        calls: how often one forward pass of the network calls this module.
    """

    def __init__(self, drop_prob: float, *, calls: int = 1) -> None:
        super().__init__(drop_prob)
        self.calls = calls
        self.forget()

    def draw_ahead(self, batch: int) -> None:
        """Draw the masks of a forward pass of `batch` samples from the global generator, call by call."""
        self.masks = [torch.empty(batch).bernoulli_(1 - self.drop_prob) for _ in range(self.calls)]
        self.next_call = 0

    def forget(self) -> None:
        """Draw in the forward pass again."""
        self.masks: list[Tensor] = []
        self.next_call = 0

    def forward(self, x: Tensor) -> Tensor:
        if not (self.training and self.masks):
            return super().forward(x)
        mask = self.masks[self.next_call].to(x).view(-1, *[1] * (x.dim() - 1))
        self.next_call = (self.next_call + 1) % self.calls
        return x * (mask / (1 - self.drop_prob))


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
