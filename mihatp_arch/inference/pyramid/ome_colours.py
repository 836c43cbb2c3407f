"""Tags of an OME-TIFF with which Bio-Formats, and so QuPath, shows JPEG tiles in their colours."""

import struct
from collections.abc import Iterable, Iterator
from pathlib import Path

import tifffile

_SUBSAMPLING, _POSITIONING = 530, 531  # YCbCrSubSampling, YCbCrPositioning
_SHORT = 3


def leave_out_subsampling(path: Path) -> None:
    """Put the default of YCbCrPositioning in the place of YCbCrSubSampling, on each page and sub-page.

    Where YCbCrSubSampling is 1, 1, Bio-Formats converts YCbCr to RGB once more after its JPEG decoder did, and all is
    pink (https://github.com/ome/bioformats/issues/2811, in 8.0 too). Without the tag, it takes what the decoder gives.
    The JPEG streams say what the tag said. libtiff and OpenSlide read it there; libtiff may print a warning.
    """
    with tifffile.TiffFile(path) as file:
        entries = [page.tags[_SUBSAMPLING].offset for page in _with_subpages(file.pages)]
        count = "Q" if file.is_bigtiff else "I"
        entry = struct.pack(f"{file.byteorder}HH{count}H", _POSITIONING, _SHORT, 1, 1)
    with path.open("r+b") as raw:
        for offset in entries:
            raw.seek(offset)
            raw.write(entry)  # the rest of the entry is padding


def _with_subpages(pages: Iterable[tifffile.TiffPage | tifffile.TiffFrame]) -> Iterator[tifffile.TiffPage]:
    for page in pages:
        full = page.aspage()
        yield full
        if full.pages is not None:
            yield from _with_subpages(full.pages)
