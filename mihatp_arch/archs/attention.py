"""Window, overlapping and channel attention as HAT has them (Chen et al., CVPR 2023): plain modules, no registry.

Feature maps are channels last, BxHxWxC; every module keeps the shape. Attention is softmax(q kᵀ / √d + bias) v, through
PyTorch's fused kernel (`fused=True`) or written out; both give the same numbers. Parameter names are HAT's, so that its
checkpoints load.
"""

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

MASKED = -100.0  # what HAT adds to a score that must not count


def attend(q: Tensor, k: Tensor, v: Tensor, bias: Tensor | None, *, fused: bool) -> Tensor:
    """softmax(q kᵀ / √d + bias) v for q (…xNxd), k and v (…xMxd), and a bias that broadcasts to …xNxM."""
    bias = None if bias is None else bias.to(q.dtype)
    if fused:
        return F.scaled_dot_product_attention(q, k, v, attn_mask=bias)
    scores = (q * q.shape[-1] ** -0.5) @ k.transpose(-2, -1)
    return (scores if bias is None else scores + bias).softmax(-1) @ v


def _grid(width: int) -> Tensor:
    """Row and column of every position of a square window: (2, width²)."""
    return torch.stack(torch.meshgrid(torch.arange(width), torch.arange(width), indexing="ij")).flatten(1)


def window_index(window: int) -> Tensor:
    """Row of the bias table for each pair of a query and a key in one window: (n, n), n = window², int64."""
    relative = _grid(window)[:, :, None] - _grid(window)[:, None, :] + window - 1
    return relative[0] * (2 * window - 1) + relative[1]


def overlap_index(window: int, key: int) -> Tensor:
    """The same for queries of a window and keys of the wider one centred on it: (window², key²), int64.

    HAT's own index is negative in part and relies on Python's wrap-around; modulo the table's length it is this one.
    """
    relative = _grid(key)[:, None, :] - _grid(window)[:, :, None] + window - key + 1
    span = window + key - 1
    return (relative[0] * span + relative[1]) % span**2


def shift_masks(window_size: int, shift: int) -> Tensor:
    """What a shifted window adds to its scores: (2, 2, n, n), [is in the last row, is in the last column], n = window².

    After the cyclic shift only the last row and column of windows join pixels that are not neighbours, so four masks
    serve every image size.
    """
    edge = (torch.arange(window_size) >= window_size - shift).long()
    inside = torch.zeros_like(edge)
    masks = []
    for rows in (inside, edge):
        for columns in (inside, edge):
            region = (2 * rows[:, None] + columns[None, :]).flatten()
            masks.append((region[:, None] != region[None, :]) * MASKED)
    return torch.stack(masks).unflatten(0, (2, 2))


class RelativeBias(nn.Module):
    """A learned bias for every displacement inside a window; base of the two window attentions."""

    def __init__(self, displacements: int, num_heads: int) -> None:
        super().__init__()
        self.relative_position_bias_table = nn.Parameter(torch.empty(displacements, num_heads))
        nn.init.trunc_normal_(self.relative_position_bias_table, std=0.02)
        self._cached: tuple[tuple, Tensor, Tensor] | None = None

    def bias(self, index: Tensor) -> Tensor:
        """The table at `index` (NxM) as (heads, N, M); kept between forwards that need no gradient."""
        table = self.relative_position_bias_table
        if torch.compiler.is_compiling() or (torch.is_grad_enabled() and table.requires_grad):
            return self._gather(index)
        version = 0 if table.is_inference() else table._version
        key = (table.data_ptr(), version, table.dtype, table.device, torch.is_inference_mode_enabled())
        if self._cached is None or self._cached[0] != key:
            self._cached = (key, self._gather(index), table.detach())  # holds the memory that the key names
        return self._cached[1]

    def train(self, mode: bool = True) -> "RelativeBias":
        """Forget the kept bias: an EMA that writes through `.data` leaves no other trace than the next eval()."""
        self._cached = None
        return super().train(mode)

    def _gather(self, index: Tensor) -> Tensor:
        return (
            self.relative_position_bias_table[index.flatten()].unflatten(0, index.shape).permute(2, 0, 1).contiguous()
        )


