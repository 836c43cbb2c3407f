"""What lies in BasicSR's files: tensors only, weights below their key, a training state with the networks it needs."""

import pickle
import re
import warnings
import zipfile
from collections import Counter
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from mihatp_arch.errors import UserError

# What torch.load raises over bytes that are no file of its own.
_DAMAGE = (
    AttributeError,
    EOFError,
    IndexError,
    KeyError,
    OSError,
    RuntimeError,
    TypeError,
    UnicodeDecodeError,
    ValueError,
    pickle.UnpicklingError,
    SafetensorError,
)
_NETWORK = re.compile(r"net_(?P<label>\w+)_\d+\.pth")


@dataclass(frozen=True)
class TrainingState:
    """A sound training state: its file, what it holds, and the files of the networks saved with it, by their label."""

    path: Path
    values: dict[str, Any]
    networks: dict[str, Path]


def load_tensors(path: Path, *, mapped: bool = True) -> dict[str, Any]:
    """The mapping in a file of `torch.save` or of safetensors (`.safetensors`), on the CPU; nothing in it is executed.

    A folder is one of diffusers (archs/published.py). `mapped` leaves the tensors in the file, where its format allows
    that.

    Raises:
        UserError: no such file, a damaged one, one with more than tensors, numbers and words, or no mapping.
    """
    if path.is_dir():
        from mihatp_arch.archs.diffusion.diffusers_weights import (
            load_folder,  # the networks need compat.py first, which needs this
        )

        return load_folder(path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about pickles of other protocols: the line below says it
            if path.suffix == ".safetensors":
                held: Any = load_file(path)
            else:
                held = torch.load(path, map_location="cpu", weights_only=True, mmap=mapped and zipfile.is_zipfile(path))
    except FileNotFoundError:
        raise UserError(f"there is no file '{path}'") from None
    except _DAMAGE as error:
        raise UserError(f"'{path}' cannot be loaded: it is damaged, or holds more than tensors") from error
    if not isinstance(held, dict):
        raise UserError(f"'{path}' holds no weights: it is a {type(held).__name__}, not a mapping")
    return held


def weights_below(path: Path, held: dict[str, Any], key: str | None) -> dict[str, Tensor]:
    """The state dict in `held`, the content of `path`, below `key`.

    Files without averaged weights (`params_ema`) have `params` alone; others call them `state_dict`, or are nothing but
    weights, as safetensors are. `key` None takes the file itself. What DataParallel and torch.compile put before the
    names is taken off.

    Raises:
        UserError: there is none.
    """
    if key in ("params", "params_ema") and key not in held:
        key = next((other for other in ("params", "state_dict") if other in held), key)
        if key not in held and held and all(isinstance(one, Tensor) for one in held.values()):
            key = None
    state = held if key is None else held.get(key)
    if not isinstance(state, dict) or not all(isinstance(one, Tensor) for one in state.values()):
        where = "at its top" if key is None else f"below '{key}'"
        there = ", ".join(sorted(map(str, held))[:4]) or "nothing"
        raise UserError(f"'{path}' holds no weights {where}; it has {there}")
    return {_bare(name): tensor for name, tensor in state.items()}


def _bare(name: str) -> str:
    return name.removeprefix("module.").removeprefix("_orig_mod.")


def newest_network(folder: Path) -> Path | None:
    """`net_g_best.pth` in `folder`, else the one trained longest; None where there is neither."""
    best, latest = folder / "net_g_best.pth", folder / "net_g_latest.pth"
    if best.is_file():
        return best
    numbered = [path for path in folder.glob("net_g_*.pth") if path.stem.removeprefix("net_g_").isdigit()]
    newest = max(numbered, key=lambda path: int(path.stem.removeprefix("net_g_")), default=None)
    if newest is None or not latest.is_file():
        return latest if latest.is_file() else newest
    # latest is the end of a training; a longer one, resumed since, may have gone past it
    return latest if latest.stat().st_mtime_ns >= newest.stat().st_mtime_ns else newest


def find_training_state(opt: dict[str, Any], folder: Path, *, newest: bool) -> tuple[TrainingState | None, str]:
    """The training state to go on from, and a sentence about it; None where a training is to start anew.

    Args:
        opt: the options; `path.resume_state` names a state.
        folder: of the experiment, with `models` and `training_states` in it.
        newest: take the newest sound state of the experiment instead, where it has one.

    Raises:
        UserError: the named state is missing or damaged, or fits neither its networks nor the options; with `newest`,
            every state is.
    """
    named = opt["path"].get("resume_state")
    paths = _newest_first(folder / "training_states") if newest else []
    if not paths:
        state = None if named is None else _read_state(opt, Path(named).expanduser(), folder / "models")
        return state, f"{named or 'no training state yet, starting from iteration 0'}"
    reasons: list[str] = []
    for path in paths:
        try:
            state = _read_state(opt, path, folder / "models")
        except UserError as error:
            reasons.append(str(error))
            continue
        return state, f"{path}" + (f", for {reasons[0]}" if reasons else "")
    raise UserError(f"none of the {len(paths)} training states can be resumed: {reasons[0]}")


def _newest_first(folder: Path) -> list[Path]:
    states = [path for path in folder.glob("*.state") if path.stem.isdecimal()]
    return sorted(states, key=lambda path: int(path.stem), reverse=True)


def _read_state(opt: dict[str, Any], path: Path, models: Path) -> TrainingState:
    if not path.is_file():
        raise UserError(f"path.resume_state: there is no file '{path}'")
    try:
        values = load_tensors(path, mapped=False)  # the optimizers keep these tensors
    except UserError as error:
        raise UserError(f"'{path}' is no sound training state; name another as path.resume_state") from error
    counts = [values.get(key) for key in ("iter", "epoch")]
    if not all(isinstance(count, int) and count >= 0 for count in counts) or not all(
        isinstance(values.get(key), list) for key in ("optimizers", "schedulers")
    ):
        raise UserError(f"'{path}' is no training state of basicsr: it lacks the iteration or the optimizers")
    if not values["optimizers"] or not all(map(_is_optimizer, values["optimizers"])):
        raise UserError(f"'{path}' has no state of an optimizer; name another as path.resume_state")
    for mistake in _schedule_mistakes(opt, values["schedulers"]):
        raise UserError(f"'{path}' {mistake}")
    networks = {label: models / f"net_{label}_{values['iter']}.pth" for label in _labels(opt, models)}
    for file in networks.values():
        if not file.is_file():
            raise UserError(
                f"'{path}' is of iteration {values['iter']}, but there is no '{file}': resume under the name that "
                "the state was trained with, or start anew from its weights with path.pretrain_network_g"
            )
        try:
            weights_below(file, load_tensors(file), "params")
        except UserError as error:
            raise UserError(f"'{path}' cannot be resumed: {error}") from error
    return TrainingState(path, values, networks)


def _is_optimizer(state: Any) -> bool:
    return isinstance(state, dict) and {"state", "param_groups"} <= state.keys()


def _schedule_mistakes(opt: dict[str, Any], saved: Collection[Any]) -> Iterator[str]:
    """The saved schedule replaces that of the options: where they differ, the longer training has no schedule."""
    asked = opt.get("train", {}).get("scheduler") or {}
    for state in saved:
        for key in ("periods", "milestones"):
            if not isinstance(state, dict) or key not in asked or key not in state:
                continue
            there, wanted = state[key], asked[key]
            if isinstance(there, Counter):
                there, wanted = sorted(there.elements()), sorted(wanted)
            if there != wanted:
                yield (
                    f"was trained with train.scheduler.{key} {there}, the options say {wanted}: resume with the "
                    "former, or start anew from its weights with path.pretrain_network_g"
                )


def _labels(opt: dict[str, Any], models: Path) -> list[str]:
    """The networks that a state needs: those of the options, and those that this experiment has saved before."""
    ignored = opt["path"].get("ignore_resume_networks") or []
    labels = {key.removeprefix("network_") for key in opt if key.startswith("network_") and opt[key] is not None}
    labels |= {match["label"] for match in map(_NETWORK.fullmatch, (file.name for file in models.glob("*"))) if match}
    return sorted(label for label in labels if f"network_{label}" not in ignored)
