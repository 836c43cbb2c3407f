"""A HoVer-Net that segments pictures, wherever its weights lie."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from datasets_prep.common.files import sha256_of
from datasets_prep.common.text import did_you_mean, with_hint
from mihatp_arch.archs.hovernet_arch import HoVerNet, Mode
from mihatp_arch.bundled_weights import bundled_weights
from mihatp_arch.checkpoints import load_tensors, newest_network, weights_below
from mihatp_arch.errors import UserError
from mihatp_arch.nuclei.postprocess import segment, types_of
from mihatp_arch.nuclei.predict import WINDOW, predict

_STEM, _FIRST_KERNEL, _TYPES = "conv0./.weight", "decoder.np.u3.conva.weight", "decoder.tp.u0.conv.weight"
_OFFICIAL_STEM = 64  # channels


@dataclass(frozen=True)
class Segmented:
    """The nuclei of a picture.

    Attributes:
        labels: [H, W].
        types: type of each pixel, [H, W]; None where nuclei are not classified.
    """

    labels: NDArray[np.int32]
    types: NDArray[np.uint8] | None


@dataclass(frozen=True)
class Segmenter:
    """A network and how it is applied.

    Attributes:
        network: in eval mode.
        name: of the weights.
        sha256: of their file.
        window: side of its input, px.
    """

    network: HoVerNet
    name: str
    sha256: str
    window: int

    @property
    def classifies(self) -> bool:
        """Whether nuclei get types."""
        return self.network.nr_types is not None

    @property
    def identity(self) -> str:
        """What its results depend on besides the picture."""
        return f"{self.sha256} {self.window}"

    @property
    def about(self) -> str:
        """A line about it, for reports."""
        parameters = sum(parameter.numel() for parameter in self.network.parameters()) / 1e6
        kinds = "without types" if self.network.nr_types is None else f"{self.network.nr_types - 1} types"
        network = f"HoVer-Net, mode {self.network.mode}, {parameters:.2f} M parameters, {kinds}"
        return (
            f"Nuclei are segmented by {self.name} ({network}; sha256 {self.sha256[:16]}), windows of {self.window} px."
        )

    def segment(self, image: NDArray[np.uint8]) -> Segmented:
        """The nuclei of a picture, [H, W, 3] RGB; all pixels of a nucleus have its type."""
        maps = predict(self.network, image, window=self.window)
        labels = segment(maps)
        if maps.types is None:
            return Segmented(labels, None)
        numbers, kinds = types_of(labels, maps.types)
        table = np.zeros(labels.max(initial=0) + 1, np.uint8)
        table[numbers] = kinds
        return Segmented(labels, table[labels])


def load_segmenter(source: str, *, window: int | None = None) -> Segmenter:
    """Load a HoVer-Net; its mode, width and number of types follow from the shapes of its weights.

    Args:
        source: the name of bundled weights (`nuclei-light`), the folder of an experiment, a file of `basicsr train` or
            `mihatp export`, or an official checkpoint (a `.tar` that torch.save wrote).
        window: side of its input, px; None: 256 (`fast`) or 270 (`original`), as the official code has it.

    Raises:
        UserError: there is no such file, it holds no HoVer-Net, or the window does not suit it.
    """
    path = _find(source)
    weights = weights_below(path, load_tensors(path, mapped=False), "params_ema")
    network = _built(weights, path)
    smallest = WINDOW[network.mode]
    side = smallest if window is None else window
    if side < smallest or (side - smallest) % 8:
        raise UserError(f"window {side}: this network takes {smallest}, {smallest + 8}, {smallest + 16}, … px")
    return Segmenter(network, source if source in bundled_weights() else path.name, sha256_of(path), side)


def _find(source: str) -> Path:
    names = bundled_weights()
    if source in names:
        return names[source]
    path = Path(source).expanduser()
    if path.is_dir():
        newest = newest_network(path / "models")
        if newest is None:
            raise UserError(f"'{source}' has no trained network: there is no net_g in its models/")
        return newest
    if not path.is_file():
        raise UserError(
            with_hint(f"segmenter '{source}': no such file, and no bundled weights", did_you_mean(source, names))
        )
    return path


def _built(weights: Mapping[str, Tensor], path: Path) -> HoVerNet:
    """The network that the weights fit."""
    try:
        mode: Mode = "original" if weights[_FIRST_KERNEL].shape[-1] == 5 else "fast"
        types = weights[_TYPES].shape[0] if _TYPES in weights else None
        width = weights[_STEM].shape[0] / _OFFICIAL_STEM
        with torch.device("meta"):
            network = HoVerNet(mode=mode, nr_types=types, width=width)
        network.load_state_dict({name: _floats(tensor) for name, tensor in weights.items()}, assign=True)
    except (KeyError, IndexError, RuntimeError) as error:
        reason = " ".join(str(error).split())[:160]
        raise UserError(f"'{path}' holds no HoVer-Net that this version knows: {reason}") from error
    return network.eval().requires_grad_(False)


def _floats(tensor: Tensor) -> Any:
    return tensor.float() if tensor.is_floating_point() else tensor
