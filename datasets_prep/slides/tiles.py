"""The reader of image tiles: ordinary image files (PNG, JPEG, TIFF, BMP) that are used whole, as one level."""

from pathlib import Path
from types import TracebackType
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from datasets_prep.common.errors import UserError
from datasets_prep.common.image_files import LARGEST, quiet_and_unlimited, refuse_cut_bits, refuse_other_pages
from datasets_prep.common.quiet import silent_log
from datasets_prep.common.read_tiff import read_tiff
from datasets_prep.slides.levels import Box, read_padded
from datasets_prep.slides.protocol import SlideFacts
from datasets_prep.slides.resolution import MPP_NAMES, stated_by_file
from datasets_prep.slides.tiff_files import PARSER_ERRORS, is_tiff, tiff_file
from datasets_prep.slides.tiff_metadata import properties_of

_MODES = ("RGB", "RGBA", "P")
# Compressions of TIFF that Pillow always decodes. With others, libtiff may print an error on the terminal.
_DECODED = ("raw", "tiff_lzw", "jpeg", "tiff_adobe_deflate", "tiff_deflate", "packbits")


class TileReader:
    """An image tile, read into memory when it is opened; see `slides/protocol.py` for what a reader gives.

    Attributes:
        path: the file, as it was given.
        vendor: empty.
        level_sizes: (width, height) of the image, the only level.
        mpp: by the file (dpi; OME, ImageJ or tags of a TIFF), where a microscope may have it; else `assume_mpp`; None
            when it is unknown.
        mpp_source: `slide`, `objective`, `assumed`, or empty when `mpp` is unknown.
        facts: empty.
    """

    facts: SlideFacts = SlideFacts()
    suffixes: ClassVar[tuple[str, ...]] = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp")

    def __init__(self, path: Path, *, assume_mpp: float | None = None) -> None:
        self._rgb = read_rgb(path)
        self._describe(path, assume_mpp)

    def _describe(self, path: Path, assume_mpp: float | None) -> None:
        """Set all but the pixels."""
        height, width, _ = self._rgb.shape
        self.path = path
        self.vendor = ""
        self.level_sizes: tuple[tuple[int, int], ...] = ((width, height),)
        self.mpp, self.mpp_source, _ = stated_by_file(path, _properties_of(path))
        if self.mpp is None and assume_mpp is not None:
            self.mpp, self.mpp_source = assume_mpp, "assumed"

    @classmethod
    def recognises(cls, path: Path) -> bool:
        """Whether the ending of the name is one of `suffixes`."""
        return path.suffix.lower() in cls.suffixes

    def best_level_for_downsample(self, downsample: float) -> int:
        """The only level."""
        return 0

    def read(self, x: int, y: int, width: int, height: int, *, level: int = 0) -> NDArray[np.uint8]:
        """Pixels of a rectangle, [height, width, 3] uint8 RGB; white outside the image.

        Raises:
            ValueError: `level` is not 0, or the size is negative.
        """
        if level != 0 or width < 0 or height < 0:
            raise ValueError(f"{width}x{height} pixels of level {level}: an image has one level")
        return read_padded(self._read_inside, self.level_sizes[0], (x, y, width, height))

    def _read_inside(self, box: Box) -> NDArray[np.uint8]:
        x, y, width, height = box
        return self._rgb[y : y + height, x : x + width]

    def close(self) -> None:
        """Nothing is open: the pixels are in memory."""

    def __enter__(self) -> "TileReader":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _properties_of(path: Path) -> dict[str, str]:
    """The resolution that an image states, under OpenSlide's names of properties; what it does not state is absent."""
    if is_tiff(path):
        try:
            with tiff_file(path) as file:
                return properties_of(file, file.pages.first)
        except PARSER_ERRORS:
            return {}
    try:
        with quiet_and_unlimited(), Image.open(path) as image:
            return {name: str(25400 / float(dpi)) for name, dpi in zip(MPP_NAMES, image.info["dpi"], strict=True)}
    except (OSError, SyntaxError, ValueError, EOFError, KeyError, TypeError, ZeroDivisionError):
        return {}


def read_rgb(path: Path) -> NDArray[np.uint8]:
    """Read an 8-bit colour image, [H, W, 3] uint8 RGB, turned as its EXIF orientation says, as BasicSR reads it.

    Transparent pixels are composited over white, like glass. Pillow decodes the file. tifffile decodes a TIFF that
    Pillow cannot decode.

    Raises:
        UserError: the file cannot be read, or is no 8-bit colour image of one page.
    """
    try:
        with quiet_and_unlimited():
            return _upright(path)
    except UserError:
        raise
    except MemoryError:
        raise UserError(f"{path} does not fit into memory: divide it into tiles") from None
    except (OSError, SyntaxError, ValueError, EOFError) as error:
        raise UserError(f"{path} cannot be read as an image ({error}): replace or remove it") from error


def _upright(path: Path) -> NDArray[np.uint8]:
    try:
        with Image.open(path) as image:
            refuse_cut_bits(path, image)
            refuse_other_pages(path, image)
            if image.width * image.height > LARGEST:
                raise UserError(f"{path} has {image.width}x{image.height} px: divide it into tiles, or make it a slide")
            mode = image.mode
            if mode in _MODES and (image.format != "TIFF" or image.info.get("compression") in _DECODED):
                return _composited(image)
    except UserError:
        raise
    except (OSError, SyntaxError, ValueError, EOFError):
        if not is_tiff(path):
            raise
        mode = ""
    if is_tiff(path):
        image = _by_tifffile(path)
        if image.mode in _MODES:
            return _composited(image)
        mode = image.mode
    raise UserError(f"{path} has pixels of mode {mode}: 8-bit RGB is needed")


def _by_tifffile(path: Path) -> Image.Image:
    try:
        with silent_log("tifffile"):
            return read_tiff(path, largest=LARGEST)
    except UserError:
        raise
    except PARSER_ERRORS as error:
        raise ValueError(" ".join(str(error).split())) from error


def _composited(image: Image.Image) -> NDArray[np.uint8]:
    upright = ImageOps.exif_transpose(image)
    if upright.mode == "RGB" and "transparency" not in upright.info:
        return np.asarray(upright)
    rgba = upright.convert("RGBA")
    return np.asarray(Image.alpha_composite(Image.new("RGBA", rgba.size, "white"), rgba).convert("RGB"))
