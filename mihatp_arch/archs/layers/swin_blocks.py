"""The Swin layer of ResShift's U-Net (Yue et al., NeurIPS 2023): Swin transformer blocks with group normalisation.

The official attn_mask of shifted windows separates regions in the vertical direction only. Here it separates them in
both directions, as in Swin (Liu et al., ICCV 2021), so that the official weights do not give the official numbers.
"""

from dataclasses import dataclass

from torch import Tensor, nn

from mihatp_arch.archs.layers.attention import WindowAttention
from mihatp_arch.archs.layers.windows import WindowPartition, relative_position_index, shifted_window_attn_mask
from mihatp_arch.errors import UserError


@dataclass(frozen=True)
class SwinOptions:
    """Options that all Swin layers of one network share, by the names of the option file.

    Raises:
        UserError: the options do not fit together.
    """

    swin_embed: int
    swin_heads: int
    swin_depth: int
    window_size: int
    mlp_ratio: float
    norm_groups: int
    dropout: float

    def __post_init__(self) -> None:
        for name in ("swin_embed", "swin_heads", "swin_depth", "norm_groups"):
            if getattr(self, name) < 1:
                raise UserError(f"network: {name} {getattr(self, name)} must be 1 or more")
        for name in ("swin_heads", "norm_groups"):
            if self.swin_embed % getattr(self, name):
                raise UserError(
                    f"network: swin_embed {self.swin_embed} is not a multiple of {name} {getattr(self, name)}"
                )
        if self.window_size < 2:
            raise UserError(f"network: window_size {self.window_size} is too small; 2 is the least")
        if not 1 <= self.swin_embed * self.mlp_ratio < float("inf"):
            raise UserError(f"network: mlp_ratio {self.mlp_ratio} must be a positive number, with 1 channel at least")
        if not 0 <= self.dropout < 1:
            raise UserError(f"network: dropout {self.dropout} must be 0 or more, and below 1")


class SwinBlock(nn.Module):
    """Attention and an MLP of 1×1 convolutions, each after a group normalisation and with a skip: `[B, C, H, W]`.

    x = x + attention(GN(x));  x = x + MLP(GN(x));  H and W are multiples of the window

    Args:
        options: of the layer.
        shift_size: cyclic shift of the windows in pixels, 0 for none.
    """

    relative_position_index: Tensor
    attn_mask: Tensor

    def __init__(self, options: SwinOptions, *, shift_size: int) -> None:
        from timm.layers import Mlp  # timm takes 0.7 s to import

        super().__init__()
        dim, window_size = options.swin_embed, options.window_size
        self.norm1 = nn.GroupNorm(options.norm_groups, dim)
        self.attn = WindowAttention(
            dim, num_heads=options.swin_heads, window_size=window_size, qkv_bias=True, fused=True
        )
        self.shift_size = shift_size
        self.drop = nn.Dropout(options.dropout)
        self.norm2 = nn.GroupNorm(options.norm_groups, dim)
        self.mlp = Mlp(dim, int(dim * options.mlp_ratio), drop=options.dropout, use_conv=True)
        self.register_buffer("relative_position_index", relative_position_index(window_size), persistent=False)
        self.register_buffer("attn_mask", shifted_window_attn_mask(window_size, shift_size), persistent=False)

    def window_attention(self, x: Tensor) -> Tensor:
        """The attention, `[B, H, W, C]`. A map one window high or wide is not shifted: that would divide the window."""
        batch, height, width = x.shape[:3]
        window_size = self.attn.window_size
        shift_size = 0 if min(height, width) == window_size else self.shift_size
        partition = WindowPartition.of(
            (batch, height, width), window_size=window_size, shift_size=shift_size, device=x.device
        )
        return self.attn(x, self.relative_position_index, self.attn_mask, partition)

    def forward(self, x: Tensor) -> Tensor:
        attention = self.window_attention(self.norm1(x).permute(0, 2, 3, 1))
        x = x + self.drop(attention.permute(0, 3, 1, 2))
        return x + self.mlp(self.norm2(x))


class SwinLayer(nn.Module):
    """1×1 convolution, `swin_depth` blocks of which every second is shifted, 1×1 convolution: `[B, C, H, W]`.

    The blocks have skips, the layer as a whole has none.

    Args:
        channels: C.
        options: of the blocks.
    """

    def __init__(self, channels: int, options: SwinOptions) -> None:
        super().__init__()
        shift_sizes = (0, options.window_size // 2)
        self.embed = nn.Conv2d(channels, options.swin_embed, 1)
        self.blocks = nn.Sequential(
            *(SwinBlock(options, shift_size=shift_sizes[i % 2]) for i in range(options.swin_depth))
        )
        self.unembed = nn.Conv2d(options.swin_embed, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.unembed(self.blocks(self.embed(x)))
