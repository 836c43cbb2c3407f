"""Deformable attention (Xia et al., CVPR 2022), the DAT of MiHATP's Eq. 4.

Queries are all pixels. Keys and values are read at a coarse grid of points, which the network moves. Three differences
from the official code: each point starts in the centre of its cell (some official points lie outside the image), so
that every size works; the offsets start at zero; the training patch fixes the sampling density for inputs of any size.
Cells are squares of `stride` pixels from the upper left corner, those that the convolution of the offsets reads. At the
right and the lower edge only a part of a cell may lie in the image; its point starts in the centre of this part.
"""

import math
from typing import Literal

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from mihatp_arch.archs.fast.attention import attention
from mihatp_arch.archs.fast.convolution import convolve
from mihatp_arch.archs.fast.linear import Linear
from mihatp_arch.errors import UserError

Position = Literal["lepe", "bias", "none"]


class DeformableAttention(nn.Module):
    """Multi-head attention to keys at learned positions: `[B, H, W, C]` in and out, any H, W >= 1.

    Args:
        dim: channels C.
        num_heads: heads; divides C.
        num_groups: channel groups that move their points independently; divides num_heads.
        sample_grid: G; a training patch is sampled at G×G points.
        train_size: width of the training patch in this map; the stride is ceil(train_size / G).
        offset_range: how far a point may move, in units of half its cell (2: to the neighbouring points).
        position: `lepe` adds a depth-wise convolution of the queries to the output (the official `dwc_pe`). `bias`
            adds a bias from a continuous table of displacements in cells, which is clamped beyond the training patch;
            it needs a tensor `[H·W, keys]`. `none` adds nothing.
        fused: the fastest way, or the written-out one.

    Raises:
        UserError: the numbers do not fit together.
    """

    def __init__(
        self,
        dim: int,
        *,
        num_heads: int,
        num_groups: int = 2,
        sample_grid: int = 8,
        train_size: int = 64,
        offset_range: float = 2.0,
        position: Position = "lepe",
        fused: bool = True,
    ) -> None:
        super().__init__()
        if dim % num_heads or num_heads % num_groups:
            raise UserError(
                f"network: deformable attention needs num_groups {num_groups} to divide num_heads {num_heads}, "
                f"and num_heads to divide embed_dim {dim}"
            )
        if sample_grid < 1 or train_size < 1:
            raise UserError(f"network: sample_grid {sample_grid} and img_size {train_size} must be at least 1")
        if position not in ("lepe", "bias", "none"):
            raise UserError(f"network: position {position!r} is not one of lepe, bias, none")
        self.num_heads = num_heads
        self.num_groups = num_groups
        self.stride = math.ceil(train_size / sample_grid)
        self.offset_range = offset_range
        self.position = position
        self.fused = fused

        group_dim = dim // num_groups
        layer = Linear if fused else nn.Linear
        self.q, self.kv, self.proj = layer(dim, dim), layer(dim, 2 * dim), layer(dim, dim)
        # A cell and one pixel around it: centred on the cell, and overlapping its neighbours.
        self.offset_conv = nn.Conv2d(
            group_dim, group_dim, self.stride + 2, stride=self.stride, padding=1, groups=group_dim
        )
        self.offset_norm = nn.LayerNorm(group_dim)
        self.offset_out = nn.Conv2d(group_dim, 2, 1, bias=False)
        nn.init.zeros_(self.offset_out.weight)
        if position == "lepe":
            self.lepe = nn.Conv2d(dim, dim, 3, padding=1, groups=dim)
        elif position == "bias":
            self.reach = max(math.ceil(train_size / self.stride) - 1, 1)
            self.bias_table = nn.Parameter(torch.empty(num_heads, 2 * self.reach + 1, 2 * self.reach + 1))
            nn.init.trunc_normal_(self.bias_table, std=0.01)

    def forward(self, x: Tensor) -> Tensor:
        q = self.q(x)
        points = self.points(q)
        k, v = self.sample(x, points)
        heads = rearrange(q, "b y x (h d) -> b h (y x) d", h=self.num_heads)
        bias = self.displacement_bias(points, x.shape[1], x.shape[2]) if self.position == "bias" else None
        out = attention(heads, k, v, bias=bias, scale=heads.shape[-1] ** -0.5, fused=self.fused)
        out = rearrange(out, "b h (y x) d -> b y x (h d)", y=x.shape[1])
        if self.position == "lepe":
            out = out + convolve(self.lepe, q.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)
        return self.proj(out)

    def points(self, q: Tensor) -> Tensor:
        """The sampling points of each group: `[B·groups, I, J, 2]`, as (x, y) in [-1, 1] over the image.

        They are fp32 in fp32 and in smaller types: bf16 would round them to whole pixels. In a fp64 network they are
        fp64.
        """
        grouped = rearrange(q.to(self.offset_conv.weight.dtype), "b y x (g c) -> (b g) c y x", g=self.num_groups)
        grouped = F.pad(grouped, (0, -q.shape[2] % self.stride, 0, -q.shape[1] % self.stride))
        with torch.autocast(q.device.type, enabled=False):  # bf16 is slower for a strided depth-wise convolution
            hidden = self.offset_norm(self.offset_conv(grouped).permute(0, 2, 3, 1))
            offset = self.offset_out(F.gelu(hidden).permute(0, 3, 1, 2)).permute(0, 2, 3, 1)
        offset = offset.to(torch.promote_types(offset.dtype, torch.float32))
        rows, columns = q.shape[1] / self.stride, q.shape[2] / self.stride
        half_cell = _xy(1 / columns, 1 / rows, offset)
        points = cell_centres(rows, columns, offset) + self.offset_range * offset.tanh() * half_cell
        return points.nan_to_num()  # grid_sample crashes on NaN on the CPU; a diverged network must end in a message

    def sample(self, x: Tensor, points: Tensor) -> tuple[Tensor, ...]:
        """Keys and values, read from x at the points: `[B, heads, I·J, d]` each."""
        grouped = rearrange(x, "b y x (g c) -> (b g) c y x", g=self.num_groups)
        sampled = F.grid_sample(
            grouped.to(points.dtype), points, mode="bilinear", padding_mode="border", align_corners=False
        )
        sampled = rearrange(sampled.to(x.dtype), "(b g) c i j -> b (i j) (g c)", g=self.num_groups)
        return rearrange(self.kv(sampled), "b n (t h d) -> t b h n d", t=2, h=self.num_heads).unbind(0)

    def displacement_bias(self, points: Tensor, H: int, W: int) -> Tensor:
        """The table at the displacement, in cells, of each pixel from each point: `[B, heads, H·W, I·J]`."""
        pixels = cell_centres(H, W, points).flatten(0, 1)
        cells = _xy(W / self.stride / 2, H / self.stride / 2, points)  # in a distance of 1, which is half of the image
        displacement = (pixels[None, :, None] - points.flatten(1, 2)[:, None]) * cells
        table = rearrange(self.bias_table.to(points.dtype), "(g h) y x -> g h y x", g=self.num_groups)
        table = table.repeat(points.shape[0] // self.num_groups, 1, 1, 1)
        bias = F.grid_sample(table, displacement / self.reach, padding_mode="border", align_corners=True)
        return rearrange(bias, "(b g) h n m -> b (g h) n m", g=self.num_groups)

    def extra_repr(self) -> str:
        return (
            f"heads={self.num_heads}, groups={self.num_groups}, stride={self.stride}, "
            f"offset_range={self.offset_range}, position={self.position}, fused={self.fused}"
        )


def _xy(x: float, y: float, like: Tensor) -> Tensor:
    """(x, y) on the device of `like`, without a copy from the CPU, which would wait for the GPU."""
    return torch.cat([like.new_full((1,), x), like.new_full((1,), y)])


def cell_centres(rows: float, columns: float, like: Tensor) -> Tensor:
    """Centres of the cells of an image that is `rows` cells high and `columns` cells wide.

    The cells begin at the upper left corner. Of the last row and column only a part may lie in the image; then the
    centre is that of this part.

    Returns:
        `[ceil(rows), ceil(columns), 2]`, as (x, y) in (-1, 1).
    """
    x, y = _centres(columns, like), _centres(rows, like)
    return torch.stack(torch.meshgrid(x, y, indexing="xy"), -1)


def _centres(cells: float, like: Tensor) -> Tensor:
    start = torch.arange(math.ceil(cells), device=like.device, dtype=like.dtype)
    return (start + (start + 1).clamp(max=cells)) / 2 * (2 / cells) - 1
