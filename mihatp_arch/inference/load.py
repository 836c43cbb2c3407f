"""Load a trained network for inference, from whatever holds it."""

import json
import os
from collections.abc import Mapping
from dataclasses import replace
from numbers import Integral
from pathlib import Path
from typing import Any

import torch
import yaml
from basicsr.archs import build_network
from torch import nn

from datasets_prep.common.files import sha256_of
from datasets_prep.common.text import did_you_mean
from mihatp_arch.archs.spandrel_arch import Spandrel, is_packaged, kernel_of_packaged, weights_file
from mihatp_arch.bundled_weights import bundled_weights, read_metadata
from mihatp_arch.checkpoints import kernel_of_weights, load_tensors, newest_network, weights_below
from mihatp_arch.errors import UserError
from mihatp_arch.inference.network import PRECISIONS, Network, NetworkInfo, Precision, TorchNetwork, mpp_and_card

_SUFFIX = ".safetensors"
_BUNDLED = "he-light-x{}"
_MULTIPLES = {"DAT": 32, "HAT": 16, "MiHATP": 16, "SwinIR": 8}  # sides that these networks need not pad


def bundled_scales() -> list[int]:
    """The scales that `load_network` has bundled weights for."""
    names = bundled_weights(_BUNDLED.format("*"))
    return [scale for scale in range(1, 17) if _BUNDLED.format(scale) in names]


def load_network(
    source: str | os.PathLike[str] | None = None,
    *,
    scale: int | None = None,
    device: str = "auto",
    precision: Precision = "fp32",
) -> Network:
    """Load the network in `source`.

    Args:
        source: the name of bundled weights, a `.safetensors` file of `mihatp export`, the folder of an experiment or a
            `net_g_*.pth` in it, an `.onnx` file of `mihatp export --onnx`, or any file that spandrel knows. None takes
            the bundled weights of `scale`.
        scale: the scale that it must have; None takes that of the weights.
        device: `auto` (a GPU where there is one), `cpu`, `cuda`, `cuda:1`, …
        precision: `bf16` is faster on processors that have it; SR differs by one or two code values of 8 bits.

    Raises:
        UserError: there is no such file or name, it cannot be loaded, or it has another scale; there is no such
            precision or device, also for an ONNX file, which is computed in fp32 on the CPU.
    """
    if precision not in PRECISIONS:
        raise UserError(f"precision '{precision}': choose from {', '.join(PRECISIONS)}")
    if scale is not None and not isinstance(scale, Integral):
        raise UserError(f"scale {scale!r}: give a whole number, such as 4")
    name, path = _find(source, scale)
    if path.suffix == ".onnx":
        if precision != "fp32" or device not in ("auto", "cpu"):
            raise UserError(
                f"'{name}' is an ONNX file, which is computed in fp32 on the CPU: leave precision and device"
            )
        from mihatp_arch.inference.onnx.network import OnnxNetwork  # needs the extra `onnx`

        network: Network = OnnxNetwork(path)
    else:
        module, info = _load(name, path)
        network = TorchNetwork(module, info, device=find_device(device), precision=precision)
        _check_output(network, source=name)
    if scale is not None and network.info.scale != scale:
        raise UserError(f"'{name}' enlarges {network.info.scale} times, not {scale}: give other weights, or leave it")
    return network


def _check_output(network: Network, *, source: str) -> None:
    """Raise `UserError` unless the network makes SR images of LR images, as an autoencoder does not."""
    side = 16
    try:
        sr = network(torch.zeros(1, 3, side, side))
    except (RuntimeError, TypeError, ValueError) as error:
        raise UserError(f"'{source}' makes no SR image of an LR image: {' '.join(str(error).split())[:200]}") from error
    wanted = (1, 3, side * network.info.scale, side * network.info.scale)
    if sr.shape != wanted:
        raise UserError(f"'{source}' makes {list(sr.shape)} of [1, 3, {side}, {side}], not {list(wanted)}")


