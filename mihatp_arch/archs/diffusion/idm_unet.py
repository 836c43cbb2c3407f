"""The U-Net of IDM (Gao et al., CVPR 2023): SR3's, told the noise level, with implicit functions for upsampling."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mihatp_arch.archs.diffusion.idm_blocks import BiasedLeakyReLU, Modulation

MAX_PERIOD = 10_000  # of the sinusoids that encode the noise level


@dataclass(frozen=True)
class UNetOptions:
    """Options of `UNet`: see `IDM` there, which checks them."""

    widths: Sequence[int]
    num_blocks: int
    attention_levels: Sequence[int]
    norm_groups: int
    dropout: float
    hidden: int
    mlp_gelu: bool


def encode_level(gamma: Tensor, dim: int) -> Tensor:
    """B noise levels in [0, 1] -> Bxdim, float32 in [-1, 1]: sines, then cosines, falling in frequency; even `dim`."""
    frequencies = MAX_PERIOD ** (-torch.arange(dim // 2, device=gamma.device) / (dim // 2))
    angles = gamma[:, None].float() * frequencies
    return torch.cat([angles.sin(), angles.cos()], 1)


class Attention(nn.Module):
    """Self-attention of one head over all pixels, added to its input: BxCxHxW -> the same."""

    def __init__(self, channels: int, norm_groups: int) -> None:
        super().__init__()
        self.norm = nn.GroupNorm(norm_groups, channels)
        self.qkv = nn.Conv2d(channels, 3 * channels, 1, bias=False)
        self.out = nn.Conv2d(channels, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = self.qkv(self.norm(x)).flatten(2).transpose(1, 2).unsqueeze(1).chunk(3, -1)  # Bx1xNxC each
        found = F.scaled_dot_product_attention(q, k, v)
        return x + self.out(found.squeeze(1).transpose(1, 2).reshape(x.shape))


def norm_conv(in_channels: int, out_channels: int, *, norm_groups: int, dropout: float = 0) -> nn.Sequential:
    """BxCxHxW -> BxC'xHxW: group normalisation, Swish, dropout, 3×3 convolution."""
    conv = nn.Conv2d(in_channels, out_channels, 3, padding=1)
    return nn.Sequential(nn.GroupNorm(norm_groups, in_channels), nn.SiLU(), nn.Dropout(dropout), conv)


class ResBlock(nn.Module):
    """SR3's residual block, BxCxHxW and the noise embedding -> BxC'xHxW; attention after it if it `attends`.

    out = skip(x) + conv(Swish(GN(conv(Swish(GN(x))) + linear(noise))))
    """

    def __init__(self, in_channels: int, out_channels: int, *, attends: bool, options: UNetOptions) -> None:
        super().__init__()
        groups = options.norm_groups
        self.first = norm_conv(in_channels, out_channels, norm_groups=groups)
        self.noise = nn.Linear(options.widths[0], out_channels)
        self.second = norm_conv(out_channels, out_channels, norm_groups=groups, dropout=options.dropout)
        self.skip = nn.Identity() if in_channels == out_channels else nn.Conv2d(in_channels, out_channels, 1)
        self.attend = Attention(out_channels, groups) if attends else nn.Identity()

    def forward(self, x: Tensor, noise: Tensor) -> Tensor:
        h = self.second(self.first(x) + self.noise(noise)[..., None, None])
        return self.attend(self.skip(x) + h)


class Level(nn.Module):
    """The residual blocks of one scale, in a row.

    Args:
        in_channels: of what each block sees, the features that are joined included.
        out_channels: of every block.
        attends: whether each has attention.
        options: of the blocks.
    """

    def __init__(self, in_channels: Sequence[int], out_channels: int, *, attends: bool, options: UNetOptions) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(
            ResBlock(channels, out_channels, attends=attends, options=options) for channels in in_channels
        )

    def forward(self, x: Tensor, noise: Tensor, joined: Sequence[Tensor] = ()) -> list[Tensor]:
        """What each block gives; block i sees joined[i] too, if there are any."""
        found: list[Tensor] = []
        for i, block in enumerate(self.blocks):
            x = block(torch.cat([x, joined[i]], 1) if joined else x, noise)
            found.append(x)
        return found


