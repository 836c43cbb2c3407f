"""Whether the weights that are to be tested are those of the network that is to be tested."""

import pickle
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import nn

from mihatp_arch.cli.options import Options


def check_weights(options: Options, network: nn.Module) -> Iterator[str]:
    """Lines about `path.pretrain_network_g`: a file that is damaged, or whose tensors are not those of `network`.

    Only where they are loaded strictly, and only BasicSR's own layout (a state dict below `params` or `params_ema`) is
    looked into.
    """
    path = ("path", "pretrain_network_g")
    value = options.get(*path)
    if value is None or not Path(value).expanduser().is_file() or options.get("path", "strict_load_g") is False:
        return
    try:
        held = torch.load(Path(value).expanduser(), map_location="cpu", weights_only=True, mmap=True)
    except (EOFError, OSError, RuntimeError, pickle.UnpicklingError):
        yield options.problem(path, f"'{value}' cannot be loaded: it is damaged, or holds more than tensors")
        return
    state = _state(held, options.get("path", "param_key_g") or "params")
    if state is None:
        return
    wanted = {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}
    found = {name.removeprefix("module."): tuple(tensor.shape) for name, tensor in state.items()}
    odd = sorted(name for name in wanted.keys() | found.keys() if wanted.get(name) != found.get(name))
    if odd:
        there, here = _shape(found.get(odd[0])), _shape(wanted.get(odd[0]))
        yield options.problem(
            path,
            f"'{value}' does not fit network_g: {odd[0]} is {there} there and {here} in this "
            f"{options.get('network_g', 'type')} ({len(odd)} differ); give all the option files of its training",
        )


def _state(held: Any, key: str) -> dict[str, torch.Tensor] | None:
    state = held.get(key, held.get("params")) if isinstance(held, dict) else None
    return state if isinstance(state, dict) and all(isinstance(one, torch.Tensor) for one in state.values()) else None


def _shape(shape: tuple[int, ...] | None) -> str:
    return "missing" if shape is None else "x".join(map(str, shape)) or "a number"
