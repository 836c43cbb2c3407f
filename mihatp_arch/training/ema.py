"""The exponential moving average (EMA) of the weights of `net_g`, with a decay that warms up."""

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import nn


def warmed_up(decay: float, iterations: int) -> float:
    """The decay after `iterations` ≥ 1: min(decay, (1 + n) / (10 + n)), as in LDM. 0 stays 0, which is a copy."""
    return min(decay, (1 + iterations) / (10 + iterations))


def share_of_start(decay: float, total_iter: int, *, warm_up: bool = True) -> float:
    """The weight of the untrained network in the average after `total_iter`: the product of all decays, in [0, 1]."""
    share = 1.0
    for iterations in range(1, total_iter + 1):
        share *= warmed_up(decay, iterations) if warm_up else decay
        if share < 1e-12:
            return 0.0
    return share


@torch.no_grad()
def model_ema(self: Any, decay: float = 0.999) -> None:
    """Move `net_g_ema` towards `net_g`: trainable parameters by the decay; buffers (running statistics) are copied.

    BasicSR calls it once after every iteration. The decay warms up with these calls, which `averaged_iterations` of
    the model counts: a constant decay leaves the untrained network in the average of a short training. A training that
    resumes takes the count from its state (`start_ema_at`).

    `decay` 0 copies every parameter, and is no iteration.
    """
    if decay > 0:
        start_ema_at(self, getattr(self, "averaged_iterations", 0) + 1)
        decay = warmed_up(decay, self.averaged_iterations)
    net, average = self.get_bare_model(self.net_g), self.net_g_ema
    moving = {name: p for name, p in average.named_parameters() if decay == 0 or p.requires_grad}
    _lerp(moving, dict(net.named_parameters()), 1 - decay)
    buffers = dict(net.named_buffers())
    for name, buffer in average.named_buffers():
        buffer.copy_(buffers[name])


def start_ema_at(model: Any, iterations: int) -> None:
    """Let the decay go on after `iterations` of the training are done."""
    model.averaged_iterations = iterations


def _lerp(average: Mapping[str, nn.Parameter], current: Mapping[str, nn.Parameter], weight: float) -> None:
    """average += weight·(current - average), for all tensors in one operation."""
    targets = [average[name].data for name in average]
    sources = [current[name].data for name in average]
    if math.isclose(weight, 1):
        torch._foreach_copy_(targets, sources)
    else:
        torch._foreach_lerp_(targets, sources, weight)