def offsets(size: int, source: int, device: torch.device) -> Tensor:
    """How far each of `size` pixels lies from the centre of its nearest one of `source`: `size` values in [-1, 1].

    ±1 is the border of a source pixel.
    """
    position = (torch.arange(size, device=device) + 0.5) * (source / size)
    return 2 * (position - position.floor()) - 1


class ImplicitUpsample(nn.Module):
    """An implicit function, asked at every pixel of the size that is wanted: BxCxhxw -> BxCxHxW.

    It sees the nearest feature of the modulated input and the offset from its centre (no unfolding, no ensemble, no
    cell, as the authors train it).

    Args:
        channels: C.
        hidden: channels between the two layers of its MLP.
        gelu: an activation between them; the authors' code has none.
    """

    def __init__(self, channels: int, *, hidden: int, gelu: bool) -> None:
        super().__init__()
        self.activate = BiasedLeakyReLU(channels)
        # 1×1 convolutions: linear layers of every pixel
        self.mlp = nn.Sequential(
            nn.Conv2d(channels + 2, hidden, 1), nn.GELU() if gelu else nn.Identity(), nn.Conv2d(hidden, channels, 1)
        )

    def forward(self, x: Tensor, modulation: Modulation, size: Sequence[int]) -> Tensor:
        (height, width), device = size, x.device
        x = self.activate(x * modulation.scale + modulation.shift)
        down = offsets(height, x.shape[2], device)[:, None].expand(height, width)
        right = offsets(width, x.shape[3], device).expand(height, width)
        where = torch.stack([down, right]).to(x.dtype).expand(len(x), 2, height, width)
        return self.mlp(torch.cat([F.interpolate(x, (height, width), mode="nearest-exact"), where], 1))


class UNet(nn.Module):
    """ε_θ: Bx6xHxW (condition, x_t), noise levels (B) in [0, 1] and modulations -> Bx3xHxW.

    H and W are multiples of 2^(levels - 1). A level of the encoder is `num_blocks` residual blocks, one of the decoder
    a block more, each of which sees the encoder's feature of its size.

    Args:
        options: see `IDM`.
    """

    def __init__(self, options: UNetOptions) -> None:
        super().__init__()
        widths = options.widths
        self.dim, self.num_blocks = widths[0], options.num_blocks
        now = self.dim
        self.embed = nn.Sequential(nn.Linear(now, 4 * now), nn.SiLU(), nn.Linear(4 * now, now))
        self.enter = nn.Conv2d(6, now, 3, padding=1)
        self.encoder, self.down = nn.ModuleList(), nn.ModuleList()
        skips = [now]
        for level, width in enumerate(widths):
            if level:
                self.down.append(nn.Conv2d(now, now, 3, stride=2, padding=1))
                skips.append(now)
            sees = [now] + [width] * (options.num_blocks - 1)
            self.encoder.append(Level(sees, width, attends=level in options.attention_levels, options=options))
            skips += [width] * options.num_blocks
            now = width
        self.middle = nn.ModuleList(ResBlock(now, now, attends=one, options=options) for one in (True, False))
        decoder: list[nn.Module] = []
        for level, width in reversed(list(enumerate(widths))):
            sees = [one + skips.pop() for one in (now, *[width] * options.num_blocks)]
            decoder.append(Level(sees, width, attends=level in options.attention_levels, options=options))
            now = width
        self.decoder = nn.ModuleList(reversed(decoder))
        self.up = nn.ModuleList(ImplicitUpsample(w, hidden=options.hidden, gelu=options.mlp_gelu) for w in widths[1:])
        self.leave = norm_conv(now, 3, norm_groups=options.norm_groups)

    def forward(self, x: Tensor, gamma: Tensor, modulations: Sequence[Modulation]) -> Tensor:
        with torch.autocast(x.device.type, enabled=False):  # in bf16 all levels above 0.998 would be one
            noise = self.embed(encode_level(gamma, self.dim))
        skips = [self.enter(x)]
        for i, level in enumerate(self.encoder):
            if i:
                skips.append(self.down[i - 1](skips[-1]))
            skips += level(skips[-1], noise)
        x = skips[-1]
        for block in self.middle:
            x = block(x, noise)
        for i, level in reversed(list(enumerate(self.decoder))):
            joined = [skips.pop() for _ in range(self.num_blocks + 1)]
            x = level(x, noise, joined)[-1]
            if i:
                x = self.up[i - 1](x, modulations[i - 1], skips[-1].shape[-2:])
        return self.leave(x)
