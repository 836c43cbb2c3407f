"""The Swin layer of ResShift's U-Net (Yue et al., NeurIPS 2023): Swin transformer blocks with group normalisation.

The official mask of the shifted windows parts regions vertically only; here it parts them both ways, as in Swin (Liu et
al., ICCV 2021). So the official weights would not give the official numbers.
"""

from dataclasses import dataclass

import torch
from einops import rearrange
from timm.layers import Mlp
from torch import Tensor, nn

from mihatp_arch.archs.attention import RelativeBias, attend, shift_masks, window_index
from mihatp_arch.errors import UserError


@dataclass(frozen=True)
class SwinOptions:
    """What every Swin layer of one network shares, by the names of the option file.

    Raises:
        UserError: options that do not fit together.
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


class SwinAttention(RelativeBias):
    """(Shifted) window self-attention, (S)W-MSA: BxHxWxC -> BxHxWxC, H and W multiples of the window.

    One call of the attention kernel for all windows. An axis that one window spans is not shifted: all its pixels see
    each other as it is.

    Args:
        options: the layer's.
        shift: cyclic shift of the windows, 0 for none.
    """

    index: Tensor
    masks: Tensor

    def __init__(self, options: SwinOptions, *, shift: int) -> None:
        super().__init__((2 * options.window_size - 1) ** 2, options.swin_heads)
        self.num_heads, self.window_size, self.shift = options.swin_heads, options.window_size, shift
        self.qkv = nn.Linear(options.swin_embed, 3 * options.swin_embed)
        self.proj = nn.Linear(options.swin_embed, options.swin_embed)
        self.register_buffer("index", window_index(options.window_size), persistent=False)
        self.register_buffer("masks", shift_masks(options.window_size, shift), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        ws = self.window_size
        rows, columns = x.shape[1] // ws, x.shape[2] // ws
        shifts = [self.shift if windows > 1 else 0 for windows in (rows, columns)]
        qkv = torch.roll(self.qkv(x), [-shift for shift in shifts], (1, 2)) if any(shifts) else self.qkv(x)
        q, k, v = rearrange(
            qkv, "b (i y) (j x) (t h d) -> t b (i j) h (y x) d", t=3, h=self.num_heads, y=ws, x=ws
        ).unbind()
        bias = self.bias(self.index)
        # the kernel takes one batch dimension before the heads; windows that differ in their mask are heads to it
        if any(shifts):
            bias = (bias + self._mask(rows, columns)).flatten(0, 1)
            merged = 1
        else:
            merged = 0
        q, k, v = (part.flatten(merged, merged + 1) for part in (q, k, v))
        out = attend(q, k, v, bias[None], fused=True)
        out = rearrange(
            out.reshape(x.shape[0], rows * columns, self.num_heads, ws**2, -1),
            "b (i j) h (y x) d -> b (i y) (j x) (h d)",
            i=rows,
            y=ws,
        )
        return self.proj(torch.roll(out, shifts, (1, 2)) if any(shifts) else out)

    def _mask(self, rows: int, columns: int) -> Tensor:
        """What each window adds to its scores: (rows·columns, 1, n, n), n = window².

        Only the last windows of a shifted axis join pixels that are not neighbours.
        """
        row, column = (
            ((torch.arange(1, count + 1, device=self.masks.device) == count) & (count > 1)).long()
            for count in (rows, columns)
        )
        return self.masks[row[:, None], column[None, :]].flatten(0, 1)[:, None]

    def extra_repr(self) -> str:
        return f"window_size={self.window_size}, shift={self.shift}, heads={self.num_heads}"


class SwinBlock(nn.Module):
    """Attention and an MLP of 1×1 convolutions, each after a group normalisation and with a skip: BxCxHxW -> BxCxHxW.

    x = x + attention(GN(x));  x = x + MLP(GN(x))
    """

    def __init__(self, options: SwinOptions, *, shift: int) -> None:
        super().__init__()
        dim, drop = options.swin_embed, options.dropout
        self.norm1 = nn.GroupNorm(options.norm_groups, dim)
        self.attn = SwinAttention(options, shift=shift)
        self.drop = nn.Dropout(drop)
        self.norm2 = nn.GroupNorm(options.norm_groups, dim)
        self.mlp = Mlp(dim, int(dim * options.mlp_ratio), drop=drop, use_conv=True)

    def forward(self, x: Tensor) -> Tensor:
        attended = self.attn(self.norm1(x).permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
        x = x + self.drop(attended)
        return x + self.mlp(self.norm2(x))


class SwinLayer(nn.Module):
    """1×1 convolution, `swin_depth` blocks of which every second is shifted, 1×1 convolution: BxCxHxW -> BxCxHxW.

    No skip goes around the layer: it is the blocks that have skips.

    Args:
        channels: C.
        options: of the blocks.
    """

    def __init__(self, channels: int, options: SwinOptions) -> None:
        super().__init__()
        shifts = (0, options.window_size // 2)
        self.embed = nn.Conv2d(channels, options.swin_embed, 1)
        self.blocks = nn.Sequential(*(SwinBlock(options, shift=shifts[i % 2]) for i in range(options.swin_depth)))
        self.unembed = nn.Conv2d(options.swin_embed, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.unembed(self.blocks(self.embed(x)))
