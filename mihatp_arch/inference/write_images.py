"""Pictures to PNG, JPEG and TIFF files, whole or not at all; `images.py` reads them."""

import io
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import tifffile
from PIL import Image, PngImagePlugin, TiffImagePlugin

from datasets_prep.common.files import COMPUTED, write_file
from datasets_prep.common.text import did_you_mean, with_hint
from mihatp_arch.errors import UserError, reason_of
from mihatp_arch.inference.images import Picture

MARK = COMPUTED  # in the description of each picture
SUFFIXES = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG", ".tif": "TIFF", ".tiff": "TIFF"}
_JPEG_QUALITY = 95
_JPEG_SIDE = 65_500  # px, of libjpeg
_JFIF_DENSITY = 65_535  # pixels per inch; a larger value goes into EXIF alone
_X_RESOLUTION, _Y_RESOLUTION, _RESOLUTION_UNIT = 282, 283, 296  # EXIF tags


def format_to_write(path: Path) -> str:
    """`PNG`, `JPEG` or `TIFF`, by the ending of the name. Raises `UserError` for another ending."""
    format = SUFFIXES.get(path.suffix.lower())
    if format is None:
        wrong = f"{path}: a picture is written as {', '.join(SUFFIXES)}, not as '{path.suffix}'"
        raise UserError(with_hint(wrong, did_you_mean(path.suffix.lower(), SUFFIXES)))
    return format


def check_writable(picture: Picture, path: Path, scale: int) -> None:
    """Raise `UserError` unless the file format of `path` can hold the picture `scale` times enlarged."""
    if format_to_write(path) != "JPEG":
        return
    if picture.alpha is not None and int(picture.alpha.min(initial=255)) < 255:
        raise UserError(f"{path}: JPEG has no transparency, which the picture has: write .png or .tiff")
    width, height = (side * scale for side in picture.size)
    if max(width, height) > _JPEG_SIDE:
        raise UserError(f"{path}: JPEG holds at most {_JPEG_SIDE} px, not {width}×{height}: write .png or .tiff")


def write_picture(picture: Picture, path: Path, *, description: str = "") -> None:
    """Write a picture in the format that the ending of `path` names; an existing file is replaced.

    PNG and TIFF (deflate) are lossless, JPEG has quality 95 and full colour resolution (4:4:4). Colour profile,
    resolution and, except in JPEG, opacity are written too.

    Args:
        picture: the picture.
        path: the file.
        description: a text for the reader, in ASCII.

    Raises:
        UserError: the file cannot be written, or its format cannot hold the picture.
    """
    check_writable(picture, path, 1)
    data = _ENCODERS[format_to_write(path)](picture, description)
    try:
        write_file(path, data)
    except (OSError, ValueError) as error:
        raise UserError(f"cannot write {path}: {reason_of(error)}") from error


def _png(picture: Picture, description: str) -> memoryview:
    info = PngImagePlugin.PngInfo()
    if description:
        info.add_text("Description", description)
    return _saved(picture.to_pil(), "PNG", {"pnginfo": info, "icc_profile": picture.icc, "dpi": picture.dpi})


def _jpeg(picture: Picture, description: str) -> memoryview:
    options: dict[str, object] = {"quality": _JPEG_QUALITY, "subsampling": "4:4:4", "comment": description}
    if picture.dpi is not None:
        if max(picture.dpi) <= _JFIF_DENSITY:
            options["dpi"] = tuple(map(round, picture.dpi))
        exif = Image.Exif()
        exif[_X_RESOLUTION], exif[_Y_RESOLUTION] = map(TiffImagePlugin.IFDRational, picture.dpi)
        exif[_RESOLUTION_UNIT] = 2  # inch
        options["exif"] = exif
    image = Image.fromarray(picture.rgb)
    return _saved(image, "JPEG", {**options, "icc_profile": picture.icc})


def _saved(image: Image.Image, format: str, options: Mapping[str, object]) -> memoryview:
    file = io.BytesIO()
    image.save(file, format, **{name: value for name, value in options.items() if value})
    return file.getbuffer()


def _tiff(picture: Picture, description: str) -> memoryview:
    alpha = picture.alpha
    pixels = picture.rgb if alpha is None else np.dstack([picture.rgb, alpha])
    file = io.BytesIO()
    tifffile.imwrite(
        file,
        pixels,
        photometric="rgb",
        extrasamples=None if alpha is None else ["unassalpha"],
        compression="zlib",
        predictor=True,
        rowsperstrip=max(1, 2**20 // pixels[0].size),
        iccprofile=picture.icc,
        resolution=None if picture.dpi is None else (picture.dpi[0] / 2.54, picture.dpi[1] / 2.54),
        resolutionunit=None if picture.dpi is None else "CENTIMETER",
        description=description or None,
        software=False,
        metadata=None,
    )
    return file.getbuffer()


_ENCODERS: Mapping[str, Callable[[Picture, str], memoryview]] = {"PNG": _png, "JPEG": _jpeg, "TIFF": _tiff}
