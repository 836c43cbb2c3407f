"""The JPEG tiles of a TIFF slide: how strongly they were compressed, and whether they are whole."""

import struct
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import cv2
import numpy as np
import tifffile
from numpy.typing import NDArray

from datasets_prep.common.quiet import captured_stderr, silent_log

# The luminance table of quality 50, Annex K.1 of the JPEG standard, row by row.
_LUMINANCE = (
    *(16, 11, 10, 16, 24, 40, 51, 61, 12, 12, 14, 19, 26, 58, 60, 55, 14, 13, 16, 24, 40, 57, 69, 56),
    *(14, 17, 22, 29, 51, 87, 80, 62, 18, 22, 37, 56, 68, 109, 103, 77, 24, 35, 55, 64, 81, 104, 113, 92),
    *(49, 64, 78, 87, 103, 121, 120, 101, 72, 92, 95, 98, 112, 100, 103, 99),
)  # fmt: skip
_DQT, _START_OF_SCAN = 0xDB, 0xDA
_END = b"\xff\xd9"  # of the image
_WARNING = "Corrupt JPEG data"  # of libjpeg
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

    It reads the last bytes of each tile. Where most tiles have no end, their writer leaves it out, and none is damaged.
    """
    return _tiles_that(_are_cut_off, path, (width, height))


def damaged_tiles(path: Path, *, width: int, height: int) -> list[tuple[int, int]]:
    """(x, y) of the JPEG tiles of whose data libjpeg warns, in the level of this size: they decode to wrong pixels.

    Damage of 512 bytes is found in 99 of 100 cases, a single wrong byte in one of three: the decoder may find its way
    back. Each tile is decoded to 1/64 of its pixels. Where libjpeg warns of most tiles, their writer is unusual, and
    none is damaged. OpenCV's decoder is the one whose warnings can be read.
    """
    return _tiles_that(_are_damaged, path, (width, height))


def _tiles_that(
    flawed: Callable[[tifffile.TiffFile, tifffile.TiffPage], list[int]], path: Path, size: tuple[int, int]
) -> list[tuple[int, int]]:
    """(x, y) of the tiles with a flaw, in the level of this size; none where most tiles have it."""
    try:
        with silent_log("tifffile"), tifffile.TiffFile(path) as tiff:
            page = _jpeg_page(tiff, size)
            if page is None or not page.is_tiled:
                return []
            indices = flawed(tiff, page)
    except _NOT_UNDERSTOOD:
        return []
    if 2 * len(indices) > len(page.databytecounts):
        return []
    columns = -(-size[0] // page.tilewidth)
    return [(index % columns * page.tilewidth, index // columns * page.tilelength) for index in indices]


def _are_cut_off(tiff: tifffile.TiffFile, page: tifffile.TiffPage) -> list[int]:
    return [index for index in range(len(page.databytecounts)) if _is_cut_off(tiff, page, index)]


def _are_damaged(tiff: tifffile.TiffFile, page: tifffile.TiffPage) -> list[int]:
    tables = (page.jpegtables or b"")[2:-2]  # without start and end of the image
    damaged: list[int] = []
    with captured_stderr() as warnings:
        for index, count in enumerate(page.databytecounts):
            tiff.filehandle.seek(page.dataoffsets[index])
            data = tiff.filehandle.read(count)
            stream = np.frombuffer(data[:2] + tables + data[2:] + _END, np.uint8)
            if count and _WARNING in _warnings_of(stream, warnings):
                damaged.append(index)
    return damaged


def _warnings_of(jpeg: NDArray[np.uint8], warnings: Callable[[], str]) -> str:
    with suppress(cv2.error):  # the slide reader says what is wrong
        cv2.imdecode(jpeg, cv2.IMREAD_REDUCED_GRAYSCALE_8)
    return warnings()


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
