"""Whether the weights of a file fit the network that starts from them or is tested with them."""

from collections.abc import Iterator
from pathlib import Path

from torch import Tensor, nn

from mihatp_arch.checkpoints import TrainingState, load_tensors, weights_below
from mihatp_arch.config.read import Options
from mihatp_arch.errors import UserError


def check_weights(options: Options, network: nn.Module, label: str, *, averaged: bool) -> Iterator[str]:
    """Lines about `path.pretrain_network_<label>`: a file without weights, or with weights of another network.

    Names and shapes are compared where `path.strict_load_<label>` is true.

    Args:
        averaged: the training loads averaged (EMA) weights from the file too.
    """
    path = ("path", f"pretrain_network_{label}")
    value = options.get(*path)
    if value is None:
        return
    file = Path(value).expanduser()
    section = options.section("path")
    strict = section.get(f"strict_load_{label}", True)
    try:
        tensors = load_tensors(file)
        for key in [section.get(f"param_key_{label}", "params"), *(["params_ema"] if averaged else [])]:
            state = weights_below(file, tensors, key)
            mistake = _misfit(state, network) if strict else None
            if mistake:
                raise UserError(f"'{value}' does not fit network_{label}: {mistake}")
    except UserError as error:
        yield options.problem(path, str(error))


def check_resumed(state: TrainingState, network: nn.Module, label: str) -> Iterator[str]:
    """A line if the network that was saved with a training state is not `network`."""
    file = state.networks.get(label)
    if file is None:
        return
    mistake = _misfit(weights_below(file, load_tensors(file), "params"), network)
    if mistake:
        yield f"'{state.path}' does not fit network_{label}: {mistake}"


def refuse_misfit(file: Path, state: dict[str, Tensor], network: nn.Module) -> None:
    """Raise `UserError` where the weights of `file` are not those of the network of its experiment."""
    mistake = _misfit(state, network)
    if mistake:
        raise UserError(f"'{file}' does not fit the network of the experiment: {mistake}")


def _misfit(state: dict[str, Tensor], network: nn.Module) -> str | None:
    wanted = {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}
    saved = {name: tuple(tensor.shape) for name, tensor in state.items()}
    different = sorted(name for name in wanted.keys() | saved.keys() if wanted.get(name) != saved.get(name))
    if not different:
        return None
    there, here = _shape(saved.get(different[0])), _shape(wanted.get(different[0]))
    return (
        f"{different[0]} is {there} there and {here} in this {type(network).__name__} ({len(different)} differ); "
        "give all the option files of its training"
    )


def _shape(shape: tuple[int, ...] | None) -> str:
    return "missing" if shape is None else "x".join(map(str, shape)) or "a number"
