"""A whole slide: its levels and resolution, exact pixels at any level, and a picture of it all."""

import os
from pathlib import Path
from types import TracebackType
from typing import NoReturn

import numpy as np
import openslide
from numpy.typing import NDArray

from datasets_prep.common.errors import UserError
from datasets_prep.patches.grid import area_reduce
from datasets_prep.slides.find_slides import find_slides
from datasets_prep.slides.resolution import magnification_of, resolution_of
from datasets_prep.slides.tiff import Box, TiffLevels, open_levels

__all__ = ["Slide", "find_slides", "open_slide", "require_40x"]

_TIFF_VENDORS = ("aperio", "generic-tiff")  # whose levels are plain pages of a TIFF
_HR_MPP = (0.20, 0.30)  # µm/px that count as 40x
_PROBE = 512  # px, the side of what is compared at the origin of a level
_BLOCK = 2048  # px, about the side of what `overview` holds at a time


class Slide:
    """An open slide; `open_slide` makes one, `close` or a `with` block ends it.

    A process that inherits one opens the file anew; one that was sent one gets a `TypeError`: send the path. One thread
    at a time.

    Attributes:
        path: as it was given.
        vendor: OpenSlide's name of the format, such as `aperio`.
        width, height: of level 0, px.
        level_sizes: (width, height) of each level, finest first.
        mpp: µm per level-0 pixel.
        mpp_source: `slide`, `objective` (10 / its power) or `assumed`.
    """

    def __init__(self, path: Path, *, assume_mpp: float | None = None) -> None:
        self.path = path
        self._assume_mpp = assume_mpp
        self._open()

    def _open(self) -> None:
        self._process = os.getpid()
        self._handle = _open_handle(self.path)
        self._tiff: TiffLevels | None = None
        self._exact: dict[int, bool] = {}
        try:
            properties = self._handle.properties
            self.vendor: str = properties.get(openslide.PROPERTY_NAME_VENDOR, "")
            self.level_sizes: tuple[tuple[int, int], ...] = self._handle.level_dimensions
            self.width, self.height = self.level_sizes[0]
            if self.vendor in _TIFF_VENDORS:
                self._tiff = open_levels(self.path, self.level_sizes)
            self.mpp, self.mpp_source = resolution_of(self.path, properties, assume_mpp=self._assume_mpp)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Close the file."""
        self._handle.close()
        if self._tiff is not None:
            self._tiff.close()

    def __enter__(self) -> "Slide":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __reduce__(self) -> NoReturn:
        raise TypeError("a Slide cannot be pickled: send its path, and open it where it is read")

    @property
    def magnification(self) -> float:
        """The usual magnification (40, 20, 10, 5, …) nearest to 10 / mpp."""
        return magnification_of(self.mpp)

    def factor(self, level: int) -> int | None:
        """How many level-0 pixels a pixel of `level` spans, if that is a whole number r on both axes.

        Levels are laid from the upper left corner and what is left of the last pixel is dropped (or filled up), so
        their sizes are those of level 0 over r, rounded down or up, and W0/W may well be 4.003 for an r of 4.
        """
        width, height = self.level_sizes[level]
        low = max(self.width / (width + 1), self.height / (height + 1))
        high = min(self.width / max(width - 1, 0.5), self.height / max(height - 1, 0.5))
        fits = [
            r
            for r in range(max(1, int(low)), int(high) + 2)
            if abs(width - self.width / r) < 1 and abs(height - self.height / r) < 1
        ]
        mean = (self.width / width + self.height / height) / 2
        # Several fit where the level is small; scanners halve.
        return min(fits, key=lambda r: (r & (r - 1) != 0, abs(r - mean)), default=None)

    def read(self, x: int, y: int, width: int, height: int, *, level: int = 0) -> NDArray[np.uint8]:
        """H×W×3 uint8 RGB at (x, y) in pixels of `level`; white outside the slide and where it is transparent.

        These are the stored pixels at level 0, and at every level of an Aperio or generic TIFF whose tiles, decoded
        directly, were found bit-equal to OpenSlide's at their busiest places. Elsewhere OpenSlide reads a level at
        round(x·W0/W), which is exact if W0/W is a whole number, and else interpolates: up to half a pixel of the level
        astray.

        Raises `UserError` for what cannot be decoded, `ValueError` for a level that is not there or a negative size.
        """
        if not 0 <= level < len(self.level_sizes) or width < 0 or height < 0:
            raise ValueError(f"{width}x{height} pixels of level {level}: there are {len(self.level_sizes)} levels")
        if os.getpid() != self._process:
            self._open()
        level_width, level_height = self.level_sizes[level]
        left, top = max(x, 0), max(y, 0)
        right, bottom = min(x + width, level_width), min(y + height, level_height)
        inside = right > left and bottom > top
        if inside and (right - left, bottom - top) == (width, height):
            return self._read((x, y, width, height), level)
        rgb = np.full((height, width, 3), 255, np.uint8)
        if inside:
            rgb[top - y : bottom - y, left - x : right - x] = self._read((left, top, right - left, bottom - top), level)
        return rgb

    def _read(self, box: Box, level: int) -> NDArray[np.uint8]:
        if self._tiff is not None and self._is_exact(level):
            return self._tiff.read(box, level=level)
        return self._read_openslide(box, level)

    def _read_openslide(self, box: Box, level: int) -> NDArray[np.uint8]:
        x, y, width, height = box
        level_width, level_height = self.level_sizes[level]
        location = round(x * self.width / level_width), round(y * self.height / level_height)
        try:
            rgba = np.asarray(self._handle.read_region(location, level, (width, height)))
        except openslide.OpenSlideError as error:
            raise UserError(
                f"{self.path}: {width}x{height} pixels at x {x}, y {y} of level {level} cannot be read "
                f"({' '.join(str(error).split())}): fetch the slide again, or leave it out"
            ) from error
        return over_white(rgba)

    def _is_exact(self, level: int) -> bool:
        """Whether the tiles that we decode are what OpenSlide shows; compared at the first read of a level."""
        if level not in self._exact:
            self._exact[level] = self._tiff is not None and self._is_equal(self._tiff, level)
        return self._exact[level]

    def _is_equal(self, tiff: TiffLevels, level: int) -> bool:
        """Compare where OpenSlide does not interpolate.

        Where W0/W is fractional that is the origin alone; the decoder must then be the one that level 0 has proven.
        """
        if level not in tiff:
            return False
        if level > 0:
            if not self._is_exact(0) or tiff.coding(level) != tiff.coding(0):
                return False
            if self.vendor == "aperio" and tiff.lacks_tiles(level):
                return False  # OpenSlide fills them from the finer level
        width, height = self.level_sizes[level]
        boxes = [(0, 0, min(width, _PROBE), min(height, _PROBE))]
        if self.width * height == self.height * width and self.width % width == 0:
            boxes += tiff.probes(level)
        return all(np.array_equal(tiff.read(box, level=level), self._read_openslide(box, level)) for box in boxes)

    def overview(
        self, *, max_downsample: float = 64, max_pixels: int = 2**24
    ) -> tuple[NDArray[np.uint8], tuple[float, float]]:
        """A picture of the whole slide, H×W×3 uint8 RGB, and how many level-0 pixels one of its pixels is (sx, sy).

        It is the level that CLAM segments, the coarsest that is reduced at most `max_downsample` times, with CLAM's
        scale (W0/W, H0/H). A level of more than `max_pixels`, which CLAM may refuse, is averaged over n×n pixels for
        the smallest n that will do, block by block; at its right and lower end the last pixels are repeated to n.
        """
        level = self._handle.get_best_level_for_downsample(max_downsample)
        width, height = self.level_sizes[level]
        scale = self.width / width, self.height / height
        n = 1
        while -(-width // n) * -(-height // n) > max_pixels:
            n += 1
        if n == 1:
            return self.read(0, 0, width, height, level=level), scale
        rgb = np.empty((-(-height // n), -(-width // n), 3), np.uint8)
        step = max(1, _BLOCK // n)
        for row in range(0, rgb.shape[0], step):
            for column in range(0, rgb.shape[1], step):
                x, y = column * n, row * n
                part = self.read(x, y, min(step * n, width - x), min(step * n, height - y), level=level)
                rest = ((0, -part.shape[0] % n), (0, -part.shape[1] % n), (0, 0))
                small = area_reduce(np.pad(part, rest, mode="edge"), n)
                rgb[row : row + small.shape[0], column : column + small.shape[1]] = small
        return rgb, (scale[0] * n, scale[1] * n)


def over_white(rgba: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """H×W×3 uint8 RGB of H×W×4 RGBA over white, rounded to nearest."""
    alpha = rgba[..., 3:]
    if alpha.min(initial=255) == 255:
        return np.ascontiguousarray(rgba[..., :3])
    solid = alpha.astype(np.uint32)
    return ((rgba[..., :3] * solid + 255 * (255 - solid) + 127) // 255).astype(np.uint8)


def _open_handle(path: Path) -> openslide.OpenSlide:
    try:
        with path.open("rb") as file:  # OpenSlide calls a file that is missing or may not be read unsupported
            file.read(1)
        return openslide.OpenSlide(path)
    except openslide.OpenSlideUnsupportedFormatError:
        raise UserError(f"{path} is no slide that OpenSlide can open, or a damaged one: fetch it again") from None
    except openslide.OpenSlideError as error:
        raise UserError(f"{path} is damaged ({' '.join(str(error).split())}): fetch it again") from error
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or error
        raise UserError(f"{str(path)!r} cannot be opened ({why}): give a file that OpenSlide opens") from error


def open_slide(path: Path, *, assume_mpp: float | None = None) -> Slide:
    """Open a slide.

    Args:
        path: a file of a format that OpenSlide reads.
        assume_mpp: µm/px where the slide says nothing sane about it; what it does say stands.

    Raises:
        UserError: the file is missing, no slide, or cut off; its resolution is unknown, absurd, or not the same in x
            and y.
    """
    return Slide(path, assume_mpp=assume_mpp)


def require_40x(slide: Slide) -> None:
    """Raise `UserError` unless the slide has 0.20 to 0.30 µm/px."""
    low, high = _HR_MPP
    if not low <= slide.mpp <= high:
        raise UserError(
            f"{slide.path} is a {10 / slide.mpp:.2g}x slide ({slide.mpp:.3f} µm/px): "
            f"HR patches need 40x, {low:.2f} to {high:.2f} µm/px"
        )
