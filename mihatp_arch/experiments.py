"""The networks in `experiments/` as single files for others to use."""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save
from torch import Tensor

from datasets_prep.common.files import make_folder, replacing
from mihatp_arch import file_hash
from mihatp_arch.checkpoints import kernel_of_weights, load_tensors, newest_network, weights_below
from mihatp_arch.config.checks.weights import refuse_misfit
from mihatp_arch.config.resolution import mpp_of_data
from mihatp_arch.errors import UserError, reason_of
from mihatp_arch.exported_options import unseen_by_others, with_options
from mihatp_arch.inference.load import network_of, recorded_options
from mihatp_arch.inference.network import card_text


def export(
    experiment: Path,
    output: Path,
    *,
    weights: Path | None = None,
    mpp: float | None = None,
    card: Mapping[str, Any] | None = None,
    half: bool = False,
) -> Path:
    """Write the `net_g` of an experiment, averaged weights where it has them, as safetensors, and return its source.

    The file carries the options of the network, the scale, the kernel (`area`, `bicubic`, `pyramid`) and the mpp of its
    training data, and the model card as metadata, so that it says what it is. An empty text stands for a value that is
    not known.

    Args:
        experiment: folder of the experiment.
        output: a new file that ends in `.safetensors`.
        weights: a `net_g_*.pth` of it; None takes the best, else the newest.
        mpp: µm per HR pixel of the training data; None takes the median of its manifest, where that is still there.
        card: the model card, section by section.
        half: write fp16, half the size.

    Raises:
        UserError: there is no network, the weights are those of another one, a weight is too large for fp16, or
            `output` exists or cannot be written.
    """
    if output.suffix != ".safetensors":
        raise UserError(f"'{output}' must end in .safetensors")
    if os.path.lexists(output):  # also a link that leads nowhere
        raise UserError(f"'{output}' exists: name another file")
    options = recorded_options(experiment)
    source = weights or newest_network(experiment / "models")
    if source is None:
        raise UserError(f"nothing is trained in '{experiment}' yet: there is no net_g in its models/")
    if weights is not None and weights.name.startswith("net_") and not weights.name.startswith("net_g"):
        raise UserError(f"'{weights}' is not the network that makes SR: give a net_g_*.pth")
    tensors = weights_below(source, load_tensors(source, mapped=False), "params_ema")
    refuse_misfit(source, tensors, network_of(options["network_g"], source))
    if half:
        tensors = {name: _half(name, tensor) for name, tensor in tensors.items()}
    metadata = _metadata(options, source, _mpp_of_training(options) if mpp is None else mpp, card or {})
    if unseen_by_others(options["network_g"]):
        tensors = with_options(tensors, options["network_g"])
    try:
        make_folder(output.parent)
        with replacing(output) as partial:
            # Not `save_file`: its file cannot be read by others, and its errors are none of the system.
            partial.write_bytes(save({name: tensor.contiguous() for name, tensor in tensors.items()}, metadata))
            file_hash.fill_in(partial)
    except OSError as error:
        raise UserError(f"cannot write '{output}': {reason_of(error)}") from error
    return source


def _metadata(options: Mapping[str, Any], source: Path, mpp: float | None, card: Mapping[str, Any]) -> dict[str, str]:
    return {
        "format": "pt",
        "network_g": json.dumps(options["network_g"], default=str),
        "scale": str(options.get("scale", "")),
        "options": json.dumps(_without_folders(options), default=str),  # a date is no JSON
        "source": source.name,
        "kernel": kernel_of_weights(source) or "",
        "mpp": "" if mpp is None else str(mpp),
        "card": card_text(card),
        file_hash.KEY: file_hash.BLANK,
    }


def _without_folders(value: Any) -> Any:
    """Options in which every path has become its last part: the file goes to people whom the folders do not concern."""
    if isinstance(value, Mapping):
        return {key: _without_folders(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_without_folders(item) for item in value]
    return Path(value).name if isinstance(value, str) and "/" in value else value


def _half(name: str, tensor: Tensor) -> Tensor:
    if not tensor.is_floating_point():
        return tensor
    if tensor.abs().max() > torch.finfo(torch.float16).max:
        raise UserError(f"--half: {name} has values that fp16 cannot hold: leave it out")
    return tensor.half()


def _mpp_of_training(options: Mapping[str, Any]) -> float | None:
    training = (options.get("datasets") or {}).get("train") or {}
    scale = options.get("scale")
    return mpp_of_data(training, scale) if isinstance(scale, int) else None
