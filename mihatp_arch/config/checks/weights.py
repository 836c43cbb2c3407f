"""Whether the weights that a network is to start from, or to be tested with, are those of that network."""

from collections.abc import Iterator
from pathlib import Path

from torch import Tensor, nn

from mihatp_arch.checkpoints import TrainingState, load_tensors, weights_below
from mihatp_arch.config.read import Options
from mihatp_arch.errors import UserError


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
            mistake = _misfit(state, network) if strict else None
            if mistake:
                raise UserError(f"'{value}' does not fit network_{label}: {mistake}")
    except UserError as error:
        yield options.problem(path, str(error))


def check_resumed(state: TrainingState, network: nn.Module, label: str) -> Iterator[str]:
    """A line where the network that was saved with a training state is not `network`."""
    file = state.networks.get(label)
    if file is None:
        return
    mistake = _misfit(weights_below(file, load_tensors(file), "params"), network)
    if mistake:
        yield f"'{state.path}' does not fit network_{label}: {mistake}"


def _misfit(state: dict[str, Tensor], network: nn.Module) -> str | None:
    wanted = {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}
    found = {name: tuple(tensor.shape) for name, tensor in state.items()}
    odd = sorted(name for name in wanted.keys() | found.keys() if wanted.get(name) != found.get(name))
    if not odd:
        return None
    there, here = _shape(found.get(odd[0])), _shape(wanted.get(odd[0]))
    return (
        f"{odd[0]} is {there} there and {here} in this {type(network).__name__} ({len(odd)} differ); "
        "give all the option files of its training"
    )


def _shape(shape: tuple[int, ...] | None) -> str:
    return "missing" if shape is None else "x".join(map(str, shape)) or "a number"
