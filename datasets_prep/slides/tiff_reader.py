"""The slide reader for TIFF files that OpenSlide refuses, or of which it sees the first level alone.

These are OME-TIFF and other pyramids in SubIFDs (QuPath, Bio-Formats), strips, ImageJ's TIFF, and the compressions that
OpenSlide does not know outside scanners' formats: JPEG 2000, WebP, JPEG XL.
"""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import openslide
import tifffile
from numpy.typing import NDArray

from datasets_prep.common.errors import UserError
from datasets_prep.common.quiet import silent_log
from datasets_prep.slides.diagnosis import foreign_format, why_no_slide
from datasets_prep.slides.levels import Box, LevelFile, best_level
from datasets_prep.slides.protocol import SlideFacts
from datasets_prep.slides.resolution import resolution_of
from datasets_prep.slides.tiff import TiffLevels
from datasets_prep.slides.tiff_files import PARSER_ERRORS, deep, is_tiff, is_whole, tiff_file
from datasets_prep.slides.tiff_metadata import facts_of, properties_of

_REDUCED = 1  # flag of a page that is a reduced copy
_LARGEST_STRIP = 2**28  # px of a compressed strip: it is decoded whole
_UNSUPPORTED = (NotImplementedError, ValueError, KeyError, TypeError, ImportError)  # errors of tifffile, not of a codec
_CONVERT = "export it as 8-bit RGB with JPEG or deflate (QuPath: Export > OME TIFF; vips tiffsave --tile --pyramid)"


class TiffReader(LevelFile):
    """A slide in a TIFF file, read by tifffile; see `slides/protocol.py` for what a reader gives.

    A process that inherits an open slide (fork) opens the file again. An open slide cannot be pickled: send its path.
    At every level `read` gives exactly the stored pixels.

    Attributes:
        path: the file, as it was given.
        vendor: `ome-tiff`, `imagej-tiff`, `qptiff` or `tiff`.
        level_sizes: (width, height) of each level, finest first.
        mpp: µm per level-0 pixel.
        mpp_source: `slide`, `objective` (10 / magnification) or `assumed`.
        facts: scanner and colour profile.
    """

    suffixes: ClassVar[tuple[str, ...]] = (".tif", ".tiff", ".qptiff", ".btf", ".tf8")

    def __init__(self, path: Path, *, assume_mpp: float | None = None) -> None:
        self.path = path
        self._open()
        try:
            properties = properties_of(self._file, self._main)
            self.mpp, self.mpp_source = resolution_of(path, properties, assume_mpp=assume_mpp)
        except BaseException:
            self.close()
            raise

    @classmethod
    def recognises(cls, path: Path) -> bool:
        """Whether the file is a TIFF of which OpenSlide sees nothing, or one plane, not all levels or no resolution."""
        if not is_tiff(path):
            return False
        vendor = openslide.OpenSlide.detect_format(path)
        if vendor != "generic-tiff":
            return vendor is None
        try:
            openslide.OpenSlide(path).close()
        except openslide.OpenSlideError:
            return True
        try:
            with tiff_file(path) as file:
                return bool(file.is_ome or file.is_imagej or file.pages.first.subifds or _has_planes(file))
        except PARSER_ERRORS:
            return False

    @classmethod
    def is_pyramid(cls, path: Path, *, largest: int) -> bool:
        """Whether a file that it recognises has several levels, or is tiled and has more than `largest` pixels."""
        try:
            with tiff_file(path) as file:
                main = _main_page(path, file)
                return bool(_reduced(file, main)) or (main.is_tiled and main.imagewidth * main.imagelength > largest)
        except (UserError, *PARSER_ERRORS):
            return False

    def _open(self) -> None:
        self._process = os.getpid()
        if foreign_format(self.path):  # a TIFF that holds the label alone
            raise UserError(why_no_slide(self.path))
        try:
            with silent_log("tifffile"):
                self._file = tifffile.TiffFile(self.path, _multifile=False)
                try:
                    self._read_directory()
                except BaseException:
                    self._file.close()
                    raise
        except UserError:
            raise
        except PARSER_ERRORS as error:
            reason = " ".join(str(error).split()) or type(error).__name__
            raise UserError(f"{self.path} is damaged ({reason}): fetch it again") from error

    def _read_directory(self) -> None:
        file = self._file
        if not is_whole(file) or any(offset >= file.filehandle.size for offset in file.pages.first.subifds or ()):
            raise UserError(f"{self.path} is cut off: the list of its images is incomplete; fetch it again")
        self._main = _main_page(self.path, file)
        pages = [self._main, *_reduced(file, self._main)]
        self._levels = TiffLevels(self.path, file, dict(enumerate(pages)))
        self.level_sizes = tuple((page.imagewidth, page.imagelength) for page in pages)
        kinds = {"ome-tiff": file.is_ome, "imagej-tiff": file.is_imagej, "qptiff": file.is_qpi}
        self.vendor: str = next((name for name, applies in kinds.items() if applies), "tiff")
        self.facts: SlideFacts = facts_of(self._main)
        try:
            self._levels.check_decoder(0)
        except _UNSUPPORTED as error:
            raise UserError(
                f"{self.path} has pixels that cannot be decoded here ({_compression(self._main)}: "
                f"{' '.join(str(error).split())}): {_CONVERT}"
            ) from error
        except RuntimeError:  # a damaged tile: reading it says which
            pass

    def best_level_for_downsample(self, downsample: float) -> int:
        """The coarsest level that is reduced at most `downsample` times against level 0."""
        return best_level(self.level_sizes, downsample)

    def _read_inside(self, box: Box, *, level: int) -> NDArray[np.uint8]:
        return self._levels.read(box, level=level)

    def close(self) -> None:
        """Close the file."""
        self._levels.close()


