"""The JPEG tiles of a TIFF slide: how strongly they were compressed, and whether they are whole."""

import struct
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import tifffile
from numpy.typing import NDArray

from datasets_prep.common.quiet import silent_log

# The luminance table of quality 50, Annex K.1 of the JPEG standard, row by row.
_LUMINANCE = (
    *(16, 11, 10, 16, 24, 40, 51, 61, 12, 12, 14, 19, 26, 58, 60, 55, 14, 13, 16, 24, 40, 57, 69, 56),
    *(14, 17, 22, 29, 51, 87, 80, 62, 18, 22, 37, 56, 68, 109, 103, 77, 24, 35, 55, 64, 81, 104, 113, 92),
    *(49, 64, 78, 87, 103, 121, 120, 101, 72, 92, 95, 98, 112, 100, 103, 99),
)  # fmt: skip
_DQT, _START_OF_SCAN = 0xDB, 0xDA
_END = b"\xff\xd9"  # of the image
_PADDING = 16  # bytes that some writers leave behind the end
_NOT_UNDERSTOOD = (OSError, ValueError, LookupError, TypeError, struct.error)  # tifffile's errors, or it is no TIFF


def jpeg_quality(path: Path, *, width: int, height: int) -> int | None:
    """The quality (1 to 100, libjpeg's scale) of the level of this size; None where it is no JPEG in a TIFF.

    Tables that are not those of libjpeg give the quality whose table has the nearest sum.
    """
    try:
        with silent_log("tifffile"), tifffile.TiffFile(path) as tiff:
            page = _jpeg_page(tiff, (width, height))
            return None if page is None else _quality_of(tiff, page)
    except _NOT_UNDERSTOOD:
        return None  # the slide reader says what is wrong


def cut_off_tiles(path: Path, *, width: int, height: int) -> list[tuple[int, int]]:
    """(x, y) of the JPEG tiles without an end, in the level of this size: decoders make the missing part grey.

    It reads the last bytes of each tile. Damage in the middle of a tile is not found. Where most tiles have no end,
    their writer leaves it out, and none is damaged.
    """
    try:
        with silent_log("tifffile"), tifffile.TiffFile(path) as tiff:
            page = _jpeg_page(tiff, (width, height))
            if page is None or not page.is_tiled:
                return []
            columns = -(-width // page.tilewidth)
            cut_off = [index for index in range(len(page.databytecounts)) if _is_cut_off(tiff, page, index)]
    except _NOT_UNDERSTOOD:
        return []
    if 2 * len(cut_off) > len(page.databytecounts):
        return []
    return [(index % columns * page.tilewidth, index // columns * page.tilelength) for index in cut_off]


def _is_cut_off(tiff: tifffile.TiffFile, page: tifffile.TiffPage, index: int) -> bool:
    """Whether a tile that has data does not end as JPEG."""
    count = page.databytecounts[index]
    last = min(count, len(_END) + _PADDING)
    tiff.filehandle.seek(page.dataoffsets[index] + count - last)
    return count > 0 and _END not in tiff.filehandle.read(last)


def _jpeg_page(tiff: tifffile.TiffFile, size: tuple[int, int]) -> tifffile.TiffPage | None:
    """The page of this (width, height), if it is JPEG."""
    for page in _pages(tiff):
        if (page.imagewidth, page.imagelength) == size:
            return page if page.compression == tifffile.COMPRESSION.JPEG else None
    return None


def _pages(tiff: tifffile.TiffFile) -> Iterator[tifffile.TiffPage]:
    """The pages of a file, each with those in its SubIFDs: the coarser levels of QuPath's and Bio-Formats' pyramids."""
    for page in tiff.pages:
        if isinstance(page, tifffile.TiffPage):
            yield page
            inner = page.pages if page.subifds and page.pages is not None else ()
            yield from (level.aspage() if isinstance(level, tifffile.TiffFrame) else level for level in inner)


def _quality_of(tiff: tifffile.TiffFile, page: tifffile.TiffPage) -> int | None:
    stored = next(index for index, count in enumerate(page.databytecounts) if count)
    tiff.filehandle.seek(page.dataoffsets[stored])
    data = tiff.filehandle.read(page.databytecounts[stored])
    for stream in (data, page.jpegtables or b""):
        table = luminance_sum(stream)
        if table is not None:
            sums = [_scaled(quality).sum() for quality in range(1, 101)]
            return 1 + int(np.argmin(np.abs(np.array(sums) - table)))
    return None


def luminance_sum(jpeg: bytes) -> int | None:
    """The sum of the 64 values of quantisation table 0 in a JPEG stream; None where it has none."""
    at = 2  # behind the start of the image
    while at + 4 <= len(jpeg) and jpeg[at] == 0xFF and jpeg[at + 1] != _START_OF_SCAN:
        marker, (length,) = jpeg[at + 1], struct.unpack(">H", jpeg[at + 2 : at + 4])
        segment, at = jpeg[at + 4 : at + 2 + length], at + 2 + length
        while marker == _DQT and segment:
            wide, number = segment[0] >> 4, segment[0] & 15
            values = np.frombuffer(segment, ">u2" if wide else "u1", 64, 1)
            if number == 0:
                return int(values.sum())
            segment = segment[1 + values.nbytes :]
    return None


def _scaled(quality: int) -> NDArray[np.int64]:
    """The luminance table of a quality, as libjpeg scales it."""
    factor = 5000 // quality if quality < 50 else 200 - 2 * quality
    return np.clip((np.array(_LUMINANCE) * factor + 50) // 100, 1, 255)
