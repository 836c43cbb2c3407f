"""The weight files of ST-LPIPS, which the package stlpips-pytorch contains.

The package itself is never imported: it imports IPython and torchsummary, which it does not declare. Its two files are
state dicts of ST-LPIPS (Ghildyal and Liu, ECCV 2022): an AlexNet and a VGG16 with blurred poolings (`blur_pool`), and
the weights of the distance between two images at five layers.
"""

import re
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

from torch import Tensor

from mihatp_arch.errors import UserError

STLPIPSName = Literal["alexnet", "vgg16"]
PACKAGE = "stlpips-pytorch==0.0.2"
_FILES: Mapping[str, str] = {"alexnet": "alex_shift_tolerant.pth", "vgg16": "vgg_shift_tolerant.pth"}
# Index of a convolution in the file, where blurs are counted too -> torchvision's index of it
_INDICES: Mapping[str, Mapping[int, int]] = {
    "alexnet": {0: 0, 5: 3, 9: 6, 11: 8, 13: 10},
    "vgg16": {0: 0, 2: 2, 6: 5, 8: 7, 12: 10, 14: 12, 16: 14, 20: 17, 22: 19, 24: 21, 28: 24, 30: 26, 32: 28},
}
_CONVOLUTION = re.compile(r"net\.slice\d\.(\d+)\.(weight|bias)")


def has_weights(network: STLPIPSName) -> bool:
    """Whether the file of `network` is in an installed package."""
    try:
        weights_file(network, subject="")
    except UserError:
        return False
    return True


def weights_file(network: STLPIPSName, *, subject: str) -> Path:
    """The file of `network` in the installed package.

    Args:
        network: alexnet or vgg16.
        subject: the option or metric that asks for the file; the error begins with it.

    Raises:
        UserError: the package or the file in it is missing.
    """
    spec = find_spec("stlpips_pytorch")  # finds the folder without running the package
    folders = spec.submodule_search_locations if spec else None
    if not folders:
        raise UserError(f"{subject}: the weights of ST-LPIPS are missing: pip install {PACKAGE}")
    path = Path(folders[0]) / "weights" / "vST0.0" / _FILES[network]
    if not path.is_file():
        raise UserError(f"{subject}: there is no file {path}: pip install --force-reinstall {PACKAGE}")
    return path


def holds_stlpips(state: Mapping[str, Tensor]) -> bool:
    """Whether a state dict has ST-LPIPS's names; the file may be cut after any layer."""
    return any(_CONVOLUTION.fullmatch(key) for key in state)


def torchvision_names(state: Mapping[str, Tensor], network: STLPIPSName) -> dict[str, Tensor]:
    """The convolutions of a state dict of ST-LPIPS, by torchvision's names (features.0.weight ...)."""
    matches = ((_CONVOLUTION.fullmatch(key), tensor) for key, tensor in state.items())
    indices = _INDICES[network]
    return {
        f"features.{indices[int(match[1])]}.{match[2]}": tensor
        for match, tensor in matches
        if match and int(match[1]) in indices
    }
