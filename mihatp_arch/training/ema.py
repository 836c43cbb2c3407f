"""The exponential moving average (EMA) of the weights of `net_g`."""

import math
from collections.abc import Mapping

import torch
from basicsr.models.sr_model import SRModel
from torch import nn


@torch.no_grad()
def model_ema(self: SRModel, decay: float = 0.999) -> None:
    """Move `net_g_ema` towards `net_g`: trainable parameters by `decay`; buffers (running statistics) are copied.

    `decay` 0 copies every parameter.
    """
    net, average = self.get_bare_model(self.net_g), self.net_g_ema
    moving = {name: p for name, p in average.named_parameters() if decay == 0 or p.requires_grad}
    _lerp(moving, dict(net.named_parameters()), 1 - decay)
    buffers = dict(net.named_buffers())
    for name, buffer in average.named_buffers():
        buffer.copy_(buffers[name])


def _lerp(average: Mapping[str, nn.Parameter], current: Mapping[str, nn.Parameter], weight: float) -> None:
    """average += weight·(current - average), for all tensors in one operation."""
    targets = [average[name].data for name in average]
    sources = [current[name].data for name in average]
    if math.isclose(weight, 1):
        torch._foreach_copy_(targets, sources)
    else:
        torch._foreach_lerp_(targets, sources, weight)
