"""Blocks of DAT (Chen et al., ICCV 2023) for inference at one size: the numbers of spandrel's blocks, faster.

The attention masks, the dynamic position bias, and the convolutions with their batch normalisation are computed once,
not in every call. All maps are `[B, H·W, C]` in memory, the order of `channels_last`, so that no layer has to copy them
into another order.
"""

from copy import deepcopy
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from mihatp_arch.archs.fast.attention_ways import AttentionInputs, fastest_on_cpu, sdpa
from mihatp_arch.archs.fast.linear import linear

_HEAD = 16  # on a CPU, matrix products with fewer columns take three times as long, so that heads are padded


class DATBlock(nn.Module):
    """One block: attention of windows or of channels, then the spatial-gate feed-forward network.

    Args:
        block: a DATB of spandrel in evaluation mode. It has no copies of the weights that stay as they are.
        size: H and W, multiples of the sides of the windows. Maps of another size go through `block`.
    """

    def __init__(self, block: Any, size: tuple[int, int]) -> None:
        super().__init__()
        self.size = size
        self.block = block
        in_windows = hasattr(block.attn, "attns")
        self.attention = _SpatialAttention(block.attn, size) if in_windows else _ChannelAttention(block.attn)
        self.ffn = _FeedForward(block.ffn)

    @staticmethod
    def supports(block: Any, size: tuple[int, int]) -> bool:
        """Whether maps of H×W consist of whole windows. DAT pads other maps."""
        sides = getattr(block.attn, "split_size", (1,))
        return not any(length % side for length in size for side in sides)

    def forward(self, x: Tensor, x_size: tuple[int, int]) -> Tensor:
        """`[B, H·W, C]` in and out."""
        if tuple(x_size) != self.size:
            return self.block(x, x_size)
        x = x + self.attention(self.block.norm1(x), self.size)
        return x + self.ffn(self.block.norm2(x), self.size)


class _Interaction(nn.Module):
    """The depth-wise convolution beside both attentions, and their adaptive interaction module (section 3.2 of DAT)."""

    def __init__(self, attention: Any) -> None:
        super().__init__()
        conv, norm, _ = attention.dwconv
        self.conv = _channels_last(fuse_conv_bn_eval(conv, norm))
        self.channel_map = _pointwise(*attention.channel_interaction[1:])
        self.spatial_map = _pointwise(*attention.spatial_interaction)
        self.proj = attention.proj

    def convolve(self, v: Tensor, size: tuple[int, int]) -> Tensor:
        return F.gelu(_convolve(self.conv, v, size))

    def interact(self, x: Tensor, y: Tensor) -> Tensor:
        """proj(x · sigmoid(C-Map(y)) + y · sigmoid(S-Map(x))): `[B, L, C]`."""
        of_channels = self.channel_map(y.mean(1, keepdim=True)).sigmoid()
        of_pixels = self.spatial_map(x).sigmoid()
        return _apply(self.proj, torch.addcmul(x * of_channels, y, of_pixels))


class _SpatialAttention(_Interaction):
    """Half of the channels in windows of h×w pixels, half in windows of w×h."""

    def __init__(self, attention: Any, size: tuple[int, int]) -> None:
        super().__init__(attention)
        self.windows = nn.ModuleList(_WindowAttention(attention, branch, size) for branch in (0, 1))
        self.v = _rows(attention.qkv, slice(2 * attention.dim, None))

    def forward(self, x: Tensor, size: tuple[int, int]) -> Tensor:
        attention = torch.cat([windows(x) for windows in self.windows], 2).flatten(2)
        return self.interact(attention, self.convolve(self.v(x), size))


class _WindowAttention(nn.Module):
    """One of the two shapes of windows: `[B, L, C]` -> `[B, L, h, d]`, h·d = C/2.

    The windows are gathered before q, k and v are computed, which are larger. Windows with the same mask are next to
    each other, so that bias and mask are in memory once for each mask.
    """

    bias: Tensor
    pixels: Tensor
    places: Tensor

    def __init__(self, attention: Any, branch: int, size: tuple[int, int]) -> None:
        super().__init__()
        part = attention.attns[branch]
        self.heads, self.scale = part.num_heads, part.scale
        self.head_dim = part.dim // part.num_heads
        self.qkv = self._layer(attention.qkv, branch)
        pixels = torch.arange(size[0] * size[1]).view(size)
        bias = part.pos(part.rpe_biases)[part.relative_position_index].permute(2, 0, 1)[None]
        sides = (part.H_sp, part.W_sp)
        if attention.attn_mask_0 is None:
            pixels = _window_partition(pixels, *sides)
            self.counts = [len(pixels)]
        else:
            shift = attention.shift_size if branch == 0 else attention.shift_size[::-1]
            pixels = _window_partition(pixels.roll((-shift[0], -shift[1]), (0, 1)), *sides)
            masks, order, self.counts = _masks(size, sides, shift)
            pixels = pixels[order]
            bias = bias + masks[:, None].to(bias)
        self.window = pixels.shape[1]
        self.register_buffer("bias", bias.contiguous(), persistent=False)
        self.register_buffer("pixels", pixels.flatten().to(bias.device), persistent=False)
        self.register_buffer("places", pixels.flatten().argsort().to(bias.device), persistent=False)

    def _layer(self, qkv: nn.Linear, branch: int) -> nn.Linear:
        """The rows of q, k and v of this branch, with zeros for the padding of each head."""

        def padded(rows: Tensor) -> Tensor:
            heads = rows.reshape(3, 2, self.heads, self.head_dim, -1)[:, branch]
            return F.pad(heads, (0, 0, 0, -self.head_dim % _HEAD)).flatten(0, 2)

        return _linear(padded(qkv.weight), None if qkv.bias is None else padded(qkv.bias)[:, 0])

    def forward(self, x: Tensor) -> Tensor:
        qkv = self.qkv(x.index_select(1, self.pixels))
        qkv = qkv.unflatten(2, (3, self.heads, -1)).unflatten(1, (-1, self.window))
        results: list[Tensor] = []
        for windows, bias in zip(qkv.split(self.counts, 1), self.bias, strict=True):
            q, k, v = windows.flatten(0, 1).permute(2, 0, 3, 1, 4)
            inputs = AttentionInputs((q[None], k[None], v[None]), bias[None].to(q.dtype), self.scale)
            result = fastest_on_cpu(inputs, fixed="sdpa") if q.device.type == "cpu" else sdpa(inputs)
            results.append(result.transpose(1, 2).unflatten(0, (len(x), -1)).flatten(1, 2))
        return torch.cat(results, 1).index_select(1, self.places)[..., : self.head_dim]


