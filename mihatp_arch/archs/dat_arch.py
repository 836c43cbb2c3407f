"""DAT (Chen et al., ICCV 2023) built from options: spandrel's network, without its constant buffers in the file."""

from collections.abc import Sequence
from typing import Any, Literal

from basicsr.utils.registry import ARCH_REGISTRY
from torch import Tensor, nn

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

    Raises:
        UserError: `depth` and `num_heads` have different lengths.
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
    ) -> None:
        super().__init__()
        if len(depth) != len(num_heads):
            raise UserError(f"network: depth {list(depth)} and num_heads {list(num_heads)} must have the same length")
        # Here, for spandrel imports 40 architectures.
        from spandrel.architectures.DAT.__arch.DAT import DAT as SpandrelDAT  # noqa: N811

        self.upscale = upscale
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
        self.register_state_dict_post_hook(_names_of_file)
        self.register_load_state_dict_pre_hook(_names_of_module)

    def forward(self, x: Tensor) -> Tensor:
        return self.network(x)


def _names_of_file(module: nn.Module, state_dict: dict[str, Any], prefix: str, *_: object) -> None:
    """The names of the official files, which lack the name of the attribute `network`."""
    start = f"{prefix}network."
    for name in [name for name in state_dict if name.startswith(start)]:
        state_dict[prefix + name.removeprefix(start)] = state_dict.pop(name)


def _names_of_module(module: nn.Module, state_dict: dict[str, Any], prefix: str, *_: object) -> None:
    """The inverse of `_names_of_file`, without the constant buffers."""
    for name in [name for name in state_dict if name.startswith(prefix)]:
        value = state_dict.pop(name)
        if not name.endswith(_CONSTANTS):
            state_dict[f"{prefix}network.{name.removeprefix(prefix)}"] = value
