"""The U-Net of ResShift (Yue et al., NeurIPS 2023): residual blocks conditioned on the time step, and Swin layers.

It follows the authors' code, https://github.com/zsyOAOA/ResShift (models/unet.py, UNetModelSwin).
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from mihatp_arch.archs.layers.swin_blocks import SwinLayer, SwinOptions
from mihatp_arch.errors import UserError

MAX_PERIOD = 10_000  # of the sinusoids that encode the time step


def encode_time(t: Tensor, dim: int) -> Tensor:
    """Time steps `[B]` -> `[B, dim]`, float32: cosines, then sines, of t times falling frequencies; even `dim`."""
    frequencies = torch.exp(-math.log(MAX_PERIOD) * torch.arange(dim // 2, device=t.device) / (dim // 2))
    angles = t[:, None].float() * frequencies
    return torch.cat([angles.cos(), angles.sin()], 1)


class ResBlock(nn.Module):
    """Residual block whose second normalisation the time step scales and shifts: `[B, C, H, W]` -> `[B, C', H, W]`.

    h = conv(SiLU(GN(x)));  h = conv(SiLU(GN(h) · (1 + scale) + shift));  out = skip(x) + h

    The second convolution starts at 0; the skip is a 1×1 convolution where C' is not C.

    Args:
        in_channels: C.
        out_channels: C'.
        time_channels: channels of the time embedding; scale and shift are linear in it.
        options: norm_groups and dropout.
    """

    def __init__(self, in_channels: int, out_channels: int, *, time_channels: int, options: SwinOptions) -> None:
        super().__init__()
        self.enter = nn.Sequential(
            nn.GroupNorm(options.norm_groups, in_channels),
            nn.SiLU(),
            nn.Conv2d(in_channels, out_channels, 3, padding=1),
        )
        self.film = nn.Linear(time_channels, 2 * out_channels)
        self.norm = nn.GroupNorm(options.norm_groups, out_channels)
        last = nn.Conv2d(out_channels, out_channels, 3, padding=1)
        for parameter in last.parameters():
            nn.init.zeros_(parameter)
        self.leave = nn.Sequential(nn.SiLU(), nn.Dropout(options.dropout), last)
        self.skip = nn.Identity() if in_channels == out_channels else nn.Conv2d(in_channels, out_channels, 1)

    def forward(self, x: Tensor, time: Tensor) -> Tensor:
        scale, shift = self.film(time)[:, :, None, None].chunk(2, 1)
        return self.skip(x) + self.leave(self.norm(self.enter(x)) * (1 + scale) + shift)


class Level(nn.Module):
    """One scale of the U-Net: residual blocks, with a Swin layer after the first.

    Args:
        in_channels: input channels of each block, with the features of the skip connection.
        out_channels: output channels of every block.
        time_channels: channels of the time embedding.
        options: options of the blocks and the Swin layer.
    """

    def __init__(
        self, in_channels: Sequence[int], out_channels: int, *, time_channels: int, options: SwinOptions
    ) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(
            ResBlock(channels, out_channels, time_channels=time_channels, options=options) for channels in in_channels
        )
        self.swin = SwinLayer(out_channels, options)

    def forward(self, x: Tensor, time: Tensor, skips: Sequence[Tensor] = ()) -> list[Tensor]:
        """The outputs of all blocks, the first one after the Swin layer; block i also reads skips[i], if any."""
        outputs: list[Tensor] = []
        for i, block in enumerate(self.blocks):
            x = block(torch.cat([x, skips[i]], 1) if skips else x, time)
            x = x if outputs else self.swin(x)
            outputs.append(x)
        return outputs


class SwinUNet(nn.Module):
    """ResShift's network: `[B, C, H, W]` and time steps `[B]` -> `[B, C', H, W]`; H and W are multiples of `multiple`.

    A level of the encoder has `num_res_blocks` residual blocks and a stride-2 convolution. A level of the decoder has
    one block more, and each of them also reads an encoder feature of its size; then come a nearest-neighbour ×2 and a
    convolution.

    Args:
        in_channels: C; the noisy image and the condition, concatenated.
        out_channels: C'.
        model_channels: channels of the first level; even.
        channel_mult: channels of each level, in units of `model_channels`.
        num_res_blocks: residual blocks of a level in the encoder.
        swin_embed: channels inside a Swin layer.
        swin_heads: attention heads of a Swin layer.
        swin_depth: blocks of a Swin layer; every second one has shifted windows.
        window_size: width of the attention windows.
        mlp_ratio: channels inside the MLPs of a Swin layer, in units of `swin_embed`.
        norm_groups: groups of every normalisation; they divide the channels of every level and of the Swin layers.
        dropout: in the residual blocks, after the attention and in the MLPs.

    Raises:
        UserError: the options do not fit together, or the input has another size.
    """

    def __init__(
        self,
        *,
        in_channels: int = 6,
        out_channels: int = 3,
        model_channels: int = 160,
        channel_mult: Sequence[int] = (1, 2, 2, 4),
        num_res_blocks: int = 2,
        swin_embed: int = 192,
        swin_heads: int = 6,
        swin_depth: int = 2,
        window_size: int = 6,
        mlp_ratio: float = 4,
        norm_groups: int = 32,
        dropout: float = 0,
    ) -> None:
        super().__init__()
        options = SwinOptions(swin_embed, swin_heads, swin_depth, window_size, mlp_ratio, norm_groups, dropout)
        if min(in_channels, out_channels, num_res_blocks) < 1:
            raise UserError(
                f"network: in_channels {in_channels}, out_channels {out_channels} and num_res_blocks {num_res_blocks} "
                "must be 1 or more each"
            )
        if model_channels < 1 or model_channels % 2 or model_channels % norm_groups:
            raise UserError(
                f"network: model_channels {model_channels} must be even, and a multiple of norm_groups {norm_groups}"
            )
        if not channel_mult or min(channel_mult) < 1:
            raise UserError(f"network: channel_mult {list(channel_mult)} must be at least one, of 1 or more each")
        self.model_channels, self.num_res_blocks = model_channels, num_res_blocks
        self.multiple = window_size * 2 ** (len(channel_mult) - 1)

        wide = 4 * model_channels
        # the last SiLU belongs to every residual block, and is applied once for all of them
        self.time = nn.Sequential(nn.Linear(model_channels, wide), nn.SiLU(), nn.Linear(wide, wide), nn.SiLU())
        widths = [model_channels * mult for mult in channel_mult]
        channels = widths[0]
        self.stem = nn.Conv2d(in_channels, channels, 3, padding=1)
        skips = [channels]
        self.encoder, self.down = nn.ModuleList(), nn.ModuleList()
        for width in widths:
            if self.encoder:
                self.down.append(nn.Conv2d(channels, channels, 3, stride=2, padding=1))
                skips.append(channels)
            inputs = [channels] + [width] * (num_res_blocks - 1)
            self.encoder.append(Level(inputs, width, time_channels=wide, options=options))
            skips += [width] * num_res_blocks
            channels = width
        self.middle = Level([channels, channels], channels, time_channels=wide, options=options)
        self.decoder, self.up = nn.ModuleList(), nn.ModuleList()
        for width in reversed(widths):
            inputs = [own + skips.pop() for own in (channels, *[width] * num_res_blocks)]
            self.decoder.append(Level(inputs, width, time_channels=wide, options=options))
            resize = nn.Sequential(nn.Upsample(scale_factor=2), nn.Conv2d(width, width, 3, padding=1))
            self.up.append(resize if skips else nn.Identity())
            channels = width
        self.leave = nn.Sequential(
            nn.GroupNorm(norm_groups, channels), nn.SiLU(), nn.Conv2d(channels, out_channels, 3, padding=1)
        )

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        height, width = x.shape[-2:]
        if height % self.multiple or width % self.multiple:
            raise UserError(f"network: an input of {width}×{height}: its sides must be multiples of {self.multiple}")
        time = self.time(encode_time(t, self.model_channels))
        features = [self.stem(x)]
        for i, level in enumerate(self.encoder):
            if i:
                features.append(self.down[i - 1](features[-1]))
            features += level(features[-1], time)
        x = self.middle(features[-1], time)[-1]
        for level, up in zip(self.decoder, self.up, strict=True):
            skips = [features.pop() for _ in range(self.num_res_blocks + 1)]
            x = up(level(x, time, skips)[-1])
        return self.leave(x)
