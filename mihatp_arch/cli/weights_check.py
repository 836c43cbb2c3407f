"""Whether the weights that a network is to start from, or to be tested with, are those of that network."""

from collections.abc import Iterator
from pathlib import Path

from torch import nn

from mihatp_arch.checkpoints import TrainingState, load_tensors, misfit, weights_below
from mihatp_arch.errors import UserError
from mihatp_arch.options import Options

_REMEDY = "give all the option files of its training"


def check_weights(options: Options, network: nn.Module, label: str, *, averaged: bool) -> Iterator[str]:
    """Lines about `path.pretrain_network_<label>`: a file without weights, or whose tensors are not `network`'s.

    Names and shapes count where they are loaded strictly; `averaged` (EMA) weights are loaded from it as well.
    """
    path = ("path", f"pretrain_network_{label}")
    value = options.get(*path)
    if value is None:
        return
    file = Path(value).expanduser()
    section = options.section("path")
    strict = section.get(f"strict_load_{label}", True)
    try:
        held = load_tensors(file)
        for key in [section.get(f"param_key_{label}", "params"), *(["params_ema"] if averaged else [])]:
            state = weights_below(file, held, key)
            mistake = misfit(state, network) if strict else None
            if mistake:
                raise UserError(f"'{value}' does not fit network_{label}: {mistake}; {_REMEDY}")
    except UserError as error:
        yield options.problem(path, str(error))


def check_resumed(state: TrainingState, network: nn.Module, label: str) -> Iterator[str]:
    """A line where the network that was saved with a training state is not `network`."""
    file = state.networks.get(label)
    if file is None:
        return
    mistake = misfit(weights_below(file, load_tensors(file), "params"), network)
    if mistake:
        yield f"'{state.path}' does not fit network_{label}: {mistake}; {_REMEDY}"
