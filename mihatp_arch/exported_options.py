"""The options of a network among its tensors, for programs that see tensors alone, such as those built on spandrel."""

import json
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

OPTIONS = "network_g"  # name of the tensor; no weight


def unseen_by_others(options: Mapping[str, Any]) -> bool:
    """Whether another program would build another network of the weights alone, or none.

    Its file then has the options among its tensors: a program that does not know them refuses it.
    """
    return options.get("type") == "MiHATP" or bool(options.get("consistency") or options.get("global_skip"))


def with_options(state: Mapping[str, Tensor], options: Mapping[str, Any]) -> dict[str, Tensor]:
    """A state dict with the options of its network: JSON in a tensor of bytes."""
    return {**state, OPTIONS: torch.tensor(list(json.dumps(dict(options)).encode()), dtype=torch.uint8)}


def without_options(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The weights of a state dict."""
    return {name: tensor for name, tensor in state.items() if name != OPTIONS}


def options_of(state: Mapping[str, Tensor]) -> dict[str, Any]:
    """The options in a state dict of `with_options`. Raises `ValueError` where they are damaged."""
    return dict(json.loads(bytes(state[OPTIONS].tolist())))
