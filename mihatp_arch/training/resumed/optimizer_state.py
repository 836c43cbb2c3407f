"""Optimizers and schedules of a resumed training: the state has what they remember, the options say how they go on."""

import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from basicsr.models.base_model import BaseModel
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

_update_learning_rate = BaseModel.update_learning_rate


def resume_optimizers(model: BaseModel, state: Mapping[str, Any]) -> None:
    """Restore the optimizers of a model, and its learning rates after `iter` iterations.

    What an optimizer remembers of its parameters comes from the state. Its hyper-parameters (betas, weight decay …) and
    the schedule are those of the options. Where the schedule, the learning rate or the warm-up is another one than in
    the state, the learning rate becomes the one that this training would have if it had begun with these options.

    Raises:
        UserError: a tensor has not the shape of its parameter. Other exceptions: the state is that of another model.
    """
    begin = [[group["lr"] for group in optimizer.param_groups] for optimizer in model.optimizers]
    for optimizer, saved in zip(model.optimizers, state["optimizers"], strict=True):
        refuse_misfit(optimizer, saved)
        own = [{key: group[key] for key in group.keys() - {"params", "lr"}} for group in optimizer.param_groups]
        optimizer.load_state_dict(saved)
        for group, options in zip(optimizer.param_groups, own, strict=True):
            group.update(options)
    warm_up = model.opt["train"].get("warmup_iter", -1)
    before = (state.get("options") or {}).get("train")
    same_warm_up = before is None or before.get("warmup_iter", -1) == warm_up
    schedules = list(zip(model.schedulers, state["schedulers"], strict=True))
    if same_warm_up and all(_is_same(schedule, saved) for schedule, saved in schedules):
        for schedule, saved in schedules:
            schedule.load_state_dict(saved)
        return
    _repeat(model, begin, state["iter"], warm_up)


def _is_same(schedule: Any, saved: Mapping[str, Any]) -> bool:
    """Whether a saved schedule has the options of `schedule`. Both stand at other iterations."""
    own = {key: value for key, value in schedule.state_dict().items() if not key.startswith("_")}
    own.pop("last_epoch", None)
    return all(key in saved and bool(saved[key] == value) for key, value in own.items())


def _repeat(model: Any, begin: Sequence[Sequence[float]], iterations: int, warm_up: int) -> None:
    """Let the schedules go through the iterations that are done, as the training would have called them."""
    model._set_lr(begin)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch expects a step of the optimizer before each step of a schedule
        for iteration in range(1, iterations + 1):
            _update_learning_rate(model, iteration, warm_up)


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
