"""Linear layers on channels-last maps, by the fastest way. Parameters and numbers are those of `nn.Linear`."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mihatp_arch.archs.fast import channel_padding
from mihatp_arch.archs.fast.calibration import chosen_way

_IMAGES = 16  # with fewer images, PyTorch does not use oneDNN for 1×1 convolutions in a single thread
_MANY_ROWS = 1024  # from this number on the convolution is the fixed way
_ROWS = 4096  # of a measurement; more rows take the same time each


def linear(x: Tensor, weight: Tensor, bias: Tensor | None, *, fixed: str | None = None) -> Tensor:
    """F.linear for x `[…, C]`: on a CPU by the way that is fixed, given (`MIHATP_FAST`) or measured.

    Args:
        x: `[…, C]`.
        weight: `[out, C]`.
        bias: `[out]`.
        fixed: the way without a measurement; by default the convolution for large fp32 maps.
    """
    half = channel_padding.half_precision(x)
    if half:
        return channel_padding.linear(x, weight, bias, half)
    if x.device.type != "cpu":
        return F.linear(x, weight, bias)
    rows = x.numel() // x.shape[-1]
    autocast = torch.is_autocast_enabled("cpu")
    dtype = torch.get_autocast_dtype("cpu") if autocast else x.dtype
    ways = ["blas"]
    if rows % _IMAGES == 0:
        ways.append("convolution")
    if not torch.is_grad_enabled() and dtype in (torch.float32, torch.bfloat16) and _onednn_exists():
        ways.append("onednn")
    if fixed is None:
        fixed = "blas" if rows < _MANY_ROWS or rows % _IMAGES or dtype != torch.float32 or autocast else "convolution"

    def run(way: str) -> Tensor:
        return _WAYS[way](x.reshape(-1, x.shape[-1])[:_ROWS], weight, bias)

    size = min(1 << max(rows - 1, 0).bit_length(), _ROWS)
    key = f"{size}x{weight.shape[1]}x{weight.shape[0]} {str(dtype).removeprefix('torch.')}"
    return _WAYS[chosen_way("linear", key, ways, run, fixed=fixed)](x, weight, bias)


def _by_convolution(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """As a 1×1 convolution (oneDNN); the number of rows is a multiple of 16."""
    rows = x.numel() // x.shape[-1]
    images = x.reshape(_IMAGES, rows // _IMAGES, 1, -1).permute(0, 3, 1, 2)
    out = F.conv2d(images, weight[:, :, None, None], bias)
    return out.permute(0, 2, 3, 1).reshape(*x.shape[:-1], -1)


def _by_onednn(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """As oneDNN's matrix product, without a gradient. PyTorch itself takes it in bf16 alone."""
    if torch.is_autocast_enabled("cpu"):
        dtype = torch.get_autocast_dtype("cpu")
        x, weight, bias = x.to(dtype), weight.to(dtype), None if bias is None else bias.to(dtype)
    return torch.ops.mkldnn._linear_pointwise(x, weight, bias, "none", [], "")


def _onednn_exists() -> bool:
    """The operator is private: a version of torch may lack it."""
    return torch.backends.mkldnn.is_available() and hasattr(torch.ops.mkldnn, "_linear_pointwise")


_WAYS = {"blas": F.linear, "convolution": _by_convolution, "onednn": _by_onednn}


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
