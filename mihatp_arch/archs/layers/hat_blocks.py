"""The blocks of HAT (Chen et al., CVPR 2023): HAB, OCAB and the residual group RHAG, on BxHxWxC maps."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from torch import Tensor, nn

from mihatp_arch.archs.fast.checkpointing import Kept, checkpointed
from mihatp_arch.archs.fast.linear import Mlp
from mihatp_arch.archs.layers.attention import CAB, OverlappingAttention, WindowAttention
from mihatp_arch.archs.layers.drop_path import DropPath
from mihatp_arch.archs.layers.windows import Partition, key_window
from mihatp_arch.errors import UserError


@dataclass(frozen=True)
class BlockOptions:
    """What every block of one group shares."""

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
        """Refuse what cannot be built, in the words of the option file."""
        if self.dim % self.num_heads:
            raise UserError(f"network: embed_dim {self.dim} is not a multiple of num_heads {self.num_heads}")
        for name in ("compress_ratio", "squeeze_factor"):
            if not 1 <= getattr(self, name) <= self.dim:
                raise UserError(f"network: {name} {getattr(self, name)} must lie between 1 and embed_dim {self.dim}")
        if self.overlap_ratio < 0 or not self.window_size * self.overlap_ratio <= 8 * self.window_size:
            raise UserError(f"network: overlap_ratio {self.overlap_ratio} must lie between 0 and 8")
        if self.window_size < 2:
            raise UserError(f"network: window_size {self.window_size} is too small; 2 is the least")
        if (key_window(self.window_size, self.overlap_ratio) - self.window_size) % 2:
            raise UserError(
                f"network: overlap_ratio {self.overlap_ratio} of window_size {self.window_size} is not an even number "
                "of pixels; choose a ratio that is"
            )


@dataclass(frozen=True)
class Positions:
    """What all blocks share on one batch of maps (windows.py): indices, masks, plain and shifted windows."""

    window: Tensor
    overlap: Tensor
    masks: Tensor
    plain: Partition
    shifted: Partition


class HAB(nn.Module):
    """Hybrid attention block: x + (S)W-MSA(n) + conv_scale·CAB(n), n = Norm(x), then the MLP; BxHxWxC -> BxHxWxC."""

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

    def mix(self, n: Tensor, positions: Positions, kept: Kept | None) -> Tensor:
        """The attention branches on the normalised map n: SW-MSA(n) + α CAB(n)."""
        partition = positions.shifted if self.shifted else positions.plain
        attended = self.attn(n, positions.window, positions.masks, partition, kept)
        return self.drop_path(attended) + self.conv_scale * self.conv_block(n, kept)

    def forward(self, x: Tensor, positions: Positions, kept: Kept | None = None) -> Tensor:
        x = x + self.mix(self.norm1(x), positions, kept)
        return x + self.drop_path(self.mlp(self.norm2(x)))


class OCAB(OverlappingAttention):
    """Overlapping cross-attention block with its MLP; BxHxWxC -> BxHxWxC."""

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

    def forward(self, x: Tensor, positions: Positions, kept: Kept | None = None) -> Tensor:
        x = x + self.attend_windows(self.norm1(x), positions.overlap, kept)
        return x + self.mlp(self.norm2(x))


class AttenBlocks(nn.Module):
    """The blocks of one group (every second one shifted), then its OCAB."""

    def __init__(self, blocks: Sequence[HAB], overlap_attn: OCAB) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(blocks)
        self.overlap_attn = overlap_attn

    def forward(self, x: Tensor, positions: Positions, *, use_checkpoint: bool) -> Tensor:
        for block in (*self.blocks, self.overlap_attn):
            x = checkpointed(block, x, positions) if use_checkpoint else block(x, positions)
        return x


class RHAG(nn.Module):
    """Residual hybrid attention group: x + conv(OCAB(HAB_n(…HAB_1(x)))); BxHxWxC -> BxHxWxC."""

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
        self.conv = nn.Conv2d(options.dim, options.dim, 3, padding=1) if resi_connection == "1conv" else nn.Identity()

    def forward(self, x: Tensor, positions: Positions, *, use_checkpoint: bool) -> Tensor:
        deep = self.residual_group(x, positions, use_checkpoint=use_checkpoint)
        return x + self.conv(deep.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)
