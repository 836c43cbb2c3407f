"""Window, overlapping and channel attention as HAT has them (Chen et al., CVPR 2023): plain modules, no registry.

Feature maps are channels last, `[B, H, W, C]`; every module keeps the shape. Attention is softmax(q kᵀ / √d + bias) v,
by the fastest way (`fused=True`) or written out; both give the same numbers. Parameter names are HAT's, so that its
checkpoints load.
"""

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from mihatp_arch.archs.fast.attention import attention_kvpacked, attention_qkvpacked
from mihatp_arch.archs.fast.convolution import convolve
from mihatp_arch.archs.fast.gathered_bias import GatheredBias
from mihatp_arch.archs.fast.linear import FromHeads, HeadLinear
from mihatp_arch.archs.layers.windows import WindowPartition, overlapping_window_partition, overlapping_window_size


class RelativePositionAttention(nn.Module):
    """Base of the two window attentions: the layers of q, k, v and the output, and the relative position bias.

    Args:
        displacements: number of displacements of a key from a query; each has a learned bias.
        dim: channels C.
        num_heads: heads; divides C.
        qkv_bias: whether q, k, v have an additive bias.
        fused: the fastest way, or the written-out one.
    """

    def __init__(self, displacements: int, dim: int, *, num_heads: int, qkv_bias: bool, fused: bool) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.scale = (dim // num_heads) ** -0.5
        self.fused = fused
        self.relative_position_bias_table = nn.Parameter(torch.empty(displacements, num_heads))
        nn.init.trunc_normal_(self.relative_position_bias_table, std=0.02)
        self._gathered_bias = GatheredBias()
        if fused:
            self.qkv = HeadLinear(dim, head_dim=dim // num_heads, heads=3 * num_heads, bias=qkv_bias)
            self.proj = FromHeads(dim, head_dim=dim // num_heads)
        else:
            self.qkv, self.proj = nn.Linear(dim, 3 * dim, bias=qkv_bias), nn.Linear(dim, dim)

    def relative_position_bias(self, relative_position_index: Tensor) -> Tensor:
        """The table at the index `[n, m]`: `[1, heads, n, m]`."""
        return self._gathered_bias(self.relative_position_bias_table, relative_position_index)


class WindowAttention(RelativePositionAttention):
    """(Shifted) window self-attention, (S)W-MSA: `[B, H, W, C]`, H and W multiples of the window.

    Args:
        dim: channels C.
        num_heads: heads; divides C.
        window_size: width of the square windows.
        qkv_bias: whether q, k, v have an additive bias.
        fused: the fastest way, or the written-out one.
    """

    def __init__(self, dim: int, *, num_heads: int, window_size: int, qkv_bias: bool, fused: bool) -> None:
        super().__init__((2 * window_size - 1) ** 2, dim, num_heads=num_heads, qkv_bias=qkv_bias, fused=fused)
        self.window_size = window_size

    def forward(
        self, x: Tensor, relative_position_index: Tensor, attn_mask: Tensor, partition: WindowPartition
    ) -> Tensor:
        """The attention inside each window of the partition.

        Args:
            x: `[B, H, W, C]`.
            relative_position_index: from the function of this name.
            attn_mask: from `shifted_window_attn_mask`; only a shifted partition uses it.
            partition: the windows of x.
        """
        qkv = self.qkv(partition.window_partition(x))
        out = attention_qkvpacked(
            rearrange(qkv, "(w n) (t h d) -> t w h n d", n=self.window_size**2, t=3, h=self.num_heads),
            bias=self.relative_position_bias(relative_position_index),
            scale=self.scale,
            fused=self.fused,
            attn_mask=attn_mask if len(partition.mask_counts) > 1 else None,
            mask_counts=partition.mask_counts,
        )
        return partition.window_reverse(self.proj(rearrange(out, "w h n d -> (w n) (h d)")), x)

    def extra_repr(self) -> str:
        return f"window_size={self.window_size}, heads={self.num_heads}, fused={self.fused}"


class OverlappingAttention(RelativePositionAttention):
    """Cross-attention from each window to the wider window around it: `[B, H, W, C]`.

    Keys outside the image are zeros and do count, as in HAT.

    Args:
        dim: channels C.
        num_heads: heads; divides C.
        window_size: width of the query windows; H and W are multiples of it.
        overlap_ratio: the key windows are window_size·(1 + overlap_ratio) wide.
        qkv_bias: whether q, k, v have an additive bias.
        fused: the fastest way, or the written-out one.
    """

    def __init__(
        self, dim: int, *, num_heads: int, window_size: int, overlap_ratio: float, qkv_bias: bool, fused: bool
    ) -> None:
        key_size = overlapping_window_size(window_size, overlap_ratio)
        displacements = (window_size + key_size - 1) ** 2
        super().__init__(displacements, dim, num_heads=num_heads, qkv_bias=qkv_bias, fused=fused)
        self.window_size = window_size
        self.key_size = key_size

    def cross_attention(self, x: Tensor, overlapping_position_index: Tensor) -> Tensor:
        """The attention with its output layer; the index comes from the function of this name."""
        ws, heads = self.window_size, self.num_heads
        qkv = self.qkv(x)
        q, kv = qkv.tensor_split([qkv.shape[-1] // 3], -1)
        kv_windows = overlapping_window_partition(kv, ws, self.key_size)
        out = attention_kvpacked(
            rearrange(q, "b (i y) (j x) (h d) -> (b i j) h (y x) d", h=heads, y=ws, x=ws),
            rearrange(kv_windows, "w m (t h d) -> t w h m d", t=2, h=heads),
            bias=self.relative_position_bias(overlapping_position_index),
            scale=self.scale,
            fused=self.fused,
        )
        out = self.proj(rearrange(out, "w h n d -> w n (h d)"))
        i, j = x.shape[1] // ws, x.shape[2] // ws
        return rearrange(out, "(b i j) (y x) c -> b (i y) (j x) c", i=i, j=j, y=ws, x=ws)

    def extra_repr(self) -> str:
        return f"window_size={self.window_size}, key_size={self.key_size}, heads={self.num_heads}, fused={self.fused}"


class _PixelConv2d(nn.Conv2d):
    """A 1×1 convolution of maps of one pixel, `[B, C, 1, 1]`, as a linear layer: forward and backward are faster."""

    def forward(self, input: Tensor) -> Tensor:
        return F.linear(input.flatten(1), self.weight.flatten(1), self.bias)[:, :, None, None]


class ChannelAttention(nn.Module):
    """Squeeze-and-excite over the whole map, as in RCAN: `[B, C, H, W]`."""

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

    `[B, H, W, C]` in and out. The convolutions see the same memory as a channels-last tensor `[B, C, H, W]`.
    """

    def __init__(self, dim: int, *, compress_ratio: int, squeeze_factor: int) -> None:
        super().__init__()
        self.cab = nn.Sequential(
            nn.Conv2d(dim, dim // compress_ratio, 3, padding=1),
            nn.GELU(),
            nn.Conv2d(dim // compress_ratio, dim, 3, padding=1),
            ChannelAttention(dim, squeeze_factor),
        )

    def forward(self, x: Tensor) -> Tensor:
        x = x.permute(0, 3, 1, 2)
        for layer in self.cab:
            x = convolve(layer, x) if isinstance(layer, nn.Conv2d) else layer(x)
        return x.permute(0, 2, 3, 1)
