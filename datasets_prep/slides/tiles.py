"""The reader of image tiles: ordinary image files (PNG, JPEG, TIFF, BMP) that are used whole, as one level."""

from pathlib import Path
from types import TracebackType
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from datasets_prep.common.errors import UserError
from datasets_prep.slides.levels import Box, read_padded


class TileReader:
    """An image tile, read into memory when it is opened; see `slides/protocol.py` for what a reader gives.

    Attributes:
        path: the file, as it was given.
        vendor: empty.
        level_sizes: (width, height) of the image, the only level.
        mpp: `assume_mpp`; None when it is unknown.
        mpp_source: `assumed`, or empty when `mpp` is unknown.
    """

    suffixes: ClassVar[tuple[str, ...]] = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp")

    def __init__(self, path: Path, *, assume_mpp: float | None = None) -> None:
        self._rgb = read_rgb(path)
        height, width, _ = self._rgb.shape
        self.path = path
        self.vendor = ""
        self.level_sizes: tuple[tuple[int, int], ...] = ((width, height),)
        self.mpp = assume_mpp
        self.mpp_source = "" if assume_mpp is None else "assumed"

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


def read_rgb(path: Path) -> NDArray[np.uint8]:
    """Read an 8-bit colour image, [H, W, 3] uint8 RGB; transparent pixels are composited over white, like glass.

    Raises:
        UserError: the file cannot be read, or is no 8-bit colour image.
    """
    try:
        with Image.open(path) as image:
            if image.mode not in ("RGB", "RGBA", "P"):
                raise UserError(f"{path} has pixels of mode {image.mode}: 8-bit RGB is needed")
            if image.mode == "RGB" and "transparency" not in image.info:
                return np.asarray(image)
            rgba = image.convert("RGBA")
            return np.asarray(Image.alpha_composite(Image.new("RGBA", rgba.size, "white"), rgba).convert("RGB"))
    except UserError:
        raise
    except (OSError, SyntaxError, ValueError, EOFError, Image.DecompressionBombError) as error:
        raise UserError(f"{path} cannot be read as an image ({error}): replace or remove it") from error