class WindowAttention(RelativeBias):
    """(Shifted) window self-attention, (S)W-MSA: BxHxWxC -> BxHxWxC, H and W multiples of the window.

    Args:
        dim: channels C.
        num_heads: heads; divides C.
        window_size: width of the square windows.
        shift: cyclic shift of the windows, 0 for none.
        qkv_bias: whether q, k, v have an additive bias.
        fused: the fused kernel, or the plain path.
    """

    def __init__(self, dim: int, *, num_heads: int, window_size: int, shift: int, qkv_bias: bool, fused: bool) -> None:
        super().__init__((2 * window_size - 1) ** 2, num_heads)
        self.num_heads = num_heads
        self.window_size = window_size
        self.shift = shift
        self.fused = fused
        self.qkv = nn.Linear(dim, 3 * dim, bias=qkv_bias)
        self.proj = nn.Linear(dim, dim)

    def forward(self, x: Tensor, index: Tensor, masks: Tensor) -> Tensor:
        """Attend; `index` from `window_index`, `masks` from `shift_masks` (read only when shifted)."""
        bias = self.bias(index)
        if not self.shift:
            return self.proj(self._windows(self.qkv(x), bias))
        qkv = torch.roll(self.qkv(x), (-self.shift, -self.shift), (1, 2))
        rows = [
            torch.cat(
                [self._windows(part, bias + masks[last_row, last_column]) for last_column, part in self._ends(row, 2)],
                2,
            )
            for last_row, row in self._ends(qkv, 1)
        ]
        return self.proj(torch.roll(torch.cat(rows, 1), (self.shift, self.shift), (1, 2)))

    def _ends(self, x: Tensor, dim: int) -> list[tuple[int, Tensor]]:
        """All windows but the last one along `dim` (if there are any), and the last: (is the last, part)."""
        inner = x.shape[dim] - self.window_size
        parts = [(1, x.narrow(dim, inner, self.window_size))]
        return [(0, x.narrow(dim, 0, inner)), *parts] if inner else parts

    def _windows(self, qkv: Tensor, bias: Tensor) -> Tensor:
        ws = self.window_size
        q, k, v = rearrange(
            qkv, "b (i y) (j x) (t h d) -> t (b i j) h (y x) d", t=3, h=self.num_heads, y=ws, x=ws
        ).unbind()
        out = attend(q, k, v, bias[None], fused=self.fused)
        return rearrange(
            out, "(b i j) h (y x) d -> b (i y) (j x) (h d)", i=qkv.shape[1] // ws, j=qkv.shape[2] // ws, y=ws
        )

    def extra_repr(self) -> str:
        return f"window_size={self.window_size}, shift={self.shift}, heads={self.num_heads}, fused={self.fused}"


class OverlappingAttention(RelativeBias):
    """Cross-attention from each window to the wider window around it: BxHxWxC -> BxHxWxC.

    Keys outside the image are zeros that do count, as in HAT.

    Args:
        dim: channels C.
        num_heads: heads; divides C.
        window_size: width of the query windows; H and W are multiples of it.
        overlap_ratio: the key windows are window_size·(1 + overlap_ratio) wide.
        qkv_bias: whether q, k, v have an additive bias.
        fused: the fused kernel, or the plain path.
    """

    def __init__(
        self, dim: int, *, num_heads: int, window_size: int, overlap_ratio: float, qkv_bias: bool, fused: bool
    ) -> None:
        key_size = key_window(window_size, overlap_ratio)
        super().__init__((window_size + key_size - 1) ** 2, num_heads)
        self.num_heads = num_heads
        self.window_size = window_size
        self.key_size = key_size
        self.fused = fused
        self.qkv = nn.Linear(dim, 3 * dim, bias=qkv_bias)
        self.proj = nn.Linear(dim, dim)

    def attend_windows(self, x: Tensor, index: Tensor) -> Tensor:
        """The attention with its output projection; `index` from `overlap_index`."""
        ws, heads = self.window_size, self.num_heads
        q, kv = self.qkv(x).split([x.shape[-1], 2 * x.shape[-1]], -1)
        q = rearrange(q, "b (i y) (j x) (h d) -> (b i j) h (y x) d", h=heads, y=ws, x=ws)
        pad = (self.key_size - ws) // 2
        kv = F.pad(kv, (0, 0, pad, pad, pad, pad))
        kv = kv.unfold(1, self.key_size, ws).unfold(2, self.key_size, ws)  # b i j (t h d) y x
        k, v = rearrange(kv, "b i j (t h d) y x -> t (b i j) h (y x) d", t=2, h=heads).unbind()
        out = attend(q, k, v, self.bias(index)[None], fused=self.fused)
        out = rearrange(out, "(b i j) h (y x) d -> b (i y) (j x) (h d)", i=x.shape[1] // ws, j=x.shape[2] // ws, y=ws)
        return self.proj(out)

    def extra_repr(self) -> str:
        return f"window_size={self.window_size}, key_size={self.key_size}, heads={self.num_heads}, fused={self.fused}"


def key_window(window_size: int, overlap_ratio: float) -> int:
    """Width of OCAB's key windows, as HAT rounds it."""
    return int(window_size * overlap_ratio) + window_size


class ChannelAttention(nn.Module):
    """Squeeze-and-excite over the whole map, as in RCAN: BxCxHxW -> BxCxHxW."""

    def __init__(self, dim: int, squeeze_factor: int) -> None:
        super().__init__()
        self.attention = nn.Sequential(
            nn.AdaptiveAvgPool2d(1),
            nn.Conv2d(dim, dim // squeeze_factor, 1),
            nn.ReLU(),
            nn.Conv2d(dim // squeeze_factor, dim, 1),
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

    def forward(self, x: Tensor) -> Tensor:
        return self.cab(x.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)
