"""Files of weights and of training states: load them without executing anything, and find the one that is needed."""

import pickle
import re
import warnings
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from mihatp_arch.archs.diffusion.diffusers_weights import load_folder
from mihatp_arch.bundled_weights import read_metadata
from mihatp_arch.errors import UserError
from mihatp_arch.exported_options import without_options
from mihatp_arch.file_hash import refuse_damaged

# What torch.load and safetensors raise when a file is damaged.
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
_SAME_STATE = {"AdamW": "Adam"}  # optimizers that take over the state of another one
_STATES = ("params", "state_dict", "desc")  # keys of a state dict; `desc` is that of HoVer-Net's authors
_CONSTANTS = ("upsample2x.unpool_mat",)  # in state dicts of HoVer-Net's authors; they are no weights
_NETWORK = re.compile(r"net_(?P<label>\w+)_\d+\.pth")


@dataclass(frozen=True)
class TrainingState:
    """A training state that can be resumed.

    Attributes:
        path: its file.
        values: its content, in BasicSR's form.
        networks: the files of the networks saved with it, by label (`g` for `net_g`).
    """

    path: Path
    values: dict[str, Any]
    networks: dict[str, Path]


def load_tensors(path: Path, *, mapped: bool = True) -> dict[str, Any]:
    """Load the mapping in a file of `torch.save` or of safetensors (`.safetensors`) to the CPU, without executing code.

    Args:
        path: the file; a folder is loaded as one that diffusers has saved.
        mapped: leave the tensors in the file until they are used, where the format of the file allows it.

    Raises:
        UserError: the file is missing or damaged, contains more than tensors, numbers and strings, or is no mapping.
    """
    if path.is_dir():
        return load_folder(path)
    refuse_damaged(path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch warns of other pickle protocols; the error below says enough
            if path.suffix == ".safetensors":
                content: Any = load_file(path)
            else:
                content = torch.load(
                    path, map_location="cpu", weights_only=True, mmap=mapped and zipfile.is_zipfile(path)
                )
    except _DAMAGE as error:
        raise UserError(f"'{path}' cannot be loaded: it is damaged, or holds more than tensors") from error
    if not isinstance(content, dict):
        raise UserError(f"'{path}' holds no weights: it is a {type(content).__name__}, not a mapping")
    return content


def kernel_of_weights(path: Path) -> str | None:
    """How LR was made (`area`, `bicubic`, `pyramid`) in the training that wrote the file of weights `path`.

    The files of `basicsr train` and of `mihatp export` have a record of it. None: there is no record, or no such file.
    """
    try:
        if path.suffix == ".safetensors":
            record: dict[str, Any] = dict(read_metadata(path))
        else:
            record = {} if path.is_dir() else load_tensors(path)
    except UserError:
        return None
    kernel = record.get("kernel")
    return kernel if isinstance(kernel, str) and kernel else None


def weights_below(path: Path, content: dict[str, Any], key: str | None) -> dict[str, Tensor]:
    """The state dict below `key` in `content`, the content of the file `path`.

    `key` None takes `content` itself. Where `params_ema` or `params` is missing, `params`, `state_dict`, `desc` and the
    content itself are tried in its place. The prefixes of DataParallel and torch.compile are removed from the names.
    The options in a file of `mihatp export`, and constants of official checkpoints, are left out.

    Raises:
        UserError: there is no state dict.
    """
    if key in ("params", "params_ema") and key not in content:
        key = next((other for other in _STATES if other in content), key)
        if key not in content and content and all(isinstance(value, Tensor) for value in content.values()):
            key = None
    state = content if key is None else content.get(key)
    if not isinstance(state, dict) or not all(isinstance(value, Tensor) for value in state.values()):
        where = "at its top" if key is None else f"below '{key}'"
        there = ", ".join(sorted(map(str, content))[:4]) or "nothing"
        raise UserError(f"'{path}' holds no weights {where}; it has {there}")
    named = {_without_prefix(name): tensor for name, tensor in without_options(state).items()}
    return {name: tensor for name, tensor in named.items() if name not in _CONSTANTS}


def _without_prefix(name: str) -> str:
    return name.removeprefix("module.").removeprefix("_orig_mod.")


def newest_network(folder: Path) -> Path | None:
    """`net_g_best.pth` in `folder`, else the `net_g` that was trained longest; None where there is no `net_g`."""
    best, latest = folder / "net_g_best.pth", folder / "net_g_latest.pth"
    if best.is_file():
        return best
    numbered = [path for path in folder.glob("net_g_*.pth") if path.stem.removeprefix("net_g_").isdigit()]
    newest = max(numbered, key=lambda path: int(path.stem.removeprefix("net_g_")), default=None)
    if newest is None or not latest.is_file():
        return latest if latest.is_file() else newest
    # `latest` is the end of a training; the same training, resumed for longer, may have saved newer networks since.
    return latest if latest.stat().st_mtime_ns >= newest.stat().st_mtime_ns else newest


def find_training_state(
    opt: dict[str, Any], folder: Path, *, newest: bool, unfit: Mapping[Path, str] = MappingProxyType({})
) -> tuple[TrainingState | None, str]:
    """The training state to resume from, and a report of the choice; None for a new training.

    Args:
        opt: the options; `path.resume_state` names a state.
        folder: of the experiment, with `models` and `training_states` in it.
        newest: take the newest state of the experiment that can be resumed, where it has any state.
        unfit: states that `newest` passes over, and why.

    Raises:
        UserError: the named state is missing or damaged, or does not fit its networks or the options; with `newest`,
            this is so for every state.
    """
    named = opt["path"].get("resume_state")
    paths = _newest_first(folder / "training_states") if newest else []
    if not paths:
        state = None if named is None else _read_state(opt, Path(named).expanduser(), folder / "models")
        return state, f"{named or 'no training state yet, starting from iteration 0'}"
    reasons: list[str] = []
    for path in paths:
        if path in unfit:
            reasons.append(unfit[path])
            continue
        try:
            state = _read_state(opt, path, folder / "models")
        except UserError as error:
            reasons.append(str(error))
            continue
        other = f", not path.resume_state '{named}'" if named and Path(named).expanduser() != path else ""
        return state, f"{path}{other}" + (f", for {reasons[0]}" if reasons else "")
    raise UserError(f"none of the {len(paths)} training states can be resumed: {reasons[0]}")


def _newest_first(folder: Path) -> list[Path]:
    states = [path for path in folder.glob("*.state") if path.stem.isdecimal()]
    return sorted(states, key=lambda path: int(path.stem), reverse=True)


def _read_state(opt: dict[str, Any], path: Path, models: Path) -> TrainingState:
    if not path.is_file():
        raise UserError(f"path.resume_state: there is no file '{path}'")
    try:
        values = load_tensors(path, mapped=False)  # the optimizers go on to use these tensors
    except UserError as error:
        raise UserError(f"'{path}' is no sound training state; name another as path.resume_state") from error
    counts = [values.get(key) for key in ("iter", "epoch")]
    if not all(isinstance(count, int) and count >= 0 for count in counts) or not all(
        isinstance(values.get(key), list) for key in ("optimizers", "schedulers")
    ):
        raise UserError(f"'{path}' is no training state of basicsr: it lacks the iteration or the optimizers")
    if not values["optimizers"] or not all(map(_is_optimizer, values["optimizers"])):
        raise UserError(f"'{path}' has no state of an optimizer; name another as path.resume_state")
    for mistake in _other_optimizers(opt, values):
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


def _other_optimizers(opt: Mapping[str, Any], state: Mapping[str, Any]) -> Iterator[str]:
    """Ends of sentences about optimizers of `opt` that cannot take over the state of those in a training state."""
    before = state.get("options")
    before = before.get("train") if isinstance(before, Mapping) else None
    now = opt.get("train")
    if not isinstance(before, Mapping) or not isinstance(now, Mapping):
        return
    for key in (key for key in now if str(key).startswith("optim_")):
        types = [(section.get(key) or {}).get("type") for section in (before, now)]
        if None not in types and len({_SAME_STATE.get(str(kind), kind) for kind in types}) > 1:
            yield (
                f"was trained with train.{key}.type {types[0]}, whose state {types[1]} cannot take over: resume with "
                "the former, or start anew from its weights with path.pretrain_network_g"
            )


def _labels(opt: dict[str, Any], models: Path) -> list[str]:
    """The labels of the networks that a state needs: of the options, and of all networks of this experiment."""
    ignored = opt["path"].get("ignore_resume_networks") or []
    labels = {key.removeprefix("network_") for key in opt if key.startswith("network_") and opt[key] is not None}
    labels |= {match["label"] for match in map(_NETWORK.fullmatch, (file.name for file in models.glob("*"))) if match}
    return sorted(label for label in labels if f"network_{label}" not in ignored)
