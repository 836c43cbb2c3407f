"""Parts of IDM (Gao et al., CVPR 2023): the encoder of LR, equalised layers, the pyramid that modulates the decoder.

Sizes, kernels and gains come from the authors' code, https://github.com/Ree1s/IDM.
"""

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Encoder(nn.Module):
    """EDSR without its upsampling: LR `[B, 3, h, w]` -> the condition `[B, 3, H, W]`, at any size.

    Args:
        num_feat: channels inside.
        num_blocks: residual blocks.
    """

    def __init__(self, num_feat: int, num_blocks: int) -> None:
        super().__init__()
        self.enter = nn.Conv2d(3, num_feat, 3, padding=1)
        self.blocks = nn.ModuleList(
            nn.Sequential(
                nn.Conv2d(num_feat, num_feat, 3, padding=1), nn.ReLU(), nn.Conv2d(num_feat, num_feat, 3, padding=1)
            )
            for _ in range(num_blocks)
        )
        self.body = nn.Conv2d(num_feat, num_feat, 3, padding=1)
        self.leave = nn.Conv2d(num_feat, 3, 3, padding=1)

    def forward(self, lq: Tensor, size: Sequence[int]) -> Tensor:
        first = x = self.enter(lq)
        for block in self.blocks:
            x = x + block(x)
        return self.leave(F.interpolate(self.body(x) + first, tuple(size), mode="nearest"))


class EqualLinear(nn.Module):
    """Linear layer with weights of unit variance, scaled in the forward pass (StyleGAN's equalised learning rate).

    It is no subclass of `nn.Linear`, because IDM's initialisation of linear layers must not change its bias of 1.
    """

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(out_channels, in_channels))
        self.bias = nn.Parameter(torch.ones(out_channels))
        self.gain = 1 / math.sqrt(in_channels)

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x, self.weight * self.gain, self.bias)


class EqualConv(nn.Module):
    """3×3 convolution, equalised as `EqualLinear`: `[B, C, H, W]` -> `[B, C', H, W]`; stride 2 halves H and W."""

    def __init__(self, in_channels: int, out_channels: int, *, stride: int = 1, bias: bool = False) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(out_channels, in_channels, 3, 3))
        self.bias = nn.Parameter(torch.zeros(out_channels)) if bias else None
        self.gain, self.stride = 1 / math.sqrt(9 * in_channels), stride

    def forward(self, x: Tensor) -> Tensor:
        return F.conv2d(x, self.weight * self.gain, self.bias, self.stride, padding=1)


class BiasedLeakyReLU(nn.Module):
    """√2 · LeakyReLU(x + bias), which keeps the variance after an equalised layer; `[B, C, H, W]`."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor) -> Tensor:
        return F.leaky_relu(x + self.bias[:, None, None], 0.2) * math.sqrt(2)


class Blur(nn.Module):
    """The filter (1, 3, 1)/5 in both directions, on each channel, with zeros beyond the border; `[B, C, H, W]`."""

    kernel: Tensor

    def __init__(self) -> None:
        super().__init__()
        taps = torch.tensor([1.0, 3.0, 1.0]) / 5
        self.register_buffer("kernel", torch.outer(taps, taps), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        channels = x.shape[1]
        return F.conv2d(x, self.kernel.expand(channels, 1, 3, 3), padding=1, groups=channels)


class Modulation(NamedTuple):
    """An upsampler first multiplies its features by `scale` `[B, C, 1, 1]`, and adds `shift` `[B, C, H, W]`."""

    scale: Tensor
    shift: Tensor


class ScaledShift(nn.Module):
    """Features of LR and the scale s -> a `Modulation` that weights the decoder's features against LR's by s.

    scale = a / √(a² + b² + 1e-8),  shift = conv(f) · b / √(a² + b² + 1e-8),  a and b affine in s

    Args:
        in_channels: channels of f.
        out_channels: channels of the modulation.
    """

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.conv = EqualConv(in_channels, out_channels, bias=True)
        self.own, self.other = EqualLinear(1, out_channels), EqualLinear(1, out_channels)

    def forward(self, feature: Tensor, s: Tensor) -> Modulation:
        a, b = self.own(s[:, None])[..., None, None], self.other(s[:, None])[..., None, None]
        norm = torch.rsqrt(a.square() + b.square() + 1e-8)
        return Modulation(a * norm, self.conv(feature) * (b * norm))


class Pyramid(nn.Module):
    """The condition `[B, 3, H, W]` and the scales `[B]` -> a `Modulation` of each level but the first, finest first.

    Level i has W_i channels and sides H / 2^i and W / 2^i.

    Args:
        widths: W_0, W_1, ….
    """

    def __init__(self, widths: Sequence[int]) -> None:
        super().__init__()
        self.enter = nn.Sequential(EqualConv(3, widths[0]), BiasedLeakyReLU(widths[0]))
        self.down, self.shifts = nn.ModuleList(), nn.ModuleList()
        channels = widths[0]
        for finer, width in pairwise(widths):
            self.down.append(nn.Sequential(Blur(), EqualConv(channels, finer, stride=2), BiasedLeakyReLU(finer)))
            self.shifts.append(ScaledShift(finer, width))
            channels = finer

    def forward(self, condition: Tensor, s: Tensor) -> list[Modulation]:
        feature = self.enter(condition)
        modulations: list[Modulation] = []
        for down, shift in zip(self.down, self.shifts, strict=True):
            feature = down(feature)
            modulations.append(shift(feature, s))
        return modulations
