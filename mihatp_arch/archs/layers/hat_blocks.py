"""The blocks of HAT (Chen et al., CVPR 2023): HAB, OCAB and the residual group RHAG, on maps `[B, H, W, C]`."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from torch import Tensor, nn

from mihatp_arch.archs.fast.checkpointing import checkpointed
from mihatp_arch.archs.fast.linear import Mlp
from mihatp_arch.archs.layers.attention import CAB, OverlappingAttention, WindowAttention
from mihatp_arch.archs.layers.drop_path import DropPath
from mihatp_arch.archs.layers.windows import WindowPartition, overlapping_window_size
from mihatp_arch.errors import UserError


@dataclass(frozen=True)
class BlockOptions:
    """Options that all blocks of one group share."""

    dim: int
    num_heads: int
    window_size: int
    compress_ratio: int
    squeeze_factor: int
    conv_scale: float
    overlap_ratio: float
    mlp_ratio: float
    qkv_bias: bool
    fused_attn: bool

    def __post_init__(self) -> None:
        """Refuse options that do not fit together, by the names of the option file."""
        if self.dim % self.num_heads:
            raise UserError(f"network: embed_dim {self.dim} is not a multiple of num_heads {self.num_heads}")
        for name in ("compress_ratio", "squeeze_factor"):
            if not 1 <= getattr(self, name) <= self.dim:
                raise UserError(f"network: {name} {getattr(self, name)} must lie between 1 and embed_dim {self.dim}")
        if self.overlap_ratio < 0 or not self.window_size * self.overlap_ratio <= 8 * self.window_size:
            raise UserError(f"network: overlap_ratio {self.overlap_ratio} must lie between 0 and 8")
        if self.window_size < 2:
            raise UserError(f"network: window_size {self.window_size} is too small; 2 is the least")
        if (overlapping_window_size(self.window_size, self.overlap_ratio) - self.window_size) % 2:
            raise UserError(
                f"network: overlap_ratio {self.overlap_ratio} of window_size {self.window_size} is not an even number "
                "of pixels; choose a ratio that is"
            )


@dataclass(frozen=True)
class WindowGeometry:
    """The windows of a batch of maps, which all blocks share (windows.py).

    Attributes:
        relative_position_index: of a window.
        overlapping_position_index: of a window and the wider window around it.
        attn_mask: of shifted windows.
        plain: the windows without a shift.
        shifted: the windows after a shift by half a window.
    """

    relative_position_index: Tensor
    overlapping_position_index: Tensor
    attn_mask: Tensor
    plain: WindowPartition
    shifted: WindowPartition


class HAB(nn.Module):
    """Hybrid attention block: x + (S)W-MSA(n) + conv_scale·CAB(n), n = Norm(x), then the MLP; `[B, H, W, C]`."""

    conv_scale: float | nn.Parameter

    def __init__(self, options: BlockOptions, *, shifted: bool, drop_path: float) -> None:
        super().__init__()
        self.shifted = shifted
        self.conv_scale = options.conv_scale
        self.norm1 = nn.LayerNorm(options.dim)
        self.attn = WindowAttention(
            options.dim,
            num_heads=options.num_heads,
            window_size=options.window_size,
            qkv_bias=options.qkv_bias,
            fused=options.fused_attn,
        )
        self.conv_block = CAB(options.dim, compress_ratio=options.compress_ratio, squeeze_factor=options.squeeze_factor)
        self.drop_path = DropPath(drop_path, calls=2) if drop_path else nn.Identity()
        self.norm2 = nn.LayerNorm(options.dim)
        self.mlp = Mlp(options.dim, int(options.dim * options.mlp_ratio), fused=options.fused_attn)

    def hybrid_attention(self, n: Tensor, windows: WindowGeometry) -> Tensor:
        """The attention branches on the normalised map n: SW-MSA(n) + α CAB(n)."""
        partition = windows.shifted if self.shifted else windows.plain
        window_attention = self.attn(n, windows.relative_position_index, windows.attn_mask, partition)
        return self.drop_path(window_attention) + self.conv_scale * self.conv_block(n)

    def forward(self, x: Tensor, windows: WindowGeometry) -> Tensor:
        x = x + self.hybrid_attention(self.norm1(x), windows)
        return x + self.drop_path(self.mlp(self.norm2(x)))


class OCAB(OverlappingAttention):
    """Overlapping cross-attention block with its MLP; `[B, H, W, C]`."""

    def __init__(self, options: BlockOptions) -> None:
        super().__init__(
            options.dim,
            num_heads=options.num_heads,
            window_size=options.window_size,
            overlap_ratio=options.overlap_ratio,
            qkv_bias=options.qkv_bias,
            fused=options.fused_attn,
        )
        self.norm1 = nn.LayerNorm(options.dim)
        self.norm2 = nn.LayerNorm(options.dim)
        self.mlp = Mlp(options.dim, int(options.dim * options.mlp_ratio), fused=options.fused_attn)

    def forward(self, x: Tensor, windows: WindowGeometry) -> Tensor:
        x = x + self.cross_attention(self.norm1(x), windows.overlapping_position_index)
        return x + self.mlp(self.norm2(x))


class AttenBlocks(nn.Module):
    """The blocks of one group (every second one shifted), then its OCAB."""

    def __init__(self, blocks: Sequence[HAB], overlap_attn: OCAB) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(blocks)
        self.overlap_attn = overlap_attn

    def forward(self, x: Tensor, windows: WindowGeometry, *, use_checkpoint: bool) -> Tensor:
        for block in (*self.blocks, self.overlap_attn):
            x = checkpointed(block, x, windows) if use_checkpoint else block(x, windows)
        return x


def residual_convolution(dim: int, resi_connection: Literal["1conv", "identity"]) -> nn.Module:
    """The layer at the end of a group and of all groups: a 3×3 convolution, or none."""
    return nn.Conv2d(dim, dim, 3, padding=1) if resi_connection == "1conv" else nn.Identity()


class RHAG(nn.Module):
    """Residual hybrid attention group: x + conv(OCAB(HAB_n(…HAB_1(x)))); `[B, H, W, C]`."""

    def __init__(
        self,
        options: BlockOptions,
        *,
        drop_paths: Sequence[float],
        resi_connection: Literal["1conv", "identity"],
        block: Callable[..., HAB] = HAB,
    ) -> None:
        super().__init__()
        self.residual_group = AttenBlocks(
            [block(options, shifted=i % 2 == 1, drop_path=rate) for i, rate in enumerate(drop_paths)], OCAB(options)
        )
        self.conv = residual_convolution(options.dim, resi_connection)

    def forward(self, x: Tensor, windows: WindowGeometry, *, use_checkpoint: bool) -> Tensor:
        deep = self.residual_group(x, windows, use_checkpoint=use_checkpoint)
        return x + self.conv(deep.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)
