"""Weights from the folders of diffusers, under the parameter names of our networks."""

import json
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from mihatp_arch.errors import UserError


def load_folder(folder: Path) -> dict[str, Tensor]:
    """The state dict in a folder that diffusers has saved; nothing is downloaded.

    A folder with unet/ and vqvae/, as CompVis/ldm-super-resolution-4x-openimages, holds an `LDM`; a folder with
    config.json holds an `Autoencoder`.

    Raises:
        UserError: the folder holds neither, or cannot be loaded.
    """
    from diffusers import UNet2DModel  # takes a second to import

    if not (folder / "unet").is_dir():
        return _autoencoder(folder)
    unet = _load(UNet2DModel, folder / "unet").state_dict()
    first_stage = _autoencoder(next((folder / name for name in ("vqvae", "vae") if (folder / name).is_dir()), folder))
    return {f"unet.{name}": weight for name, weight in unet.items()} | {
        f"first_stage.{name}": weight for name, weight in first_stage.items()
    }


def _autoencoder(folder: Path) -> dict[str, Tensor]:
    from diffusers import AutoencoderKL, VQModel

    if not (folder / "config.json").is_file():
        raise UserError(f"'{folder}' is no folder of diffusers: it has neither unet/ and vqvae/ nor config.json")
    try:
        kl = json.loads((folder / "config.json").read_text(encoding="utf-8"))["_class_name"] == "AutoencoderKL"
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(f"'{folder / 'config.json'}' is no configuration of diffusers") from error
    vae = _load(AutoencoderKL if kl else VQModel, folder)
    std = 1 / vae.config.scaling_factor if kl else 1.0  # the authors' LDM uses VQ's latents unscaled
    shape = (vae.config.latent_channels, 1, 1)
    moments = {"latent_mean": torch.zeros(shape), "latent_std": torch.full(shape, std)}
    codes = {} if kl else {"idle": torch.zeros(vae.config.num_vq_embeddings, dtype=torch.long)}
    return {f"vae.{name}": weight for name, weight in vae.state_dict().items()} | moments | codes


def _load(kind: Any, folder: Path) -> Any:
    try:
        return kind.from_pretrained(folder, local_files_only=True)
    except (OSError, ValueError, RuntimeError, KeyError, TypeError) as error:
        raise UserError(f"'{folder}' cannot be loaded as {kind.__name__}: {str(error).splitlines()[0]}") from error
