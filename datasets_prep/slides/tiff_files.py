"""TIFF files and their pages: opened for the reader of OpenSlide's slides, and for the reader of the others."""

import struct
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import tifffile

from datasets_prep.common.errors import UserError
from datasets_prep.common.quiet import silent_log
from datasets_prep.slides.tiff import TiffLevels

_MAGIC = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_TILE_TABLES = {324, 325}  # TileOffsets, TileByteCounts
# Errors of tifffile's parser for a file that it does not understand. It raises any of these.
PARSER_ERRORS = (
    *(ValueError, TypeError, LookupError, ArithmeticError, AttributeError, AssertionError, RuntimeError),
    *(OSError, EOFError, MemoryError, struct.error, zlib.error),
)


def is_tiff(path: Path) -> bool:
    """Whether the file begins like a TIFF; false when it cannot be read."""
    try:
        with path.open("rb") as file:
            return file.read(4) in _MAGIC
    except (OSError, ValueError):
        return False


def is_whole(file: tifffile.TiffFile) -> bool:
    """Whether the file holds all its directories. tifffile leaves out the ones beyond the end without a word."""
    handle, layout = file.filehandle, file.tiff
    handle.seek(layout.offsetsize if layout.offsetsize == 4 else 8)
    seen: set[int] = set()
    while True:
        (offset,) = struct.unpack(layout.offsetformat, handle.read(layout.offsetsize))
        if offset == 0 or offset in seen:
            return True
        seen.add(offset)
        if offset + layout.tagnosize > handle.size:
            return False
        handle.seek(offset)
        (tags,) = struct.unpack(layout.tagnoformat, handle.read(layout.tagnosize))
        end = offset + layout.tagnosize + tags * layout.tagsize
        if end + layout.offsetsize > handle.size:
            return False
        handle.seek(end)


@contextmanager
def tiff_file(path: Path) -> Iterator[tifffile.TiffFile]:
    """Gives the open file. Raises any of `PARSER_ERRORS` when tifffile does not understand it."""
    with silent_log("tifffile"), tifffile.TiffFile(path, _multifile=False) as file:
        yield file


def open_levels(path: Path, level_sizes: Sequence[tuple[int, int]]) -> TiffLevels | None:
    """Open the tiled 8-bit RGB levels of a TIFF slide; None when tifffile does not understand the file.

    OpenSlide, which has opened the file already, then reads it alone.

    Args:
        path: the TIFF file.
        level_sizes: (width, height) of each level that OpenSlide shows. A page belongs to the level of its size; a
            level with no such page, or several, is left out (`level in tiff_levels` is false).

    Raises:
        UserError: the file ends before its tiles do, or has more than 8 bits for each colour.
    """
    try:
        with silent_log("tifffile"):  # it would report problems of pages that nobody reads
            file = tifffile.TiffFile(path)
            try:
                bits = int(file.pages.first.bitspersample)
                if bits > 8:  # OpenSlide would reduce them to 8 bits without a word
                    raise UserError(deep(path, bits))
                return TiffLevels(path, file, _pages(path, file, level_sizes))
            except BaseException:
                file.close()
                raise
    except UserError:
        raise
    except PARSER_ERRORS:
        return None


def _pages(path: Path, file: tifffile.TiffFile, level_sizes: Sequence[tuple[int, int]]) -> dict[int, tifffile.TiffPage]:
    """Level -> the only tiled colour page of its size."""
    pages = [page for page in file.pages if isinstance(page, tifffile.TiffPage) and page.is_tiled]
    if not all({tag.code for tag in page.tags} >= _TILE_TABLES for page in pages):
        # The end of the file is missing; OpenSlide would open it without this level.
        raise UserError(f"{path} is damaged: where the tiles of a level lie is missing; fetch it again")
    of_levels: dict[int, tifffile.TiffPage] = {}
    for level, size in enumerate(level_sizes):
        same = [page for page in pages if (page.imagewidth, page.imagelength) == size]
        if len(same) == 1 and _is_colour(same[0]):
            of_levels[level] = same[0]
    return of_levels


def _is_colour(page: tifffile.TiffPage) -> bool:
    """Whether the page has 8 bits per sample: RGB, with opacity or without, interleaved or in planes."""
    return page.dtype == np.uint8 and page.samplesperpixel in (3, 4) and page.imagedepth == 1


def deep(path: Path, bits: int) -> str:
    """The error message for a slide of more than 8 bits."""
    return f"{path} has {bits} bits for each colour: convert it to 8 bits, as you want them rounded"
