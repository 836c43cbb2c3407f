"""The U-Net of IDM (Gao et al., CVPR 2023): SR3's, but conditioned on the noise level, with implicit upsampling."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mihatp_arch.archs.diffusion.idm_blocks import BiasedLeakyReLU, Modulation

MAX_PERIOD = 10_000  # of the sinusoids that encode the noise level


@dataclass(frozen=True)
class UNetOptions:
    """Options of `UNet`; `IDM` explains and checks them."""

    widths: Sequence[int]
    num_blocks: int
    attention_levels: Sequence[int]
    norm_groups: int
    dropout: float
    hidden: int
    mlp_gelu: bool


def encode_level(gamma: Tensor, dim: int) -> Tensor:
    """Noise levels `[B]` in [0, 1] -> `[B, dim]`, float32: sines, then cosines, of falling frequency; even `dim`."""
    frequencies = MAX_PERIOD ** (-torch.arange(dim // 2, device=gamma.device) / (dim // 2))
    angles = gamma[:, None].float() * frequencies
    return torch.cat([angles.sin(), angles.cos()], 1)


class Attention(nn.Module):
    """Self-attention of one head over all pixels, added to its input: `[B, C, H, W]`."""

    def __init__(self, channels: int, norm_groups: int) -> None:
        super().__init__()
        self.norm = nn.GroupNorm(norm_groups, channels)
        self.qkv = nn.Conv2d(channels, 3 * channels, 1, bias=False)
        self.out = nn.Conv2d(channels, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = self.qkv(self.norm(x)).flatten(2).transpose(1, 2).unsqueeze(1).chunk(3, -1)  # [B, 1, N, C] each
        attention = F.scaled_dot_product_attention(q, k, v)
        return x + self.out(attention.squeeze(1).transpose(1, 2).reshape(x.shape))


def norm_conv(in_channels: int, out_channels: int, *, norm_groups: int, dropout: float = 0) -> nn.Sequential:
    """Group normalisation, Swish, dropout, 3×3 convolution: `[B, C, H, W]` -> `[B, C', H, W]`."""
    conv = nn.Conv2d(in_channels, out_channels, 3, padding=1)
    return nn.Sequential(nn.GroupNorm(norm_groups, in_channels), nn.SiLU(), nn.Dropout(dropout), conv)


class ResBlock(nn.Module):
    """SR3's residual block: `[B, C, H, W]` and the noise embedding -> `[B, C', H, W]`; then attention, or none.

    out = skip(x) + conv(Swish(GN(conv(Swish(GN(x))) + linear(noise))))
    """

    def __init__(self, in_channels: int, out_channels: int, *, has_attention: bool, options: UNetOptions) -> None:
        super().__init__()
        groups = options.norm_groups
        self.first = norm_conv(in_channels, out_channels, norm_groups=groups)
        self.noise = nn.Linear(options.widths[0], out_channels)
        self.second = norm_conv(out_channels, out_channels, norm_groups=groups, dropout=options.dropout)
        self.skip = nn.Identity() if in_channels == out_channels else nn.Conv2d(in_channels, out_channels, 1)
        self.attend = Attention(out_channels, groups) if has_attention else nn.Identity()

    def forward(self, x: Tensor, noise: Tensor) -> Tensor:
        h = self.second(self.first(x) + self.noise(noise)[..., None, None])
        return self.attend(self.skip(x) + h)


class Level(nn.Module):
    """The residual blocks of one scale, one after the other.

    Args:
        in_channels: input channels of each block, with the features of the skip connection.
        out_channels: output channels of every block.
        has_attention: whether each block has attention.
        options: options of the blocks.
    """

    def __init__(
        self, in_channels: Sequence[int], out_channels: int, *, has_attention: bool, options: UNetOptions
    ) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(
            ResBlock(channels, out_channels, has_attention=has_attention, options=options) for channels in in_channels
        )

    def forward(self, x: Tensor, noise: Tensor, skips: Sequence[Tensor] = ()) -> list[Tensor]:
        """The outputs of all blocks; block i also reads skips[i], if there are skips."""
        outputs: list[Tensor] = []
        for i, block in enumerate(self.blocks):
            x = block(torch.cat([x, skips[i]], 1) if skips else x, noise)
            outputs.append(x)
        return outputs


def offsets(size: int, source: int, device: torch.device) -> Tensor:
    """The offset of each of `size` pixels from the centre of its nearest source pixel: `[size]` in [-1, 1].

    ±1 is the border of a source pixel; `source` is their number.
    """
    position = (torch.arange(size, device=device) + 0.5) * (source / size)
    return 2 * (position - position.floor()) - 1


class ImplicitUpsample(nn.Module):
    """An implicit function, evaluated at every pixel of the output: `[B, C, h, w]` -> `[B, C, H, W]`.

    Its input is the nearest feature of the modulated map, and the offset from the centre of that feature. As in the
    authors' training there is no feature unfolding, no local ensemble and no cell decoding.

    Args:
        channels: C.
        hidden: channels between the two layers of the MLP.
        gelu: whether there is an activation between them; the authors' code has none.
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
        offset = torch.stack([down, right]).to(x.dtype).expand(len(x), 2, height, width)
        return self.mlp(torch.cat([F.interpolate(x, (height, width), mode="nearest-exact"), offset], 1))


class UNet(nn.Module):
    """ε_θ: condition and x_t `[B, 6, H, W]`, noise levels `[B]` in [0, 1] and modulations -> `[B, 3, H, W]`.

    H and W are multiples of 2^(levels - 1). A level of the encoder has `num_blocks` residual blocks. A level of the
    decoder has one block more, and each of them also reads an encoder feature of its size.

    Args:
        options: see `IDM`.
    """

    def __init__(self, options: UNetOptions) -> None:
        super().__init__()
        widths = options.widths
        self.dim, self.num_blocks = widths[0], options.num_blocks
        channels = self.dim
        self.embed = nn.Sequential(nn.Linear(channels, 4 * channels), nn.SiLU(), nn.Linear(4 * channels, channels))
        self.enter = nn.Conv2d(6, channels, 3, padding=1)
        self.encoder, self.down = nn.ModuleList(), nn.ModuleList()
        skips = [channels]
        for level, width in enumerate(widths):
            if level:
                self.down.append(nn.Conv2d(channels, channels, 3, stride=2, padding=1))
                skips.append(channels)
            inputs = [channels] + [width] * (options.num_blocks - 1)
            self.encoder.append(Level(inputs, width, has_attention=level in options.attention_levels, options=options))
            skips += [width] * options.num_blocks
            channels = width
        self.middle = nn.ModuleList(
            ResBlock(channels, channels, has_attention=has_attention, options=options)
            for has_attention in (True, False)
        )
        decoder: list[nn.Module] = []
        for level, width in reversed(list(enumerate(widths))):
            inputs = [own + skips.pop() for own in (channels, *[width] * options.num_blocks)]
            decoder.append(Level(inputs, width, has_attention=level in options.attention_levels, options=options))
            channels = width
        self.decoder = nn.ModuleList(reversed(decoder))
        self.up = nn.ModuleList(ImplicitUpsample(w, hidden=options.hidden, gelu=options.mlp_gelu) for w in widths[1:])
        self.leave = norm_conv(channels, 3, norm_groups=options.norm_groups)

    def forward(self, x: Tensor, gamma: Tensor, modulations: Sequence[Modulation]) -> Tensor:
        with torch.autocast(x.device.type, enabled=False):  # bf16 cannot tell noise levels above 0.998 apart
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
            level_skips = [skips.pop() for _ in range(self.num_blocks + 1)]
            x = level(x, noise, level_skips)[-1]
            if i:
                x = self.up[i - 1](x, modulations[i - 1], skips[-1].shape[-2:])
        return self.leave(x)
