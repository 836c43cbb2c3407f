"""Window, overlapping and channel attention as HAT has them (Chen et al., CVPR 2023): plain modules, no registry.

Feature maps are channels last, BxHxWxC; every module keeps the shape. Attention is softmax(q kᵀ / √d + bias) v, by the
fastest way (`fused=True`) or written out; both give the same numbers. Parameter names are HAT's: its checkpoints load.
"""

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from mihatp_arch.archs.fast.attention import attend
from mihatp_arch.archs.fast.checkpointing import Kept, convolve
from mihatp_arch.archs.fast.linear import FromHeads, HeadLinear
from mihatp_arch.archs.layers.windows import Partition, key_window, overlapping_windows


class RelativeBias(nn.Module):
    """A learned bias for every displacement inside a window, q, k, v and the last layer: base of the two attentions.

    Args:
        displacements: that there are.
        dim: channels C.
        num_heads: heads; divides C.
        qkv_bias: whether q, k, v have an additive bias.
        fused: the fast way, or the plain one.
    """

    def __init__(self, displacements: int, dim: int, *, num_heads: int, qkv_bias: bool, fused: bool) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.scale = (dim // num_heads) ** -0.5
        self.fused = fused
        self.relative_position_bias_table = nn.Parameter(torch.empty(displacements, num_heads))
        nn.init.trunc_normal_(self.relative_position_bias_table, std=0.02)
        if fused:
            self.qkv = HeadLinear(dim, head_dim=dim // num_heads, heads=3 * num_heads, bias=qkv_bias)
            self.proj = FromHeads(dim, head_dim=dim // num_heads)
        else:
            self.qkv, self.proj = nn.Linear(dim, 3 * dim, bias=qkv_bias), nn.Linear(dim, dim)

    def bias(self, index: Tensor) -> Tensor:
        """The table at `index` (NxM) as (heads, N, M)."""
        return self.relative_position_bias_table.t().index_select(1, index.flatten()).unflatten(1, index.shape)


class WindowAttention(RelativeBias):
    """(Shifted) window self-attention, (S)W-MSA: BxHxWxC -> BxHxWxC, H and W multiples of the window.

    Args:
        dim: channels C.
        num_heads: heads; divides C.
        window_size: width of the square windows.
        qkv_bias: whether q, k, v have an additive bias.
        fused: the fast way, or the plain one.
    """

    def __init__(self, dim: int, *, num_heads: int, window_size: int, qkv_bias: bool, fused: bool) -> None:
        super().__init__((2 * window_size - 1) ** 2, dim, num_heads=num_heads, qkv_bias=qkv_bias, fused=fused)
        self.window_size = window_size

    def forward(
        self, x: Tensor, index: Tensor, masks: Tensor, partition: Partition, kept: Kept | None = None
    ) -> Tensor:
        """Attend; `index` from `window_index`, `masks` from `shift_masks`, which only shifted partitions read."""
        n = self.window_size**2
        qkv = rearrange(self.qkv(partition.windows(x)), "(w n) (t h d) -> t w h n d", n=n, t=3, h=self.num_heads)
        counts, bias = partition.counts, self.bias(index)[None]
        mask = masks if len(counts) > 1 else None
        out = attend((qkv,), bias, scale=self.scale, fused=self.fused, masks=mask, counts=counts, kept=kept)
        return partition.maps(self.proj(rearrange(out, "w h n d -> (w n) (h d)")), x)

    def extra_repr(self) -> str:
        return f"window_size={self.window_size}, heads={self.num_heads}, fused={self.fused}"


class OverlappingAttention(RelativeBias):
    """Cross-attention from each window to the wider window around it: BxHxWxC -> BxHxWxC.

    Keys outside the image are zeros that do count, as in HAT.

    Args:
        dim: channels C.
        num_heads: heads; divides C.
        window_size: width of the query windows; H and W are multiples of it.
        overlap_ratio: the key windows are window_size·(1 + overlap_ratio) wide.
        qkv_bias: whether q, k, v have an additive bias.
        fused: the fast way, or the plain one.
    """

    def __init__(
        self, dim: int, *, num_heads: int, window_size: int, overlap_ratio: float, qkv_bias: bool, fused: bool
    ) -> None:
        key_size = key_window(window_size, overlap_ratio)
        displacements = (window_size + key_size - 1) ** 2
        super().__init__(displacements, dim, num_heads=num_heads, qkv_bias=qkv_bias, fused=fused)
        self.window_size = window_size
        self.key_size = key_size

    def attend_windows(self, x: Tensor, index: Tensor, kept: Kept | None = None) -> Tensor:
        """The attention with its output projection; `index` from `overlap_index`."""
        ws, heads = self.window_size, self.num_heads
        qkv = self.qkv(x)
        q, kv = qkv.tensor_split([qkv.shape[-1] // 3], -1)
        q = rearrange(q, "b (i y) (j x) (h d) -> 1 (b i j) h (y x) d", h=heads, y=ws, x=ws)
        kv = rearrange(overlapping_windows(kv, ws, self.key_size), "w m (t h d) -> t w h m d", t=2, h=heads)
        out = attend((q, kv), self.bias(index)[None], scale=self.scale, fused=self.fused, kept=kept)
        out = self.proj(rearrange(out, "w h n d -> w n (h d)"))
        i, j = x.shape[1] // ws, x.shape[2] // ws
        return rearrange(out, "(b i j) (y x) c -> b (i y) (j x) c", i=i, j=j, y=ws, x=ws)

    def extra_repr(self) -> str:
        return f"window_size={self.window_size}, key_size={self.key_size}, heads={self.num_heads}, fused={self.fused}"


class _PixelConv2d(nn.Conv2d):
    """A 1×1 convolution of maps of one pixel, BxCx1x1, as the linear layer it is: faster, and so is its gradient."""

    def forward(self, input: Tensor) -> Tensor:
        return F.linear(input.flatten(1), self.weight.flatten(1), self.bias)[:, :, None, None]


class ChannelAttention(nn.Module):
    """Squeeze-and-excite over the whole map, as in RCAN: BxCxHxW -> BxCxHxW."""

    def __init__(self, dim: int, squeeze_factor: int) -> None:
        super().__init__()
        self.attention = nn.Sequential(
            nn.AdaptiveAvgPool2d(1),
            _PixelConv2d(dim, dim // squeeze_factor, 1),
            nn.ReLU(),
            _PixelConv2d(dim // squeeze_factor, dim, 1),
            nn.Sigmoid(),
        )

    def forward(self, x: Tensor) -> Tensor:
        return x * self.attention(x)


class CAB(nn.Module):
    """Channel attention block: two 3×3 convolutions through C/compress_ratio channels, then channel attention.

    BxHxWxC -> BxHxWxC; the convolutions see the same memory as a channels-last BxCxHxW tensor.
    """

    def __init__(self, dim: int, *, compress_ratio: int, squeeze_factor: int) -> None:
        super().__init__()
        self.cab = nn.Sequential(
            nn.Conv2d(dim, dim // compress_ratio, 3, padding=1),
            nn.GELU(),
            nn.Conv2d(dim // compress_ratio, dim, 3, padding=1),
            ChannelAttention(dim, squeeze_factor),
        )

    def forward(self, x: Tensor, kept: Kept | None = None) -> Tensor:
        x = x.permute(0, 3, 1, 2)
        for layer in self.cab:
            x = convolve(layer, x, kept) if isinstance(layer, nn.Conv2d) else layer(x)
        return x.permute(0, 2, 3, 1)
