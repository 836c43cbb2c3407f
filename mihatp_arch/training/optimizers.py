"""Optimizers by their name in torch."""

from collections.abc import Iterable
from typing import Any

import torch
from basicsr.models.base_model import BaseModel


def get_optimizer(
    self: BaseModel, optim_type: str, params: Iterable[Any], lr: float, **kwargs: Any
) -> torch.optim.Optimizer:
    """The optimizer `torch.optim.<optim_type>`; `kwargs` are its options.

    Adam and AdamW run as one kernel (`fused`) unless the options say otherwise. The fused kernel takes fp32 parameters
    on a CPU or a GPU. Parameters that are one number, such as a learnable α of Eq. 4, have no weight decay: it would
    pull them from their start to 0.
    """
    params = list(params)
    if optim_type in ("Adam", "AdamW") and not {"fused", "foreach", "differentiable"} & kwargs.keys():
        kwargs["fused"] = all(
            isinstance(p, torch.Tensor) and p.dtype == torch.float32 and p.device.type in ("cpu", "cuda")
            for p in params
        )
    numbers = [p for p in params if isinstance(p, torch.Tensor) and p.ndim == 0]
    if numbers and kwargs.get("weight_decay"):
        others = [p for p in params if not (isinstance(p, torch.Tensor) and p.ndim == 0)]
        params = [{"params": others}, {"params": numbers, "weight_decay": 0.0}]
    optimizer: torch.optim.Optimizer = getattr(torch.optim, optim_type)(params, lr=lr, **kwargs)
    optimizer.register_load_state_dict_pre_hook(_own_fused)
    return optimizer


def _own_fused(optimizer: torch.optim.Optimizer, state: dict[str, Any]) -> dict[str, Any]:
    """`state` with this optimizer's `fused`: a saved state has the `fused` of the optimizer that saved it."""
    if "fused" not in optimizer.defaults:
        return state
    fused = {"fused": optimizer.defaults["fused"]}
    return {**state, "param_groups": [group | fused for group in state["param_groups"]]}
