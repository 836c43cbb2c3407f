"""Load a HoVer-Net, from whatever holds it."""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from datasets_prep.common.text import did_you_mean
from mihatp_arch.archs.hovernet_arch import HoVerNet
from mihatp_arch.bundled_weights import bundled_weights, read_metadata
from mihatp_arch.checkpoints import load_tensors, newest_network, weights_below
from mihatp_arch.errors import UserError
from mihatp_arch.inference.load import find_device, option_file, recorded_options

BUNDLED = "nuclei-light"
_MODE_OF_KERNEL = {5: "original", 3: "fast"}
_DECODER, _TYPES = "decoder.np.u3.conva.weight", "decoder.tp.u0.conv.bias"
_CHANNELS = {  # weights -> their channels in the official network
    "conv0./.weight": 64,
    "d0.blk_bna.bn.weight": 256,
    "d1.blk_bna.bn.weight": 512,
    "d2.blk_bna.bn.weight": 1024,
    "d3.blk_bna.bn.weight": 2048,
    "decoder.np.u3.dense.units.0.conv1.weight": 128,
    "decoder.np.u3.dense.units.0.conv2.weight": 32,
}
_STEP = 4  # a number of channels is a multiple of it


def load_nuclei_network(source: str | os.PathLike[str] = BUNDLED, *, device: str = "cpu") -> HoVerNet:
    """Load the HoVer-Net in `source`, in evaluation mode.

    Args:
        source: the name of bundled weights, a `.safetensors` file of `mihatp export`, the folder of an experiment or a
            `net_g_*.pth` in it, an official checkpoint (`.tar`, `.pth`), or any other state dict of those names.
        device: `auto` (a GPU where there is one), `cpu`, `cuda`, `cuda:1`, …

    Raises:
        UserError: there is no such file or name, or it holds no HoVer-Net; there is no such device.
    """
    path = nuclei_weights(source)
    weights = weights_below(path, load_tensors(path, mapped=False), "params_ema")
    tensors = {name: tensor.float() for name, tensor in weights.items()}
    options = _stated_options(path) or _options_of(tensors, path)
    if options.get("type", HoVerNet.__name__) != HoVerNet.__name__:
        raise UserError(f"'{path}' is a {options['type']}, no HoVerNet: give weights that segment nuclei")
    try:
        network = HoVerNet(**{name: value for name, value in options.items() if name != "type"})
        network.load_state_dict(tensors)
    except (RuntimeError, TypeError) as error:
        raise UserError(f"'{path}' does not fit HoVerNet: {' '.join(str(error).split())[:200]}") from error
    return network.to(find_device(device)).eval().requires_grad_(False)


def nuclei_weights(source: str | os.PathLike[str]) -> Path:
    """The file of weights in `source`, as for `load_nuclei_network`. Raises `UserError` where there is none."""
    names = bundled_weights()
    if str(source) in names:
        return names[str(source)]
    path = Path(source).expanduser()
    if not str(source) or not path.exists():
        hint = did_you_mean(str(source), names) or "give a file, or the folder of an experiment"
        raise UserError(f"weights '{source}': no such file, and no bundled weights: {hint}")
    if not path.is_dir():
        return path
    newest = newest_network(path / "models")
    if newest is None:
        raise UserError(f"'{path}' has no trained network: there is no net_g in '{path / 'models'}'")
    return newest


def _stated_options(path: Path) -> dict[str, Any] | None:
    """The options of the network that lie in the file or in the folder of its experiment; None: there are none."""
    if path.suffix == ".safetensors":
        text = read_metadata(path).get("network_g")
        try:
            return dict(json.loads(text)) if text else None
        except (TypeError, ValueError) as error:
            raise UserError(f"the options of '{path}' cannot be read ({error}): export the network again") from error
    experiment = path.parent.parent
    return recorded_options(experiment)["network_g"] if option_file(experiment).is_file() else None


def _options_of(tensors: Mapping[str, Tensor], path: Path) -> dict[str, Any]:
    """The options of the network, from the shapes of its weights."""
    if not {_DECODER, *_CHANNELS} <= tensors.keys():
        names = ", ".join(sorted(tensors)[:3])
        raise UserError(f"'{path}' holds no HoVer-Net (its weights are {names}, …): give a checkpoint of one")
    mode = _MODE_OF_KERNEL.get(tensors[_DECODER].shape[-1])
    if mode is None:
        raise UserError(f"'{path}' holds no HoVer-Net: its decoder has kernels of {tensors[_DECODER].shape[-1]} px")
    types = tensors.get(_TYPES)
    return {"mode": mode, "nr_types": None if types is None else len(types), "width": _width(tensors)}


def _width(tensors: Mapping[str, Tensor]) -> float:
    """A factor that gives the numbers of channels of all weights: they are rounded to multiples of 4, and 4 or more."""
    numbers = [(len(tensors[name]), official) for name, official in _CHANNELS.items()]
    lowest = max((number - _STEP / 2) / official if number > _STEP else 0 for number, official in numbers)
    highest = min((number + _STEP / 2) / official for number, official in numbers)
    return min(1.0, (lowest + highest) / 2)
