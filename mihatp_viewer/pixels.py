"""The pixels of an image for `openslide.deepzoom`: OpenSlide's own, or those of another reader behind its interface."""

import threading
from pathlib import Path
from types import MappingProxyType

import numpy as np
import openslide
from numpy.typing import NDArray
from PIL import Image, ImageOps

from datasets_prep.common.errors import UserError
from datasets_prep.common.image_files import quiet_and_unlimited, refuse_cut_bits
from datasets_prep.slides.levels import averaging_side, best_level, downsamples_of
from datasets_prep.slides.open import open_for_reading
from datasets_prep.slides.openslide import OpenSlideReader
from datasets_prep.slides.protocol import SlideReader
from datasets_prep.slides.tiff_reader import TiffReader
from datasets_prep.slides.tiles import TileReader
from mihatp_viewer.overview import tolerant_overview

_OVERVIEW = 4096  # px; a slide whose coarsest level is larger gets an overview in memory
_OVERVIEW_PIXELS = 2**22
_GREY = ("1", "L", "LA")  # modes of Pillow that `TileReader` refuses


class GreyPicture(TileReader):
    """A grey picture in memory, as one level of RGB, turned and measured as a colour picture is.

    Raises:
        UserError: it has more than 8 bits, or its pixels are not square.
    """

    def __init__(self, path: Path, *, assume_mpp: float | None = None) -> None:
        with quiet_and_unlimited(), Image.open(path) as image:
            refuse_cut_bits(path, image)
            self._rgb = np.asarray(ImageOps.exif_transpose(image).convert("RGB"))
        self._describe(path, assume_mpp)


def is_slide(path: Path) -> bool:
    """Whether OpenSlide or our TIFF reader takes the file; else it is a picture, or nothing."""
    try:
        return openslide.OpenSlide.detect_format(path) is not None or TiffReader.recognises(path)
    except (openslide.OpenSlideError, OSError, ValueError):
        return False


def deepzoom_pixels(path: Path, reader: SlideReader) -> openslide.AbstractSlide:
    """The pixels for `DeepZoomGenerator`: OpenSlide where it sees all levels, because it reads in parallel.

    Args:
        path: the file.
        reader: the open file. The result takes it over, or it is closed because OpenSlide opens the file.
    """
    if isinstance(reader, OpenSlideReader) and max(reader.level_sizes[-1]) <= _OVERVIEW:
        reader.close()
        return openslide.OpenSlide(path)
    return ReadSlide(reader, name=path.name)


def open_reader(path: Path, *, assume_mpp: float) -> SlideReader:
    """Open a slide, or a picture. Raises `UserError`."""
    if not is_slide(path):
        return _open_picture(path)
    try:
        return open_for_reading(path, assume_mpp=assume_mpp)  # a damaged tile is a message, and the others are shown
    except UserError:
        if openslide.OpenSlide.detect_format(path) is not None:
            raise
        return _open_picture(path)  # such as a grey TIFF without tiles


def _open_picture(path: Path) -> SlideReader:
    try:
        with quiet_and_unlimited(), Image.open(path) as image:
            if image.mode in _GREY:
                return GreyPicture(path)
    except (OSError, SyntaxError, ValueError, EOFError):
        pass  # the reader says what is wrong
    return TileReader(path)


class ReadSlide(openslide.AbstractSlide):
    """The levels of a reader, as OpenSlide would give them. One thread at a time reads.

    Where the coarsest level is large, a smaller one is computed in memory, which may take minutes: without it, the view
    of the whole slide would decode all of it for each tile. It is computed at once, before a page can ask for a tile.

    Args:
        reader: the open slide or picture.
        name: of the file, for the progress bar.

    Attributes:
        damage: a line for each part that is white in the overview, because it cannot be decoded.
    """

    def __init__(self, reader: SlideReader, *, name: str) -> None:
        super().__init__()
        self._reader = reader
        self._lock = threading.Lock()
        self._sizes = list(reader.level_sizes)
        width, height = self._sizes[-1]
        n = averaging_side(width, height, max_pixels=_OVERVIEW_PIXELS)
        self.damage: list[str] = []
        self._overview: NDArray[np.uint8] | None = None
        if max(width, height) > _OVERVIEW and n > 1:
            self._overview, self.damage = tolerant_overview(reader, name=name, max_pixels=_OVERVIEW_PIXELS)
            self._sizes.append((-(-width // n), -(-height // n)))

    @classmethod
    def detect_format(cls, filename: object) -> None:
        """Nothing: `open_reader` chooses the reader."""

    @property
    def level_count(self) -> int:
        """Number of levels."""
        return len(self._sizes)

    @property
    def level_dimensions(self) -> tuple[tuple[int, int], ...]:
        """(width, height) of each level, px."""
        return tuple(self._sizes)

    @property
    def level_downsamples(self) -> tuple[float, ...]:
        """How many times each level is reduced."""
        return downsamples_of(self._sizes)

    @property
    def properties(self) -> MappingProxyType[str, str]:
        """Nothing: the background is white."""
        return MappingProxyType({})

    @property
    def associated_images(self) -> MappingProxyType[str, Image.Image]:
        """Nothing: labels are never shown."""
        return MappingProxyType({})

    def get_best_level_for_downsample(self, downsample: float) -> int:
        """The coarsest level that is reduced at most `downsample` times."""
        return best_level(self._sizes, downsample)

    def read_region(self, location: tuple[int, int], level: int, size: tuple[int, int]) -> Image.Image:
        """An RGBA image; `location` is in px of level 0, `size` in px of `level`. Raises `UserError` for damage."""
        factor = self.level_downsamples[level]
        x, y = (round(at / factor) for at in location)
        if self._overview is not None and level == len(self._sizes) - 1:
            rgb = self._overview[y : y + size[1], x : x + size[0]]
        else:
            with self._lock:
                rgb = self._reader.read(x, y, *size, level=level)
        return Image.fromarray(rgb).convert("RGBA")

    def close(self) -> None:
        """Close the reader."""
        self._reader.close()
