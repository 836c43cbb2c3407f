"""How large the terms of Eq. 4 are in the blocks of a network."""

from collections import defaultdict
from collections.abc import Callable
from contextlib import ExitStack

import torch
from torch import Tensor, nn

from mihatp_arch.archs.layers.hat_blocks import HAB
from mihatp_arch.archs.mihatp_arch import MHAB


def term_sizes(network: nn.Module, lq: Tensor) -> dict[str, Tensor]:
    """The standard deviation of each term of Eq. 4 on LR images `[B, 3, H, W]`, as a mean over the blocks.

    The terms, by their names in the log: `eq4_x` (X, the input of the block), `eq4_x_norm` (X_Norm), `eq4_sw_msa`
    (SW-MSA), `eq4_cab` (α·CAB), and `eq4_dat` (β·DAT), which a HAT has not. A network without such blocks gives none.

    The network must be in eval mode.
    """
    sizes: dict[str, list[Tensor]] = defaultdict(list)
    blocks = [module for module in network.modules() if isinstance(module, HAB)]

    def note(name: str, scale: float | Tensor = 1.0) -> Callable[..., None]:
        def hook(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
            sizes[name].append((scale * output).float().std())

        return hook

    with torch.no_grad(), ExitStack() as stack:
        for block in blocks:
            terms = [(block.norm1, note("eq4_x_norm")), (block.attn, note("eq4_sw_msa"))]
            terms.append((block.conv_block, note("eq4_cab", block.conv_scale)))
            if isinstance(block, MHAB):
                terms.append((block.dat, note("eq4_dat", block.beta)))
            handles = [module.register_forward_hook(hook) for module, hook in terms]
            handles.append(block.register_forward_pre_hook(lambda _, inputs: sizes["eq4_x"].append(inputs[0].std())))
            for handle in handles:
                stack.callback(handle.remove)
        if blocks:
            network(lq)
    return {name: torch.stack(values).mean() for name, values in sizes.items()}