def _main_page(path: Path, file: tifffile.TiffFile) -> tifffile.TiffPage:
    """The page of level 0: the largest that is no reduced copy. Raises `UserError` when it is no 8-bit colour image."""
    pages = [page for page in _full_pages(file) if not page.subfiletype & _REDUCED] or [_full(file.pages.first)]
    main = max(pages, key=lambda page: page.imagewidth * page.imagelength)  # the first of several
    why = _why_refused(path, main)
    if why:
        raise UserError(why)
    same = sum((page.imagewidth, page.imagelength) == (main.imagewidth, main.imagelength) for page in pages)
    if same > 1:
        raise UserError(
            f"{path} has {same} images of {main.imagewidth}x{main.imagelength} px (focal planes, channels or times): "
            f"keep one, and {_CONVERT}"
        )
    return main


def _has_planes(file: tifffile.TiffFile) -> bool:
    """Whether another page has the size of the first one, and is no reduced copy."""
    first, *others = _full_pages(file)
    size = first.imagewidth, first.imagelength
    return any(size == (page.imagewidth, page.imagelength) and not page.subfiletype & _REDUCED for page in others)


def _full_pages(file: tifffile.TiffFile) -> Iterator[tifffile.TiffPage]:
    return (_full(page) for page in file.pages)


def _full(page: Any) -> tifffile.TiffPage:
    return page.aspage() if isinstance(page, tifffile.TiffFrame) else page


def _why_refused(path: Path, page: tifffile.TiffPage) -> str:
    """Why a page cannot be level 0, and what to do; empty when it can."""
    colours = getattr(page.photometric, "name", str(page.photometric))
    if page.sampleformat == tifffile.SAMPLEFORMAT.IEEEFP:
        return f"{path} has float pixels: {_CONVERT}"
    if int(page.bitspersample) > 8:
        return deep(path, int(page.bitspersample))
    if colours not in ("RGB", "YCBCR") or page.samplesperpixel < 3 or page.dtype != np.uint8 or page.imagedepth > 1:
        return (
            f"{path} has {colours} pixels of {page.samplesperpixel} channels, no RGB (fluorescence, a mask, or a grey "
            f"image): {_CONVERT}"
        )
    strip = page.imagewidth * min(page.rowsperstrip or page.imagelength, page.imagelength)
    if not page.is_tiled and page.compression != 1 and strip > _LARGEST_STRIP:
        return f"{path} is one strip of {page.imagewidth}x{page.imagelength} px, too large to decode: {_CONVERT}"
    return ""


def _reduced(file: tifffile.TiffFile, main: tifffile.TiffPage) -> list[tifffile.TiffPage]:
    """The pages that are reduced copies of level 0, finest first: its SubIFDs, or pages that are marked so."""
    inner = [_full(page) for page in main.pages] if main.subifds and main.pages is not None else []
    chained = [page for page in _full_pages(file) if page.subfiletype & _REDUCED and page is not main]
    levels: dict[tuple[int, int], tifffile.TiffPage] = {}
    for page in (*inner, *chained):
        size = page.imagewidth, page.imagelength
        if _is_copy(page, main) and size not in levels:
            levels[size] = page
    return sorted(levels.values(), key=lambda page: -page.imagewidth * page.imagelength)


def _is_copy(page: tifffile.TiffPage, main: tifffile.TiffPage) -> bool:
    """Whether a page is smaller, of the same shape and of the same kind of pixels as level 0."""
    width, height = page.imagewidth, page.imagelength
    if width >= main.imagewidth or height >= main.imagelength or min(width, height) < 1:
        return False
    x, y = main.imagewidth / width, main.imagelength / height
    fits = abs(main.imagewidth / y - width) <= 1 or abs(main.imagelength / x - height) <= 1
    return fits and (page.dtype, page.samplesperpixel) == (main.dtype, main.samplesperpixel)


def _compression(page: tifffile.TiffPage) -> str:
    return str(getattr(page.compression, "name", page.compression))
