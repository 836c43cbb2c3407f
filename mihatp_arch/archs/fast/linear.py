"""Linear layers on channels-last maps, by the fastest way. Parameters and numbers are those of `nn.Linear`."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mihatp_arch.archs.fast import channel_padding

_IMAGES = 16  # with fewer images, PyTorch does not use oneDNN for 1×1 convolutions in a single thread
_MANY_ROWS = 1024  # from this number on the convolution is faster


def linear(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """F.linear for x `[…, C]`. On a CPU, large fp32 maps go through a 1×1 convolution (oneDNN), which is faster."""
    half = channel_padding.half_precision(x)
    if half:
        return channel_padding.linear(x, weight, bias, half)
    rows = x.numel() // x.shape[-1]
    slow = x.device.type == "cpu" and x.dtype == torch.float32 and not torch.is_autocast_enabled("cpu")
    if not slow or rows < _MANY_ROWS or rows % _IMAGES:
        return F.linear(x, weight, bias)
    images = x.reshape(_IMAGES, rows // _IMAGES, 1, -1).permute(0, 3, 1, 2)
    out = F.conv2d(images, weight[:, :, None, None], bias)
    return out.permute(0, 2, 3, 1).reshape(*x.shape[:-1], -1)


class Linear(nn.Linear):
    """nn.Linear through `linear`."""

    def forward(self, input: Tensor) -> Tensor:
        return linear(input, self.weight, self.bias)


class HeadLinear(Linear):
    """A linear layer whose output channels (t h d) are heads, each padded with zeros to a multiple of 8 channels.

    Attention kernels are faster on such heads, and the Triton program needs them. The zeros come from zero rows of the
    weight, so that no output is copied.

    Args:
        dim: channels of the input.
        head_dim: d.
        heads: t·h, counted over q, k and v if the layer computes all three.
        bias: whether there is an additive bias.
    """

    def __init__(self, dim: int, *, head_dim: int, heads: int, bias: bool = True) -> None:
        super().__init__(dim, heads * head_dim, bias)
        self.head_dim = head_dim

    def forward(self, input: Tensor) -> Tensor:
        missing = -self.head_dim % 8
        weight, bias = self.weight, self.bias
        if missing:
            weight = F.pad(weight.unflatten(0, (-1, self.head_dim)), (0, 0, 0, missing)).flatten(0, 1)
            bias = None if bias is None else F.pad(bias.unflatten(0, (-1, self.head_dim)), (0, missing)).flatten()
        return linear(input, weight, bias)


class FromHeads(Linear):
    """The output layer of attention, which takes padded heads: `[…, h·d']` -> `[…, C]`.

    Args:
        dim: C = h·d.
        head_dim: d.
    """

    def __init__(self, dim: int, *, head_dim: int) -> None:
        super().__init__(dim, dim)
        self.head_dim = head_dim

    def forward(self, input: Tensor) -> Tensor:
        missing = -self.head_dim % 8
        weight = self.weight
        if missing:
            weight = F.pad(weight.unflatten(1, (-1, self.head_dim)), (0, missing)).flatten(1)
        return linear(input, weight, self.bias)


class Mlp(nn.Module):
    """Linear, GELU, linear: `[…, C]` in and out.

    Args:
        dim: C.
        hidden: channels between the two layers.
        fused: the fastest way, or the written-out one.
    """

    def __init__(self, dim: int, hidden: int, *, fused: bool) -> None:
        super().__init__()
        layer = Linear if fused else nn.Linear
        self.fc1 = layer(dim, hidden)
        self.act = nn.GELU()
        self.fc2 = layer(hidden, dim)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc2(self.act(self.fc1(x)))
