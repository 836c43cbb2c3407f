"""Image tiles on disk: which there are, and their pixels."""

import os
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from datasets_prep.common.errors import UserError

SUFFIXES = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp")


def read_rgb(path: Path) -> NDArray[np.uint8]:
    """H×W×3 uint8 RGB of an 8-bit colour image; transparency over white, as glass is. Raises `UserError` otherwise."""
    try:
        with Image.open(path) as image:
            if image.mode not in ("RGB", "RGBA", "P"):
                raise UserError(f"{path} has pixels of mode {image.mode}: 8-bit RGB is needed")
            if image.mode == "RGB" and "transparency" not in image.info:
                return np.asarray(image)
            rgba = image.convert("RGBA")
            return np.asarray(Image.alpha_composite(Image.new("RGBA", rgba.size, "white"), rgba).convert("RGB"))
    except (OSError, SyntaxError, ValueError, EOFError, Image.DecompressionBombError) as error:
        raise UserError(f"{path} cannot be read as an image ({error}): replace or remove it") from error


def real_path(path: Path) -> Path:
    """`path` with every link followed."""
    return Path(os.path.realpath(path))  # unlike `resolve` of Python 3.12, it takes a loop of links


def find_images(folder: Path) -> dict[Path, str]:
    """Resolved path -> name of every image file under `folder`, hidden ones aside, in the order of their names."""
    try:
        if not folder.is_dir():
            raise UserError(f"{folder} is not a folder: give the folder that holds the image tiles")
        names = {path: path.relative_to(folder) for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES}
    except OSError as error:
        raise UserError(f"{folder} cannot be read ({error.strerror or error}): give a folder of image tiles") from error
    shown = {path: name for path, name in names.items() if not any(part.startswith(".") for part in name.parts)}
    found = {real_path(path): name.as_posix() for path, name in shown.items()}
    if not found:
        raise UserError(f"{folder} holds no image tiles ({', '.join(SUFFIXES)})")
    return dict(sorted(found.items(), key=lambda item: item[1]))
