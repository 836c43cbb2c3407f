"""Networks in ONNX files, by onnxruntime."""

from pathlib import Path

import torch
from torch import Tensor

from mihatp_arch.errors import UserError
from mihatp_arch.inference.network import NetworkInfo


class OnnxNetwork:
    """A network of `mihatp export --onnx`; see `network.Network`."""

    def __init__(self, path: Path) -> None:
        raise UserError(f"'{path}': ONNX files cannot be read yet")

    info: NetworkInfo
    device = torch.device("cpu")

    def __call__(self, lr: Tensor) -> Tensor:
        raise NotImplementedError
