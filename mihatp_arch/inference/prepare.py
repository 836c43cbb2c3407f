"""Prepare a network for inference at one tile size."""

from copy import copy

import torch
from torch import nn

from mihatp_arch.archs.fast.dat_inference import DATBlock


@torch.no_grad()
def prepare_for_inference(network: nn.Module, *, tile: int) -> nn.Module:
    """The network with faster layers, where there are any: the same numbers up to fp32 rounding (1e-5).

    The blocks of spandrel's DAT are replaced. Other networks are returned as they are.

    Args:
        network: `[B, 3, H, W]` -> `[B, 3, s·H, s·W]`. It goes into evaluation mode without gradients. Apart from that
            it is not changed; the result shares the weights that stay as they are.
        tile: H and W of the tiles, in LR pixels; for DAT a multiple of the sides of its windows (8 and 32 for
            DAT-light). Images of another size have the same result, but are not faster.
    """
    return _prepared(network.eval().requires_grad_(False), (tile, tile)).requires_grad_(False)


def _prepared(module: nn.Module, size: tuple[int, int]) -> nn.Module:
    """The module with its blocks of DAT replaced; the module itself where it has none."""
    if type(module).__name__ == "DATB" and type(module).__module__.startswith("spandrel."):
        return DATBlock(module, size).eval() if DATBlock.supports(module, size) else module
    children = {name: child and _prepared(child, size) for name, child in module._modules.items()}
    if all(children[name] is child for name, child in module._modules.items()):
        return module
    prepared = copy(module)
    prepared._modules = children
    return prepared
