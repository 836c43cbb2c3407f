"""TIFF pictures by tifffile: Pillow reduces 16 bits to 8 without a word, and prints the errors of libtiff."""

from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from numpy.typing import NDArray
from PIL import Image

from datasets_prep.common.errors import UserError
from datasets_prep.common.image_files import ORIENTATION

_X_RESOLUTION, _Y_RESOLUTION, _RESOLUTION_UNIT = 282, 283, 296
_REDUCED = 1  # flag of a page that is a reduced copy
_PER_INCH = {2: 1.0, 3: 2.54}  # resolution unit -> units in an inch
_ASSOCIATED = 1  # extra sample: opacity by which the colours are multiplied
_UNSPECIFIED = 0
_MODES = {("RGB", 3): "RGB", ("RGB", 4): "RGBA", ("MINISBLACK", 1): "L", ("MINISBLACK", 2): "LA"}
_JPEG = (6, 7)  # compressions


def read_tiff(path: Path, *, largest: int) -> Image.Image:
    """The only full page of a TIFF file as a PIL image, with `info["dpi"]`, `info["icc_profile"]` and EXIF orientation.

    Args:
        path: the file.
        largest: number of pixels that it may have.

    Raises:
        UserError: it has several pages, more than 8 bits per channel, or other colours than RGB, grey and palette.
        Exception: of any kind, for a damaged file.
    """
    with tifffile.TiffFile(path) as file:
        more: list[Any] = list(file.pages)[1:]
        pages = 1 + sum(not page.keyframe.subfiletype & _REDUCED for page in more)
        if pages > 1:
            raise UserError(f"{path} has {pages} pages or frames: save the one to be upscaled as a file of its own")
        page: Any = file.pages.first
        colours = _check(path, page, largest)
        image = _image(page, page.asarray(maxworkers=1), colours)
        image.info.update(_resolution(page))
        if page.iccprofile:
            image.info["icc_profile"] = page.iccprofile
        if ORIENTATION in page.tags:
            image.getexif()[ORIENTATION] = int(page.tags[ORIENTATION].value)
    return image


def call_planes_rgb(page: tifffile.TiffPage) -> None:
    """Call planes of JPEG RGB where Bio-Formats wrote them: it stores R, G and B so, and says YCbCr (`bfconvert`)."""
    separate = page.planarconfig == tifffile.PLANARCONFIG.SEPARATE and page.compression in _JPEG
    if separate and page.photometric == tifffile.PHOTOMETRIC.YCBCR and page.subsampling is None:
        page.photometric = tifffile.PHOTOMETRIC.RGB


def _check(path: Path, page: Any, largest: int) -> str:
    """The photometric interpretation of the page. Raises `UserError` for a page that is refused."""
    call_planes_rgb(page)
    colours = getattr(page.photometric, "name", str(page.photometric))
    if page.sampleformat == tifffile.SAMPLEFORMAT.IEEEFP:
        raise UserError(f"{path} has float pixels: 8 bits are needed, convert it")
    if page.bitspersample > 8:
        raise UserError(f"{path} has {page.bitspersample} bits per channel: 8 are needed, convert it")
    if colours == "YCBCR" and page.compression in _JPEG:
        colours = "RGB"  # the decoder converts it
    if colours not in ("RGB", "PALETTE", "MINISBLACK", "MINISWHITE"):
        raise UserError(f"{path} has {colours} pixels: 8-bit RGB is needed, convert it")
    if page.imagewidth * page.imagelength > largest or page.imagedepth > 1:
        size = f"{page.imagewidth}×{page.imagelength}"
        raise UserError(f"{path} has {size} px: make a pyramidal TIFF of so large a picture")
    return colours


def _image(page: Any, pixels: NDArray[Any], colours: str) -> Image.Image:
    if page.planarconfig == 2 and page.samplesperpixel > 1:
        pixels = np.moveaxis(pixels, 0, -1)
    if colours == "PALETTE":
        palette = (np.asarray(page.colormap) >> 8).astype(np.uint8)
        image = Image.fromarray(pixels.astype(np.uint8))
        image.putpalette(np.resize(palette.T, (256, 3)).tobytes())
        return image
    codes = pixels.astype(np.uint8) * np.uint8(255 // (2**page.bitspersample - 1))
    extra = page.extrasamples[0] if page.extrasamples else None
    channels = codes.reshape(*codes.shape[:2], -1)
    if extra is None or extra == _UNSPECIFIED:
        channels = channels[..., : 3 if colours == "RGB" else 1]
    else:
        channels = channels[..., : 4 if colours == "RGB" else 2]
    if colours == "MINISWHITE":
        channels = np.concatenate([255 - channels[..., :1], channels[..., 1:]], -1)
        colours = "MINISBLACK"
    mode = _MODES[colours, channels.shape[-1]]
    associated = {"RGBA": "RGBa", "LA": "La"} if extra == _ASSOCIATED else {}
    size = channels.shape[1], channels.shape[0]
    return Image.frombytes(associated.get(mode, mode), size, np.ascontiguousarray(channels).tobytes())


def _resolution(page: Any) -> dict[str, tuple[float, float]]:
    """`{"dpi": (across, down)}`, or nothing where the file does not state it."""
    tags = page.tags
    unit = _PER_INCH.get(int(tags[_RESOLUTION_UNIT].value) if _RESOLUTION_UNIT in tags else 2)
    if unit is None or _X_RESOLUTION not in tags or _Y_RESOLUTION not in tags:
        return {}
    sides = [tags[tag].value for tag in (_X_RESOLUTION, _Y_RESOLUTION)]
    if any(below == 0 for _, below in sides):
        return {}
    across, down = (unit * above / below for above, below in sides)
    return {"dpi": (across, down)}
