"""Pictures in memory, and how PNG, JPEG and TIFF files become pictures; `write_images.py` is the way back.

A picture has 8-bit RGB pixels. Grey and palette images are converted. Images that would lose something are refused:
16 bits, floats, CMYK, several pages.
"""

import struct
import zlib
from dataclasses import dataclass
from numbers import Real
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from datasets_prep.common.image_files import LARGEST, ORIENTATION, TURNED, quiet_and_unlimited
from datasets_prep.common.quiet import silent_log
from datasets_prep.common.read_tiff import read_tiff
from datasets_prep.slides.tiff_metadata import described_sides
from mihatp_arch.errors import UserError, reason_of

FORMATS = ("PNG", "JPEG", "TIFF")
_MAGIC = {b"\x89PNG\r\n\x1a\n": "PNG", b"\xff\xd8\xff": "JPEG"} | dict.fromkeys(
    (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"), "TIFF"
)
_MODES = {  # modes of Pillow that become RGB without loss
    **dict.fromkeys(("RGB", "RGBX", "RGBA", "RGBa", "YCbCr"), ""),
    **dict.fromkeys(("1", "L", "LA", "La"), "grey"),
    **dict.fromkeys(("P", "PA"), "palette"),
}
_SANE_MPP = (0.02, 20.0)  # µm/px; 72 dpi, the usual value of pictures without a scale, is 353
# Errors of Pillow and tifffile for a file that is damaged. They raise any of these.
_DAMAGED = (
    *(OSError, EOFError, SyntaxError, ValueError, TypeError, LookupError, ArithmeticError, AttributeError),
    *(AssertionError, RuntimeError, struct.error, zlib.error),
)


@dataclass(frozen=True)
class Picture:
    """A picture in memory.

    Attributes:
        rgb: [H, W, 3] uint8.
        alpha: opacity, [H, W] uint8; None for a picture without it.
        icc: colour profile of `rgb`; None where it has none.
        dpi: pixels per inch (across, down); None where they are not known.
        was: `grey` or `palette` for a picture that was converted, else empty.
    """

    rgb: NDArray[np.uint8]
    alpha: NDArray[np.uint8] | None = None
    icc: bytes | None = None
    dpi: tuple[float, float] | None = None
    was: str = ""

    @property
    def size(self) -> tuple[int, int]:
        """(width, height), px."""
        height, width = self.rgb.shape[:2]
        return width, height

    @property
    def sides(self) -> tuple[float, float] | None:
        """Width and height of a pixel, µm; None where `dpi` is no resolution of a microscope."""
        across, down = (25400 / dpi if dpi > 0 else 0.0 for dpi in self.dpi or (0.0, 0.0))
        low, high = _SANE_MPP
        return (across, down) if low <= across <= high and low <= down <= high else None

    @property
    def mpp(self) -> float | None:
        """µm per pixel, the mean of both sides; None where `dpi` is no resolution of a microscope."""
        return None if self.sides is None else sum(self.sides) / 2

    def enlarged(self, rgb: NDArray[np.uint8], scale: int) -> "Picture":
        """The picture `scale` times as large, with these pixels; opacity is interpolated (bicubic)."""
        height, width = rgb.shape[:2]
        alpha = None
        if self.alpha is not None:
            alpha = np.asarray(Image.fromarray(self.alpha).resize((width, height), Image.Resampling.BICUBIC))
        dpi = (self.dpi[0] * scale, self.dpi[1] * scale) if self.dpi else None
        return Picture(rgb, alpha, self.icc, dpi, self.was)

    def to_pil(self) -> Image.Image:
        """As a PIL image of mode RGB, or RGBA where the picture has opacity."""
        image = Image.fromarray(self.rgb)
        if self.alpha is not None:
            image.putalpha(Image.fromarray(self.alpha))
        if self.icc is not None:
            image.info["icc_profile"] = self.icc
        if self.dpi is not None:
            image.info["dpi"] = self.dpi
        return image


def format_of(path: Path) -> str | None:
    """`PNG`, `JPEG` or `TIFF`, by the first bytes of the file; None for any other file. Raises `OSError`."""
    with path.open("rb") as file:
        start = file.read(8)
    return next((name for magic, name in _MAGIC.items() if start.startswith(magic)), None)


def read_picture(path: Path) -> Picture:
    """Read a PNG, JPEG or TIFF file; the content counts, not the ending of the name.

    Raises:
        UserError: the file cannot be read, is damaged, is of another format, or its pixels are not 8-bit RGB, grey or
            palette colours.
    """
    try:
        format = format_of(path)
        if format is None:
            if path.stat().st_size == 0:
                raise UserError(f"{path} is empty: replace or remove it")
            raise UserError(f"{path} is no PNG, JPEG or TIFF file: convert it")
        with silent_log("tifffile"), quiet_and_unlimited():
            if format == "TIFF":
                return from_pil(_tiff(path), name=str(path))
            if format == "PNG":
                _check_png(path)
            with Image.open(path, formats=(format,)) as image:
                return from_pil(image, name=str(path))
    except UserError:
        raise
    except MemoryError:
        raise UserError(f"{path} does not fit into memory: cut it, or make a pyramidal TIFF of it") from None
    except _DAMAGED as error:
        why = reason_of(error)
        raise UserError(f"{path} cannot be read as an image ({why}): replace or remove it") from error


def _tiff(path: Path) -> Image.Image:
    image = read_tiff(path, largest=LARGEST)
    sides = described_sides(path)
    if sides is not None and all(side > 0 for side in sides):
        image.info["dpi"] = (25400 / sides[0], 25400 / sides[1])
    return image


def from_pil(image: Image.Image, *, name: str = "image") -> Picture:
    """The picture in a PIL image; its EXIF orientation is applied.

    Args:
        image: of mode RGB, RGBA, L, LA, P, PA, 1 or YCbCr.
        name: of the image, for error messages.

    Raises:
        UserError: the image has another mode, several pages, or too many pixels.
    """
    pages = getattr(image, "n_frames", 1)
    if pages > 1:
        raise UserError(f"{name} has {pages} pages or frames: save the one to be upscaled as a file of its own")
    if image.mode not in _MODES:
        bits = "16 bits or floats, 8 bits are needed" if image.mode[0] in "IF" else "8-bit RGB is needed"
        raise UserError(f"{name} has pixels of mode {image.mode} ({bits}): convert it")
    if image.width * image.height > LARGEST:
        raise UserError(f"{name} has {image.width}×{image.height} px: make a pyramidal TIFF of so large a picture")
    was = _MODES[image.mode]
    dpi = _dpi(image, name)
    icc = image.info.get("icc_profile")
    if icc is not None and icc[16:20] != b"RGB ":  # the profile of a grey image does not describe RGB pixels
        icc = None
    upright = ImageOps.exif_transpose(image)
    if not upright.has_transparency_data:
        return Picture(np.asarray(upright.convert("RGB")), None, icc, dpi, was)
    rgba = np.asarray(upright.convert("RGBA"))
    return Picture(np.ascontiguousarray(rgba[..., :3]), np.ascontiguousarray(rgba[..., 3]), icc, dpi, was)


def _dpi(image: Image.Image, name: str) -> tuple[float, float] | None:
    stated = image.info.get("dpi")
    if stated is None:
        return None
    try:
        across, down = map(float, (stated, stated) if isinstance(stated, Real) else stated)
    except (TypeError, ValueError):
        raise UserError(f"{name}: its dpi are {stated!r}: pixels per inch, one number or two, are needed") from None
    if not all(np.isfinite(side) and side > 0 for side in (across, down)):
        return None
    return (down, across) if image.getexif().get(ORIENTATION) in TURNED else (across, down)


def _check_png(path: Path) -> None:
    """Raise `UserError` for 16 bits, which Pillow reduces to 8 without a word."""
    with path.open("rb") as file:
        header = file.read(26)
    if header[24:25] == b"\x10":
        raise UserError(f"{path} has 16 bits per channel: 8 are needed, convert it")