class _ChannelAttention(_Interaction):
    """The channels of a head attend to each other over all pixels (adaptive channel attention)."""

    def __init__(self, attention: Any) -> None:
        super().__init__(attention)
        dim = attention.proj.in_features
        self.q, self.k, self.v = (_rows(attention.qkv, slice(i * dim, (i + 1) * dim)) for i in range(3))
        self.temperature = attention.temperature

    def forward(self, x: Tensor, size: tuple[int, int]) -> Tensor:
        q, k, v = self.q(x), self.k(x), self.v(x)
        norm_q, norm_k = (y.square().sum(1).sqrt().clamp_min(1e-12) for y in (q, k))
        scores = q.transpose(1, 2) @ k / (norm_q[:, :, None] * norm_k[:, None])
        heads = (len(self.temperature), -1)
        scores = scores.unflatten(2, heads).unflatten(1, heads).diagonal(dim1=1, dim2=3)  # [B, d, d, h]
        attention = (scores * self.temperature.flatten()).softmax(2)
        # One product of all heads: the matrix has blocks of [d, d] along its diagonal.
        matrix = torch.stack([torch.block_diag(*heads.unbind(2)) for heads in attention])
        return self.interact(self.convolve(v, size), v @ matrix.transpose(1, 2).to(v.dtype))


class _FeedForward(nn.Module):
    """Spatial-gate feed-forward network (SGFN), section 3.2 of DAT."""

    def __init__(self, ffn: Any) -> None:
        super().__init__()
        half = ffn.sg.conv.in_channels
        self.values, self.gates = _rows(ffn.fc1, slice(half)), _rows(ffn.fc1, slice(half, None))
        self.norm, self.conv, self.fc2 = ffn.sg.norm, _channels_last(ffn.sg.conv), ffn.fc2

    def forward(self, x: Tensor, size: tuple[int, int]) -> Tensor:
        gates = _convolve(self.conv, self.norm(F.gelu(self.gates(x))), size)
        return _apply(self.fc2, F.gelu(self.values(x)) * gates)


def _window_partition(image: Tensor, height: int, width: int) -> Tensor:
    """`[H, W]` -> `[windows, height·width]`."""
    rows = image.unflatten(1, (-1, width)).unflatten(0, (-1, height))
    return rows.transpose(1, 2).reshape(-1, height * width)


def _masks(size: tuple[int, int], sides: tuple[int, int], shift: tuple[int, int]) -> tuple[Tensor, Tensor, list[int]]:
    """Masks of shifted windows, -100 between pixels that are no neighbours in the image.

    Returns:
        The different masks `[kinds, n, n]`, the windows in the order of their masks, and the number of windows of each.
    """
    rows, columns = (torch.zeros(length, dtype=torch.long) for length in size)
    for region, (side, shifted) in zip((rows, columns), zip(sides, shift, strict=True), strict=True):
        region[-side:] = 1
        region[-shifted:] = 2
    regions = _window_partition(3 * rows[:, None] + columns, *sides)
    regions, kinds = (regions - regions[:, :1]).unique(dim=0, return_inverse=True)
    masks = (regions[:, None] != regions[:, :, None]) * -100.0
    return masks, kinds.argsort(stable=True), kinds.bincount().tolist()


def _convolve(conv: nn.Conv2d, x: Tensor, size: tuple[int, int]) -> Tensor:
    return conv(x.transpose(1, 2).unflatten(2, size)).flatten(2).transpose(1, 2)


def _channels_last(conv: nn.Conv2d) -> nn.Conv2d:
    """A convolution that gives its maps in this order in any case; PyTorch recognises it by the weights."""
    return deepcopy(conv).to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]


def _rows(layer: nn.Linear, rows: slice) -> nn.Linear:
    """The layer with some of its outputs."""
    return _linear(layer.weight[rows], None if layer.bias is None else layer.bias[rows])


def _pointwise(conv: nn.Conv2d, norm: nn.BatchNorm2d, act: nn.Module, last: nn.Conv2d) -> nn.Sequential:
    """Convolutions of 1×1 pixel as linear layers."""
    first = fuse_conv_bn_eval(conv, norm)
    return nn.Sequential(_linear(first.weight.flatten(1), first.bias), act, _linear(last.weight.flatten(1), last.bias))


class _Linear(nn.Linear):
    def forward(self, input: Tensor) -> Tensor:
        return _apply(self, input)


def _apply(layer: nn.Linear, x: Tensor) -> Tensor:
    return linear(x, layer.weight, layer.bias, fixed="blas")


def _linear(weight: Tensor, bias: Tensor | None) -> nn.Linear:
    layer = _Linear(weight.shape[1], weight.shape[0], bias=bias is not None, device=weight.device, dtype=weight.dtype)
    with torch.no_grad():
        layer.weight.copy_(weight)
        if bias is not None:
            layer.bias.copy_(bias)
    return layer
