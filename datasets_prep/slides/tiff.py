"""Fast path of the OpenSlide reader: decodes the stored tiles of a TIFF slide, exactly at every level.

OpenSlide is slower, and interpolates at levels whose size does not divide that of level 0.
"""

import struct
import zlib
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from numpy.typing import NDArray

from datasets_prep.common.errors import UserError
from datasets_prep.common.quiet import silent_log
from datasets_prep.slides.levels import Box

_CACHE_BYTES = 64 * 2**20  # decoded tiles in memory: more than one row of tiles of a slide 80 000 px wide
_TILE_TABLES = {324, 325}  # TileOffsets, TileByteCounts
_BUSIEST = 3  # number of compared tiles that take the most bytes, thus hold the most detail
# Errors of tifffile's parser for a file that it does not understand. It raises any of these.
_PARSER_ERRORS = (
    *(ValueError, TypeError, LookupError, ArithmeticError, AttributeError, AssertionError, RuntimeError),
    *(OSError, EOFError, MemoryError, struct.error, zlib.error),
)


@dataclass(frozen=True)
class _Level:
    """One tiled 8-bit RGB image of the file."""

    page: tifffile.TiffPage
    width: int
    height: int
    tile_width: int
    tile_height: int
    offsets: NDArray[np.int64]  # position of each tile in the file, row by row
    counts: NDArray[np.int64]  # bytes of each tile; 0 when the file stores no data for it

    @property
    def across(self) -> int:
        return -(-self.width // self.tile_width)

    def box(self, index: int) -> Box:
        """The rectangle of the level that tile `index` covers."""
        row, column = divmod(index, self.across)
        x, y = column * self.tile_width, row * self.tile_height
        return x, y, min(self.tile_width, self.width - x), min(self.tile_height, self.height - y)


class TiffLevels:
    """The tiled 8-bit RGB levels of a TIFF file.

    `OpenSlideReader` uses it only for levels where it is bit-equal to OpenSlide. One thread of one process at a time.

    Args:
        path: the TIFF file.
        level_sizes: (width, height) of each level that OpenSlide shows. A page belongs to the level of its size; a
            level with no such page, or several, is left out (`level in tiff_levels` is false).

    Raises:
        UserError: the file ends before its tiles do.
    """

    def __init__(self, path: Path, level_sizes: Sequence[tuple[int, int]]) -> None:
        self._path = path
        self._tiles: OrderedDict[tuple[int, int], NDArray[np.uint8]] = OrderedDict()
        self._room = _CACHE_BYTES
        self._levels: dict[int, _Level] = {}
        self._file = tifffile.TiffFile(path)
        try:
            pages = [page for page in self._file.pages if isinstance(page, tifffile.TiffPage) and page.is_tiled]
            if not all({tag.code for tag in page.tags} >= _TILE_TABLES for page in pages):
                # The end of the file is missing; OpenSlide would open it without this level.
                raise UserError(f"{path} is damaged: where the tiles of a level lie is missing; fetch it again")
            for level, size in enumerate(level_sizes):
                same = [page for page in pages if (page.imagewidth, page.imagelength) == size]
                if len(same) == 1 and _is_plain_rgb(same[0]):
                    self._levels[level] = self._level(same[0])
        except BaseException:
            self._file.close()
            raise

    def _level(self, page: tifffile.TiffPage) -> _Level:
        offsets, counts = (np.asarray(table, np.int64) for table in (page.dataoffsets, page.databytecounts))
        width, height = page.imagewidth, page.imagelength
        level = _Level(page, width, height, page.tilewidth, page.tilelength, offsets, counts)
        if len(offsets) != level.across * -(-height // page.tilelength) or len(counts) != len(offsets):
            raise UserError(f"{self._path} is damaged: its list of tiles is incomplete; fetch it again")
        ends = np.where(counts > 0, offsets + counts, 0)
        if ends.max() > self._file.filehandle.size:
            raise UserError(
                f"{self._path} is cut off: {self._file.filehandle.size} bytes, its tiles end at {ends.max()}; "
                "fetch it again"
            )
        return level

    def __contains__(self, level: int) -> bool:
        return level in self._levels

    def close(self) -> None:
        """Close the file."""
        self._tiles.clear()
        self._file.close()

    def lacks_tiles(self, level: int) -> bool:
        """Whether the file stores no data for some tiles of the level."""
        return not self._levels[level].counts.all()

    def coding(self, level: int) -> tuple[Any, ...]:
        """The properties that select the decoder of a level; equal for two levels means the same decoder."""
        page = self._levels[level].page
        return page.compression, page.photometric, page.subsampling, page.predictor, page.jpegtables is None

    def probes(self, level: int) -> list[Box]:
        """Rectangles to compare with OpenSlide: tiles with most bytes, corner tiles, and a corner where tiles meet."""
        at = self._levels[level]
        last = len(at.counts) - 1
        tiles = {0, at.across - 1, last, *np.argsort(at.counts)[-_BUSIEST:].tolist()}
        boxes = [at.box(index) for index in sorted(tiles)]
        x, y, _, _ = at.box(int(np.argmax(at.counts)))
        x, y = max(0, x - 40), max(0, y - 40)
        return [*boxes, (x, y, min(80, at.width - x), min(80, at.height - y))]

    def read(self, box: Box, *, level: int) -> NDArray[np.uint8]:
        """Pixels of a box that lies within the level, [height, width, 3] uint8 RGB; a tile without data is white.

        Raises:
            UserError: a tile cannot be decoded.
        """
        x, y, width, height = box
        at = self._levels[level]
        rgb = np.empty((height, width, 3), np.uint8)
        for row in range(y // at.tile_height, (y + height - 1) // at.tile_height + 1):
            top = row * at.tile_height
            y0, y1 = max(y, top), min(y + height, top + at.tile_height)
            for column in range(x // at.tile_width, (x + width - 1) // at.tile_width + 1):
                left = column * at.tile_width
                x0, x1 = max(x, left), min(x + width, left + at.tile_width)
                tile = self._tile(level, row * at.across + column)
                rgb[y0 - y : y1 - y, x0 - x : x1 - x] = tile[y0 - top : y1 - top, x0 - left : x1 - left]
        return rgb

    def _tile(self, level: int, index: int) -> NDArray[np.uint8]:
        key = level, index
        tile = self._tiles.get(key)
        if tile is not None:
            self._tiles.move_to_end(key)
            return tile
        tile = self._decode(level, index)
        self._tiles[key] = tile
        self._room -= tile.nbytes
        while self._room < 0 and len(self._tiles) > 1:
            _, oldest = self._tiles.popitem(last=False)
            self._room += oldest.nbytes
        return tile

    def _decode(self, level: int, index: int) -> NDArray[np.uint8]:
        at = self._levels[level]
        x, y, width, height = at.box(index)
        count = int(at.counts[index])
        if count == 0:
            return np.full((height, width, 3), 255, np.uint8)
        try:
            self._file.filehandle.seek(int(at.offsets[index]))
            data = self._file.filehandle.read(count)
            decoded, _, _ = at.page.decode(data, index, jpegtables=at.page.jpegtables)
        except Exception as error:  # each codec raises errors of its own
            raise self._broken(level, x, y, str(error)) from error
        if decoded is None or decoded.shape[1] < height or decoded.shape[2] < width:
            raise self._broken(level, x, y, "it is too small")
        return decoded[0]

    def _broken(self, level: int, x: int, y: int, why: str) -> UserError:
        reason = " ".join(why.split())
        return UserError(
            f"{self._path}: the tile at x {x}, y {y} of level {level} cannot be decoded ({reason}): "
            "fetch the slide again, or leave it out"
        )


def _is_plain_rgb(page: tifffile.TiffPage) -> bool:
    """Whether the page has 8 bits per sample and three interleaved samples in one plane."""
    return page.dtype == np.uint8 and page.samplesperpixel == 3 and page.planarconfig == 1 and page.imagedepth == 1


def open_levels(path: Path, level_sizes: Sequence[tuple[int, int]]) -> TiffLevels | None:
    """Open the levels of a TIFF file, see `TiffLevels`; None when tifffile does not understand the file.

    OpenSlide, which has opened the file already, then reads it alone.

    Raises:
        UserError: the file ends before its tiles do.
    """
    try:
        with silent_log("tifffile"):  # it would report problems of pages that nobody reads
            return TiffLevels(path, level_sizes)
    except UserError:
        raise
    except _PARSER_ERRORS:
        return None


def bits_per_sample(path: Path) -> int | None:
    """Bits of each sample of the first page of a TIFF file; None when tifffile does not understand the file."""
    try:
        with silent_log("tifffile"), tifffile.TiffFile(path) as file:
            return int(file.pages.first.bitspersample)
    except _PARSER_ERRORS:
        return None
