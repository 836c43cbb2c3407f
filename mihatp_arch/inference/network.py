"""A network as inference sees it: a function of tiles, and the facts about its weights."""

import json
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Literal, Protocol, TypeAlias

import torch
from torch import Tensor, nn

from mihatp_arch.archs.fast.calibration import Calibration, calibrated
from mihatp_arch.archs.fast.fast_setting import fast_setting
from mihatp_arch.errors import UserError
from mihatp_arch.inference.prepare import prepare_for_inference
from mihatp_arch.inference.tile_threads import in_threads

Precision: TypeAlias = Literal["fp32", "bf16"]
PRECISIONS: tuple[Precision, ...] = ("fp32", "bf16")
TILE = 160  # LR px; larger tiles waste less on halos, but need more memory and are slower: they leave the cache

_SIZES = 8  # of tiles for which a prepared network is in memory; 70 MiB each for DAT-light with tiles of 160 px


@dataclass(frozen=True)
class NetworkInfo:
    """The facts about a network and its weights.

    Attributes:
        name: of the bundled weights, or of the file or folder.
        scale: SR pixels for each LR pixel, along each axis.
        kernel: how LR was made in the training: `area`, `bicubic` or `pyramid`; None where nobody knows.
        mpp: µm per SR pixel in the training; None where nobody knows.
        sha256: of the file of weights.
        multiple: sides of tiles should be multiples of it: the network would pad them.
        card: the model card, section by section; empty for weights without one.
        tile: side of the only tiles that the network computes, LR px; None where it computes any.
    """

    name: str
    scale: int
    kernel: str | None = None
    mpp: float | None = None
    sha256: str = ""
    multiple: int = 1
    card: Mapping[str, Any] = field(default_factory=dict)
    tile: int | None = None

    def side(self, asked: int | None = None) -> int:
        """The largest side of the tiles, LR px: `asked`, else 160; that of an ONNX file is fixed.

        Raises:
            UserError: another side than that of the ONNX file is asked for.
        """
        if self.tile is not None and asked not in (None, self.tile):
            raise UserError(f"tile {asked}: '{self.name}' computes tiles of {self.tile} px alone: leave the tile out")
        return self.tile or (TILE if asked is None else asked)


def mpp_and_card(metadata: Mapping[str, str]) -> tuple[float | None, Mapping[str, Any]]:
    """The `mpp` and the model card in the metadata of an exported file. Raises `ValueError` for damaged ones."""
    mpp = float(metadata["mpp"]) if metadata.get("mpp") else None
    return mpp, json.loads(metadata.get("card") or "{}")


def card_text(card: Mapping[str, Any]) -> str:
    """A model card for the metadata of a file. Raises `UserError` where JSON cannot hold it."""
    try:
        return json.dumps(dict(card), default=str, allow_nan=False)
    except ValueError as error:
        raise UserError(f"the model card has a number that JSON cannot hold ({error}): correct it") from error


class Network(Protocol):
    """What inference needs of a network."""

    @property
    def info(self) -> NetworkInfo: ...

    @property
    def device(self) -> torch.device: ...

    def __call__(self, lr: Tensor) -> Tensor:
        """`[B, 3, H, W]` float32 RGB in [0, 1] on the CPU -> `[B, 3, s·H, s·W]` float32 on the CPU, not clamped."""
        ...


class TorchNetwork:
    """A network of torch, in evaluation mode on one device.

    Args:
        module: `[B, 3, H, W]` -> `[B, 3, s·H, s·W]`.
        info: the facts about it.
        device: where it runs.
        precision: `bf16` runs it under autocast; the result is float32 in any case.
    """

    def __init__(self, module: nn.Module, info: NetworkInfo, *, device: torch.device, precision: Precision) -> None:
        self.info = info
        self.device = device
        self.precision = precision
        self.module = module.to(device).eval().requires_grad_(False)
        fast_setting()  # a mistake in it ends the run here
        self._calibration = Calibration() if device.type == "cpu" else None
        self._prepared: dict[int, nn.Module] = {}  # by the side of the tiles

    def __call__(self, lr: Tensor) -> Tensor:
        module = self._for_tiles(*lr.shape[-2:])
        if self.device.type != "cpu":
            return self._computed(module, lr)
        # Not as a batch: its size would change the last bits.
        return torch.cat(in_threads(partial(self._computed, module), lr.split(1)))

    @torch.inference_mode()
    def _computed(self, module: nn.Module, lr: Tensor) -> Tensor:
        with self._autocast(), calibrated(self._calibration):
            return module(lr.to(self.device, non_blocking=True)).float().cpu()

    def _for_tiles(self, height: int, width: int) -> nn.Module:
        if height != width:
            return self.module
        if width not in self._prepared:
            if len(self._prepared) == _SIZES:
                self._prepared.clear()
            self._prepared[width] = prepare_for_inference(self.module, tile=width)
        return self._prepared[width]

    def _autocast(self) -> AbstractContextManager[Any]:
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.precision == "bf16")
