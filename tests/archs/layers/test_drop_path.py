"""Stochastic depth: timm's masks, drawn in the forward pass or ahead of it."""

import timm.layers
import torch
from torch import nn

from mihatp_arch.archs.layers.drop_path import DropPath, draw_ahead, forget


class Twice(nn.Module):
    """Calls its DropPath two times, as a block of HAT does."""

    def __init__(self, drop_path):
        super().__init__()
        self.drop_path = drop_path

    def forward(self, x):
        return torch.stack([self.drop_path(x), self.drop_path(x)])


def passes(network, dtype, *, ahead):
    torch.manual_seed(5)
    x = torch.ones(64, 2, 3, dtype=dtype)
    if ahead:
        draw_ahead(network, len(x))
    return network(x), torch.get_rng_state()


def test_masks_are_those_of_timm_drawn_ahead_or_not():
    for dtype in (torch.float32, torch.bfloat16):
        expected, state = passes(Twice(timm.layers.DropPath(0.3)), dtype, ahead=False)
        for ahead in (False, True):
            found, after = passes(Twice(DropPath(0.3, calls=2)), dtype, ahead=ahead)
            assert torch.equal(found, expected) and torch.equal(after, state)
    assert not torch.equal(expected[0], expected[1])


def test_a_recomputed_pass_finds_its_masks_until_they_are_forgotten():
    network = Twice(DropPath(0.5, calls=2))
    first, _ = passes(network, torch.float32, ahead=True)
    x = torch.ones(64, 2, 3)
    assert torch.equal(network(x), first)
    assert torch.equal(network.eval()(x), torch.stack([x, x]))
    forget(network.train())
    assert not torch.equal(network(x), first)
