"""Pre-activated residual and dense blocks of HoVer-Net; the layers have the names of the official checkpoints."""

from collections import OrderedDict
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class SamePad(nn.Module):
    """Zero padding as TensorFlow's `SAME`: the odd pixel is at the right and at the bottom.

    Args:
        kernel: side of the kernel of the convolution that follows.
        stride: its stride.
    """

    def __init__(self, kernel: int, stride: int) -> None:
        super().__init__()
        self.kernel, self.stride = kernel, stride

    def forward(self, x: Tensor) -> Tensor:
        """`[B, C, H, W]` -> as large as the convolution needs for an output of H/stride, rounded up."""
        left, right, top, bottom = (*self._pads(x.shape[-1]), *self._pads(x.shape[-2]))
        return F.pad(x, (left, right, top, bottom))

    def _pads(self, length: int) -> tuple[int, int]:
        pads = max(self.kernel - (self.stride if length % self.stride == 0 else length % self.stride), 0)
        return pads // 2, pads - pads // 2


def _conv(inputs: int, outputs: int, kernel: int, *, stride: int = 1, groups: int = 1) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, kernel, stride=stride, groups=groups, bias=False)


def _bn(features: int) -> nn.BatchNorm2d:
    return nn.BatchNorm2d(features, eps=1e-5)


def bn_relu(features: int) -> nn.Sequential:
    """Batch normalisation, then ReLU."""
    return nn.Sequential(OrderedDict([("bn", _bn(features)), ("relu", nn.ReLU(inplace=True))]))


class ResidualBlock(nn.Module):
    """Bottleneck units of a pre-activated ResNet (He et al., 2016).

    Args:
        inputs: channels of the input.
        widths: channels of the three convolutions of a unit.
        units: number of units.
        stride: of the first unit.
    """

    def __init__(self, inputs: int, widths: Sequence[int], units: int, *, stride: int) -> None:
        super().__init__()
        first, second, third = widths
        self.units = nn.ModuleList()
        for index in range(units):
            unit_inputs, unit_stride = (inputs, stride) if index == 0 else (third, 1)
            preact = [] if index == 0 else [("preact/bn", _bn(unit_inputs)), ("preact/relu", nn.ReLU())]
            layers = [
                *preact,
                ("conv1", _conv(unit_inputs, first, 1)),
                ("conv1/bn", _bn(first)),
                ("conv1/relu", nn.ReLU(inplace=True)),
                ("conv2/pad", SamePad(3, unit_stride)),
                ("conv2", _conv(first, second, 3, stride=unit_stride)),
                ("conv2/bn", _bn(second)),
                ("conv2/relu", nn.ReLU(inplace=True)),
                ("conv3", _conv(second, third, 1)),
            ]
            self.units.append(nn.Sequential(OrderedDict(layers)))
        changes = inputs != third or stride != 1
        self.shortcut = _conv(inputs, third, 1, stride=stride) if changes else None
        self.blk_bna = bn_relu(third)

    def forward(self, x: Tensor) -> Tensor:
        """`[B, inputs, H, W]` -> `[B, widths[2], H/stride, W/stride]`."""
        shortcut = x if self.shortcut is None else self.shortcut(x)
        for unit in self.units:
            x = shortcut = unit(x) + shortcut
        return self.blk_bna(x)


class DenseBlock(nn.Module):
    """Dense units (Huang et al., 2017) whose last convolution is grouped and not padded.

    Args:
        inputs: channels of the input.
        kernel: side of the last kernel of a unit; each unit takes `kernel - 1` px off.
        bottleneck: channels between the two convolutions of a unit.
        growth: channels that a unit adds.
        units: number of units.
        groups: of the last convolution.
    """

    def __init__(self, inputs: int, *, kernel: int, bottleneck: int, growth: int, units: int, groups: int) -> None:
        super().__init__()
        self.units = nn.ModuleList()
        for index in range(units):
            features = inputs + index * growth
            layers = [
                ("preact_bna/bn", _bn(features)),
                ("preact_bna/relu", nn.ReLU(inplace=True)),
                ("conv1", _conv(features, bottleneck, 1)),
                ("conv1/bn", _bn(bottleneck)),
                ("conv1/relu", nn.ReLU(inplace=True)),
                ("conv2", _conv(bottleneck, growth, kernel, groups=groups)),
            ]
            self.units.append(nn.Sequential(OrderedDict(layers)))
        self.blk_bna = bn_relu(inputs + units * growth)

    def forward(self, x: Tensor) -> Tensor:
        """`[B, inputs, H, W]` -> `[B, inputs + units·growth, H - units·(kernel-1), …]`."""
        for unit in self.units:
            new = unit(x)
            x = torch.cat([centre(x, new.shape[-2:]), new], dim=1)
        return self.blk_bna(x)


def centre(x: Tensor, size: Sequence[int]) -> Tensor:
    """The middle of `[B, C, H, W]`, [B, C, *size]; the odd pixel is cut off at the right and at the bottom."""
    top, left = ((have - wanted) // 2 for have, wanted in zip(x.shape[-2:], size, strict=True))
    return x[..., top : top + size[0], left : left + size[1]]
