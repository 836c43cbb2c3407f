"""Weight files of the networks that losses and metrics compare images with: where they are, and how they are read."""

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from mihatp_arch.errors import UserError
from mihatp_arch.file_hash import refuse_damaged


def torch_hub_file(network: str) -> tuple[Path, str]:
    """The file in which torchvision keeps its ImageNet weights of `network`, and the URL that it downloads."""
    from torchvision.models import get_model_weights  # takes a second

    url: str = get_model_weights(network)["IMAGENET1K_V1"].value.url
    return Path(torch.hub.get_dir()) / "checkpoints" / Path(url).name, url


def imagenet_weights(network: str, *, subject: str, otherwise: str) -> Path:
    """The file of torchvision's ImageNet weights: BasicSR's folder, else torch.hub's, else downloaded to the latter.

    Args:
        network: torchvision's name: alexnet, vgg16 or vgg19.
        subject: the option that asks for the file; an error begins with it.
        otherwise: what a user without the file can do instead; an error ends with it.

    Raises:
        UserError: it is in neither folder and cannot be downloaded.
    """
    from basicsr.archs.vgg_arch import VGG_PRETRAIN_PATH

    in_hub, url = torch_hub_file(network)
    in_basicsr = Path(VGG_PRETRAIN_PATH).with_name(in_hub.name)
    for path in (in_basicsr, in_hub):
        if path.is_file():
            return path
    hash_prefix = in_hub.stem.rpartition("-")[2]
    try:
        in_hub.parent.mkdir(parents=True, exist_ok=True)
        torch.hub.download_url_to_file(url, str(in_hub), hash_prefix=hash_prefix)
    except (OSError, RuntimeError) as error:
        raise UserError(
            f"{subject}: the ImageNet weights of {network} are missing and their download failed ({error}): "
            f"download {url} to {in_basicsr} or {in_hub}, or {otherwise}"
        ) from error
    return in_hub


def read_state_dict(path: Path, *, subject: str, otherwise: str) -> Mapping[str, Tensor]:
    """The tensors of a .pth or .safetensors file, on the CPU. Code in the file is never run.

    Raises:
        UserError: there is no file, or it holds no state dict.
    """
    from timm.models import load_state_dict  # takes 0.7 s

    if not path.is_file():
        raise UserError(f"{subject}: there is no file {path}: {otherwise}")
    try:
        refuse_damaged(path)
        return load_state_dict(str(path), use_ema=False, weights_only=True)
    except Exception as error:  # a damaged file fails in as many ways as there are formats
        raise UserError(f"{subject}: {path} holds no state dict ({first_line(error)})") from error


def load_tensors(body: nn.Module, state: Mapping[str, Tensor], path: Path, *, subject: str) -> None:
    """Load the tensors of `body` from the state dict of `path`, which may hold more (a classifier, later layers).

    Raises:
        UserError: a tensor is missing or has another shape.
    """
    # timm's feature extractors rename stages.0 to stages_0 and wrap some networks as `model`.
    plain = {key.replace("_", "."): value for key, value in state.items()}
    names = {key: key.removeprefix("model.").replace("_", ".") for key in body.state_dict()}
    missing = [key for key, name in names.items() if name not in plain]
    if missing:
        raise UserError(f"{subject}: {path} lacks {missing[0]} and {len(missing) - 1} more: another network's?")
    try:
        body.load_state_dict({key: plain[name] for key, name in names.items()})
    except RuntimeError as error:
        raise UserError(f"{subject}: {path} does not fit: {str(error).splitlines()[-1].strip()}") from error


def first_line(error: Exception) -> str:
    """The first line of the message of an error, or its type where it has none."""
    return (str(error).splitlines() or [type(error).__name__])[0]
