"""HAT, the hybrid attention transformer (Chen et al., CVPR 2023), whose official checkpoints load strictly.

Four differences from the official code, none of which changes a result: any input size (`forward` pads to the window),
faster attention and linear layers, position indices that are recomputed instead of loaded, and gradient checkpointing
that works. `MiHATP` (mihatp_arch.py) builds on it.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any, Literal

import torch
import torch.nn.functional as F
from basicsr.utils.registry import ARCH_REGISTRY
from torch import Tensor, nn

from mihatp_arch.archs.layers.consistency import project
from mihatp_arch.archs.layers.hat_blocks import HAB, OCAB, RHAG, BlockOptions, WindowGeometry, residual_convolution
from mihatp_arch.archs.layers.windows import (
    WindowPartition,
    overlapping_position_index,
    overlapping_window_size,
    relative_position_index,
    shifted_window_attn_mask,
)
from mihatp_arch.errors import UserError

NUM_FEAT = 64  # channels of the up-sampler, as in the official code
DIV2K_MEAN = (0.4488, 0.4371, 0.4040)  # official weights expect that it is subtracted

Upsampler = Literal["pixelshuffle", "pixelshuffledirect"]


def sub_pixel_stages(scale: int, num_feat: int) -> nn.Sequential:
    """Sub-pixel convolutions from 1 to `scale` (2, 4, 8, … or 3): `[B, C, H, W]` -> `[B, C, scale·H, scale·W]`."""
    if scale == 3:
        factors = [3]
    elif scale >= 2 and scale & (scale - 1) == 0:
        factors = [2] * int(math.log2(scale))
    else:
        raise UserError(f"network: upscale {scale} is not supported; use 2, 3, 4 or 8")
    stages: list[nn.Module] = []
    for factor in factors:
        stages += [nn.Conv2d(num_feat, factor**2 * num_feat, 3, padding=1), nn.PixelShuffle(factor)]
    return nn.Sequential(*stages)


def pad_to_multiple(x: Tensor, multiple: int) -> Tensor:
    """Pad `[B, C, H, W]` right and below to multiples of `multiple`: reflect as far as possible, then repeat."""
    height, width = (side + -side % multiple for side in x.shape[2:])
    return pad_to_size(x, height, width)


def pad_to_size(x: Tensor, height: int, width: int) -> Tensor:
    """Pad `[B, C, H, W]` right and below to `[B, C, height, width]`: reflect as far as possible, then repeat."""
    for axis, side in ((2, height), (3, width)):
        size = x.shape[axis]
        missing = side - size
        for mode, amount in (("reflect", min(missing, size - 1)), ("replicate", missing - min(missing, size - 1))):
            if amount:
                x = F.pad(x, (0, 0, 0, amount) if axis == 2 else (0, amount, 0, 0), mode=mode)
    return x


@ARCH_REGISTRY.register()
class HAT(nn.Module):
    """Hybrid attention transformer: `[B, 3, H, W]` in [0, 1] -> `[B, 3, s·H, s·W]`, any H, W >= 1.

    Args:
        upscale: s; 2, 3, 4 or 8.
        in_chans: channels of input and output.
        img_size: width of the training LR patch. HAT does not use it; official option files have it.
        window_size: width of the attention windows. Official weights have 16.
        embed_dim: channels inside.
        depths: blocks of each group.
        num_heads: heads of each group.
        compress_ratio: CAB's bottleneck has embed_dim / compress_ratio channels.
        squeeze_factor: channel attention's bottleneck has embed_dim / squeeze_factor channels.
        conv_scale: α, weight of CAB.
        overlap_ratio: OCAB's key windows are window_size·(1 + overlap_ratio) wide.
        mlp_ratio: hidden width of the MLPs over embed_dim.
        qkv_bias: whether q, k, v have an additive bias.
        drop_path_rate: stochastic depth of the last block; it grows linearly from 0.
        img_range: factor of the input.
        upsampler: `pixelshuffle`, HAT's sub-pixel convolutions in steps of two, or `pixelshuffledirect`, one
            sub-pixel convolution to the full size, as in SwinIR's lightweight networks.
        resi_connection: convolution at the end of a group, or none.
        use_checkpoint: save memory: the backward pass recomputes each block, except its convolutions and attention.
        fused_attn: the fastest attention and linear layers (fast/), or the written-out ones.
        consistency: the last layer projects the output onto the images whose k×k mean is LR (layers/consistency.py).
            Only for LR that is this mean of HR.
        global_skip: the network learns the difference to the bicubic enlargement of LR. Its last convolution starts at
            zero, so that the untrained network is bicubic interpolation.

    Raises:
        UserError: the options do not fit together.
    """

    relative_position_index_SA: Tensor
    relative_position_index_OCA: Tensor
    attn_mask: Tensor
    mean: Tensor

    def __init__(
        self,
        *,
        upscale: int = 4,
        in_chans: int = 3,
        img_size: int = 64,
        window_size: int = 16,
        embed_dim: int = 180,
        depths: Sequence[int] = (6, 6, 6, 6, 6, 6),
        num_heads: Sequence[int] = (6, 6, 6, 6, 6, 6),
        compress_ratio: int = 3,
        squeeze_factor: int = 30,
        conv_scale: float = 0.01,
        overlap_ratio: float = 0.5,
        mlp_ratio: float = 2.0,
        qkv_bias: bool = True,
        drop_path_rate: float = 0.1,
        img_range: float = 1.0,
        upsampler: Upsampler = "pixelshuffle",
        resi_connection: Literal["1conv", "identity"] = "1conv",
        use_checkpoint: bool = False,
        fused_attn: bool = True,
        consistency: bool = False,
        global_skip: bool = False,
        _group: Callable[..., RHAG] = RHAG,
    ) -> None:
        super().__init__()
        _check_options(depths, num_heads, drop_path_rate)
        self.upscale, self.window_size, self.img_range = upscale, window_size, img_range
        self.use_checkpoint, self.consistency, self.global_skip = use_checkpoint, consistency, global_skip
        self._register_buffers(in_chans, window_size, overlap_ratio)
        self.register_load_state_dict_pre_hook(_recompute_indices)

        self.conv_first = nn.Conv2d(in_chans, embed_dim, 3, padding=1)
        self.patch_embed = nn.Sequential()
        self.patch_embed.add_module("norm", nn.LayerNorm(embed_dim))
        rates = iter(drop_path_rate * i / max(sum(depths) - 1, 1) for i in range(sum(depths)))
        self.layers = nn.ModuleList(
            _group(
                BlockOptions(
                    dim=embed_dim,
                    num_heads=heads,
                    window_size=window_size,
                    compress_ratio=compress_ratio,
                    squeeze_factor=squeeze_factor,
                    conv_scale=conv_scale,
                    overlap_ratio=overlap_ratio,
                    mlp_ratio=mlp_ratio,
                    qkv_bias=qkv_bias,
                    fused_attn=fused_attn,
                ),
                drop_paths=[next(rates) for _ in range(depth)],
                resi_connection=resi_connection,
            )
            for depth, heads in zip(depths, num_heads, strict=True)
        )
        self.norm = nn.LayerNorm(embed_dim)
        self.conv_after_body = residual_convolution(embed_dim, resi_connection)
        self._add_upsampler(upsampler, embed_dim, in_chans)
        self.apply(_init_linear)

    def _register_buffers(self, in_chans: int, window_size: int, overlap_ratio: float) -> None:
        mean = torch.tensor(DIV2K_MEAN) if in_chans == 3 else torch.zeros(in_chans)
        self.register_buffer("mean", mean.view(1, -1, 1, 1), persistent=False)
        self.register_buffer("relative_position_index_SA", relative_position_index(window_size))
        key_size = overlapping_window_size(window_size, overlap_ratio)
        self.register_buffer("relative_position_index_OCA", overlapping_position_index(window_size, key_size))
        self.register_buffer("attn_mask", shifted_window_attn_mask(window_size, window_size // 2), persistent=False)

    def _add_upsampler(self, upsampler: Upsampler, embed_dim: int, in_chans: int) -> None:
        if upsampler == "pixelshuffle":
            self.conv_before_upsample = nn.Sequential(nn.Conv2d(embed_dim, NUM_FEAT, 3, padding=1), nn.LeakyReLU())
            self.upsample = sub_pixel_stages(self.upscale, NUM_FEAT)
            self.conv_last = nn.Conv2d(NUM_FEAT, in_chans, 3, padding=1)
        elif upsampler == "pixelshuffledirect":
            self.conv_before_upsample = self.conv_last = nn.Identity()
            to_pixels = nn.Conv2d(embed_dim, self.upscale**2 * in_chans, 3, padding=1)
            self.upsample = nn.Sequential(to_pixels, nn.PixelShuffle(self.upscale))
        else:
            raise UserError(f"network: upsampler {upsampler!r} is not one of pixelshuffle, pixelshuffledirect")
        if self.global_skip:
            last = self.conv_last if upsampler == "pixelshuffle" else self.upsample[0]
            for parameter in last.parameters():
                nn.init.zeros_(parameter)

    def compile(self, *args: Any, **kwargs: Any) -> None:  # type: ignore[override]
        """Compile each block in place. The blocks are alike, so that a few graphs serve a network of any depth."""
        for module in self.modules():
            if isinstance(module, HAB | OCAB):
                module.compile(*args, **kwargs)

    def forward_features(self, x: Tensor) -> Tensor:
        """The groups: `[B, embed_dim, H, W]` in and out, H and W multiples of the window."""
        x = self.patch_embed(x.permute(0, 2, 3, 1))
        shape, ws = (x.shape[0], x.shape[1], x.shape[2]), self.window_size
        windows = WindowGeometry(
            self.relative_position_index_SA,
            self.relative_position_index_OCA,
            self.attn_mask,
            plain=WindowPartition.of(shape, window_size=ws, shift_size=0, device=x.device),
            shifted=WindowPartition.of(shape, window_size=ws, shift_size=ws // 2, device=x.device),
        )
        for layer in self.layers:
            x = layer(x, windows, use_checkpoint=self.use_checkpoint and torch.is_grad_enabled())
        return self.norm(x).permute(0, 3, 1, 2)

    def forward(self, x: Tensor) -> Tensor:
        lr, (H, W) = x, x.shape[-2:]
        x = pad_to_multiple(x, self.window_size).contiguous(memory_format=torch.channels_last)
        shallow = self.conv_first((x - self.mean) * self.img_range)
        deep = self.conv_after_body(self.forward_features(shallow)) + shallow
        x = self.conv_last(self.upsample(self.conv_before_upsample(deep))) / self.img_range
        x = x[..., : H * self.upscale, : W * self.upscale].contiguous()
        x = x + (_bicubic(lr, self.upscale) if self.global_skip else self.mean)
        return project(x, lr) if self.consistency else x


def _bicubic(x: Tensor, k: int) -> Tensor:
    # With antialias torch takes Keys' cubic with a = -0.5, as MATLAB does; without, a = -0.75.
    return F.interpolate(x, scale_factor=k, mode="bicubic", antialias=True)


def _check_options(depths: Sequence[int], num_heads: Sequence[int], drop_path_rate: float) -> None:
    if len(depths) != len(num_heads):
        raise UserError(f"network: depths has {len(depths)} groups, num_heads {len(num_heads)}; give one per group")
    if not depths or min(*depths, *num_heads) < 1:
        raise UserError(f"network: depths {list(depths)} and num_heads {list(num_heads)} must be 1 or more each")
    if not 0 <= drop_path_rate < 1:
        raise UserError(f"network: drop_path_rate {drop_path_rate} must lie in [0, 1)")


def _init_linear(module: nn.Module) -> None:
    """HAT's initialisation of linear layers: a truncated normal distribution. Convolutions have PyTorch's."""
    if isinstance(module, nn.Linear):
        nn.init.trunc_normal_(module.weight, std=0.02)
        if module.bias is not None:
            nn.init.zeros_(module.bias)


def _recompute_indices(module: nn.Module, state_dict: dict[str, Tensor], prefix: str, *_: object) -> None:
    """Put our own indices into a state dict: official files name the same table rows by negative entries."""
    for name in ("relative_position_index_SA", "relative_position_index_OCA"):
        state_dict[prefix + name] = getattr(module, name)
