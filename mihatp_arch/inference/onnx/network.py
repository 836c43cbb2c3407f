"""Networks in ONNX files of `mihatp export --onnx`, by onnxruntime."""

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from datasets_prep.common.files import sha256_of
from mihatp_arch.errors import UserError
from mihatp_arch.file_hash import refuse_damaged
from mihatp_arch.inference.network import NetworkInfo, mpp_and_card

try:
    import onnxruntime
    from onnxruntime.capi import onnxruntime_pybind11_state as states  # pyright: ignore[reportAttributeAccessIssue]
except ImportError as missing:
    raise UserError("ONNX files need onnxruntime: pip install 'mihatp[onnx]'") from missing

# What onnxruntime raises for a file that it cannot load, or for operators that it does not have.
_MISTAKES = (states.Fail, states.InvalidGraph, states.InvalidProtobuf, states.NotImplemented, states.RuntimeException)


class OnnxNetwork:
    """A network of one tile size, on the CPU; see `network.Network`.

    `info.tile` is the side of the tiles: no other size can be computed.

    Args:
        path: an ONNX file with one input `[1, 3, t, t]` and one output `[1, 3, s·t, s·t]`, both float32.

    Raises:
        UserError: onnxruntime cannot load the file, or it has other inputs or outputs.
    """

    def __init__(self, path: Path) -> None:
        refuse_damaged(path)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = torch.get_num_threads()
        options.log_severity_level = 3  # errors alone
        try:
            self._session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        except _MISTAKES as error:
            raise UserError(f"'{path}' cannot be loaded: {' '.join(str(error).split())[:200]}") from error
        self.side, scale = _side_and_scale(path, self._session)
        self.info = _info(path, self._session.get_modelmeta().custom_metadata_map, self.side, scale)
        self.device = torch.device("cpu")

    def __call__(self, lr: Tensor) -> Tensor:
        """`[B, 3, t, t]` -> `[B, 3, s·t, s·t]`, tile after tile. Raises `UserError` for tiles of another size."""
        if lr.shape[1:] != (3, self.side, self.side):
            raise UserError(f"'{self.info.name}' takes tiles of {self.side}×{self.side} px, not {list(lr.shape[2:])}")
        feed = self._session.get_inputs()[0].name
        tiles = (self._session.run(None, {feed: tile.numpy()})[0] for tile in lr.float().split(1))
        return torch.cat([torch.from_numpy(tile) for tile in tiles])


def _side_and_scale(path: Path, session: onnxruntime.InferenceSession) -> tuple[int, int]:
    inputs, outputs = session.get_inputs(), session.get_outputs()
    shapes = [value.shape for value in (*inputs, *outputs)]
    side = shapes[0][-1] if shapes and shapes[0] else None
    larger = shapes[-1][-1] if shapes and shapes[-1] else None
    if isinstance(side, int) and isinstance(larger, int) and side > 0 and larger % side == 0:
        wanted = [[1, 3, side, side], [1, 3, larger, larger]]
        if shapes == wanted and all(value.type == "tensor(float)" for value in (*inputs, *outputs)):
            return side, larger // side
    raise UserError(f"'{path}' has inputs and outputs {shapes}, not one tile [1, 3, t, t] and its SR: export it again")


def _info(path: Path, metadata: Mapping[str, str], side: int, scale: int) -> NetworkInfo:
    try:
        mpp, card = mpp_and_card(metadata)
    except ValueError as error:
        raise UserError(f"'{path}' has damaged metadata ({error}): export it again") from error
    sha256 = metadata.get("sha256") or sha256_of(path)
    return NetworkInfo(path.name, scale, metadata.get("kernel") or None, mpp, sha256, side, card, side)