def find_device(name: str) -> torch.device:
    """The device of this name; `auto` is a GPU where there is one. Raises `UserError` where it does not exist."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError, TypeError) as error:
        reason = str(error).splitlines()[0]
        raise UserError(f"device '{name}' cannot be used ({reason}): give cpu, or leave the option out") from error
    return device


def _find(source: str | os.PathLike[str] | None, scale: int | None) -> tuple[str, Path]:
    """The name and the file or folder of `source`."""
    names = bundled_weights(_BUNDLED.format("*"))
    if source is None:
        if scale is None:
            raise UserError(f"give weights ({', '.join(names)}, or a file) or a scale")
        source = _BUNDLED.format(scale)
        if source not in names:
            raise UserError(f"no bundled weights enlarge {scale} times ({', '.join(names)}): give weights")
    if not isinstance(source, (str, os.PathLike)) or not str(source):
        raise UserError(f"weights {source!r}: give a name ({', '.join(names)}), a file or a folder")
    if str(source) in names:
        return str(source), names[str(source)]
    if is_packaged(str(source)):
        return str(source), weights_file(str(source), scale)
    path = Path(source).expanduser()
    if not path.exists() and str(source) in bundled_weights():
        raise UserError(f"weights '{source}' find nuclei and enlarge nothing: give {', '.join(names)}, or a file")
    if not path.exists():
        hint = did_you_mean(str(source), names) or f"those are {', '.join(names)}"
        raise UserError(f"weights '{source}': no such file, and no bundled weights: {hint}")
    return path.name, path


def _load(name: str, path: Path) -> tuple[nn.Module, NetworkInfo]:
    if path.is_dir():
        weights = newest_network(path / "models")
        if weights is None:
            raise UserError(f"'{path}' has no trained network: there is no net_g in '{path / 'models'}'")
        return _of_experiment(name, weights)
    if path.suffix == _SUFFIX and (metadata := read_metadata(path)).get("network_g"):
        return _of_export(name, path, metadata)
    if option_file(path.parent.parent).is_file():
        return _of_experiment(path.parent.parent.name, path)
    return _of_spandrel(name, path)


def _of_export(name: str, path: Path, metadata: Mapping[str, str]) -> tuple[nn.Module, NetworkInfo]:
    """A file of `mihatp export`: its metadata holds the options of the network."""
    try:
        options = json.loads(metadata["network_g"])
        scale = int(metadata.get("scale") or options.get("upscale") or 0)
        mpp, card = mpp_and_card(metadata)
    except (ValueError, TypeError, AttributeError) as error:
        raise UserError(f"'{path}' has damaged metadata ({error}): export it again") from error
    if options.get("type") == "Spandrel":  # the file has the names of the original weights, which spandrel knows
        module, original = _of_spandrel(name, path)
        return module, replace(original, mpp=mpp, card=card)
    module = _built(options, path, weights_below(path, load_tensors(path, mapped=False), None))
    info = NetworkInfo(name, scale, metadata.get("kernel") or None, mpp, sha256_of(path), _multiple(options), card)
    return module, info


def _of_experiment(name: str, weights: Path) -> tuple[nn.Module, NetworkInfo]:
    """A `net_g` of `basicsr train`: the option file in the folder of the experiment describes the network."""
    experiment = weights.parent.parent
    options = recorded_options(experiment)
    network = options["network_g"]
    try:
        scale = int(options["scale"])
    except (LookupError, TypeError, ValueError) as error:
        raise UserError(
            f"'{option_file(experiment)}' has no scale ({error}): name the folder of an experiment"
        ) from error
    tensors = weights_below(weights, load_tensors(weights, mapped=False), "params_ema")
    module = _built(network, weights, tensors)
    return module, NetworkInfo(name, scale, kernel_of_weights(weights), None, sha256_of(weights), _multiple(network))


def option_file(experiment: Path) -> Path:
    """The option file that `basicsr train` leaves in the folder of its experiment."""
    return experiment / f"{experiment.name}.yml"


def recorded_options(experiment: Path) -> dict[str, Any]:
    """The options in `option_file`, with those of the network as the dict `network_g`.

    Raises:
        UserError: there are none, or they describe no network.
    """
    file = option_file(experiment)
    is_renamed = not file.exists() and (experiment / "models").is_dir()
    others = sorted(experiment.glob("*.yml")) if is_renamed else []
    if len(others) == 1:
        raise UserError(
            f"'{experiment}' is the renamed folder of an experiment, whose options are in {others[0].name}: name it "
            f"{others[0].stem} again"
        )
    try:
        options = yaml.safe_load(file.read_text(encoding="utf-8"))
        return options | {"network_g": dict(options["network_g"])}
    except (OSError, UnicodeDecodeError, yaml.YAMLError, LookupError, TypeError, ValueError) as error:
        raise UserError(f"'{file}' cannot be read ({error}): name the folder of an experiment") from error


def _of_spandrel(name: str, path: Path) -> tuple[nn.Module, NetworkInfo]:
    module = Spandrel(file=str(path))
    kernel = kernel_of_packaged(name) or kernel_of_weights(path)
    multiple = _MULTIPLES.get(type(module.network).__name__, 16)
    return module, NetworkInfo(name, module.upscale, kernel, None, sha256_of(path), multiple)


def network_of(options: Mapping[str, Any], path: Path) -> nn.Module:
    """The network of recorded options, before it has the weights in `path`. Raises `UserError` where there is none."""
    # `start` (DAT) names weights that those of the file replace at once; they need not be there.
    options = {key: value for key, value in options.items() if key != "start"}
    try:
        module: nn.Module = build_network(options)
        return module
    except (KeyError, TypeError) as error:
        raise UserError(f"'{path}' is of a network that this version does not have: {error}") from error


def _built(options: Mapping[str, Any], path: Path, tensors: Mapping[str, torch.Tensor]) -> nn.Module:
    module = network_of(options, path)
    try:
        module.load_state_dict({key: tensor.float() for key, tensor in tensors.items()})
    except RuntimeError as error:
        reason = " ".join(str(error).split())
        raise UserError(f"'{path}' does not fit its network: {reason[:200]}") from error
    return module


def _multiple(options: Mapping[str, Any]) -> int:
    return int(options.get("window_size") or _MULTIPLES.get(str(options.get("type")), 16))
