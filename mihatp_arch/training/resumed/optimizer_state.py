"""Whether the saved state of an optimizer fits its parameters: torch compares numbers of parameters alone."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from mihatp_arch.errors import UserError

# What the optimizers of torch remember of a parameter in its own shape.
_SHAPED = frozenset(
    {
        "acc_delta",
        "ax",
        "exp_avg",
        "exp_avg_sq",
        "exp_inf",
        "grad_avg",
        "max_exp_avg_sq",
        "momentum_buffer",
        "prev",
        "square_avg",
        "step_size",
        "sum",
    }
)
_NUMBERS = frozenset({"eta", "mu", "mu_product", "step"})
_NEEDED = {
    torch.optim.Adam: ("step", "exp_avg", "exp_avg_sq"),  # AdamW is an Adam
    torch.optim.RMSprop: ("step", "square_avg"),
    torch.optim.Adagrad: ("step", "sum"),
}


def refuse_misfit(optimizer: torch.optim.Optimizer, saved: Mapping[str, Any]) -> None:
    """Raise `UserError` if a tensor in `saved`, a state dict, has not the shape of its parameter, or is missing."""
    needed = next((keys for kind, keys in _NEEDED.items() if isinstance(optimizer, kind)), ())
    for group, saved_group in zip(optimizer.param_groups, saved["param_groups"], strict=True):
        for parameter, number in zip(group["params"], saved_group["params"], strict=True):
            remembered = saved["state"].get(number)
            if remembered is None:
                continue
            mistake = _mistake(remembered, tuple(parameter.shape), needed)
            if mistake:
                raise UserError(f"its tensors are not those of these parameters: parameter {number} has {mistake}")


def _mistake(remembered: Any, shape: tuple[int, ...], needed: tuple[str, ...]) -> str | None:
    if not isinstance(remembered, Mapping):
        return f"a {type(remembered).__name__} for its state"
    missing = [key for key in needed if key not in remembered]
    if missing and remembered:
        return f"no {missing[0]}"
    for key, value in remembered.items():
        wanted = shape if key in _SHAPED else () if key in _NUMBERS else None
        if wanted is None or value is None:
            continue
        there = tuple(value.shape) if isinstance(value, Tensor) else ()
        if there != wanted or not isinstance(value, (Tensor, int, float)):
            return f"{key} of shape {list(there)}, not {list(wanted)}"
    return None
