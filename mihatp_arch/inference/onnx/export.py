"""Write a network as an ONNX file for tiles of one size, and compare its results with those of PyTorch."""

import logging
import os
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from datasets_prep.common.files import replacing
from mihatp_arch import file_hash
from mihatp_arch.errors import UserError, reason_of
from mihatp_arch.inference.load import load_network
from mihatp_arch.inference.network import TILE, NetworkInfo, TorchNetwork, card_text
from mihatp_arch.inference.onnx.network import OnnxNetwork

try:
    import onnxscript  # noqa: F401  torch.onnx imports it when it exports
except ImportError as missing:
    raise UserError("ONNX files need onnx and onnxscript: pip install 'mihatp[onnx]'") from missing

TOLERANCE = 1e-4  # of SR in [0, 1]


def export_onnx(
    source: str | Path,
    output: Path,
    *,
    tile: int | None = None,
    mpp: float | None = None,
    card: Mapping[str, Any] | None = None,
) -> float:
    """Write a network as ONNX: float32 `lr` `[1, 3, t, t]` RGB in [0, 1] -> `sr` `[1, 3, s·t, s·t]`, not clamped.

    The file carries the name, scale, kernel, mpp, card and SHA-256 of the weights, and the side of the tiles.

    Args:
        source: what `load_network` takes: bundled weights, an experiment or a file.
        output: a new file that ends in `.onnx`.
        tile: t, LR px; None: the largest multiple up to 160 that the network need not pad.
        mpp: µm per SR pixel in the training; None: what `source` says.
        card: the model card; None: that of `source`.

    Returns:
        The largest difference between onnxruntime and PyTorch for a tile of noise.

    Raises:
        UserError: the network cannot be loaded, or not be written as ONNX; the difference is above 1e-4; `output`
            exists or cannot be written. There is no file then.
    """
    if output.suffix != ".onnx":
        raise UserError(f"'{output}' must end in .onnx")
    if os.path.lexists(output):  # also a link that leads nowhere
        raise UserError(f"'{output}' exists: name another file")
    if not output.parent.is_dir():
        raise UserError(f"'{output}': there is no folder '{output.parent}': make it first")
    network = load_network(source, device="cpu")
    if not isinstance(network, TorchNetwork):
        raise UserError(f"'{source}' is an ONNX file already")
    side = max(TILE // network.info.multiple, 1) * network.info.multiple if tile is None else tile
    if side < 1:
        raise UserError(f"--tile {side}: a tile has at least 1 px")
    lr = torch.rand(1, 3, side, side, generator=torch.Generator().manual_seed(0))
    program = _exported(network.module, lr, source)
    metadata = _metadata(network.info, side)
    metadata |= {} if mpp is None else {"mpp": str(mpp)}
    metadata |= {} if card is None else {"card": card_text(card)}
    program.model.metadata_props.update(metadata)
    try:
        with replacing(output) as partial:
            program.save(partial)
            file_hash.fill_in(partial)
            difference = float((OnnxNetwork(partial)(lr) - network(lr)).abs().max())
            if not difference <= TOLERANCE:
                raise UserError(f"'{source}' as ONNX gives SR that differs by {difference:.2g}: nothing is written")
    except OSError as error:
        raise UserError(f"cannot write '{output}': {reason_of(error)}") from error
    return difference


def _exported(module: nn.Module, lr: Tensor, source: str | Path) -> torch.onnx.ONNXProgram:
    try:
        with _quiet():
            program = torch.onnx.export(
                module, (lr,), dynamo=True, input_names=["lr"], output_names=["sr"], verbose=False
            )
    except torch.onnx.OnnxExporterError as error:
        reason = " ".join(str(error.__cause__ or error).split())
        raise UserError(f"'{source}' cannot be written as ONNX: {reason[:200]}") from error
    if program is None:
        raise UserError(f"'{source}' cannot be written as ONNX")
    return program


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the messages of PyTorch and onnxscript about their own code."""
    loggers = [logging.getLogger(name) for name in ("onnxscript", "onnx_ir", "torch.onnx")]
    levels = [logger.level for logger in loggers]
    try:
        for logger in loggers:
            logger.setLevel(logging.ERROR)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


def _metadata(info: NetworkInfo, side: int) -> dict[str, str]:
    return {
        "name": info.name,
        "scale": str(info.scale),
        "kernel": info.kernel or "",
        "mpp": "" if info.mpp is None else str(info.mpp),
        "tile": str(side),
        "card": card_text(info.card),
        "sha256": info.sha256,
        file_hash.KEY: file_hash.BLANK,
    }
