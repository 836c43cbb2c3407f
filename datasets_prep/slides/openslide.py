"""The slide reader for every format that OpenSlide opens; on TIFF slides it decodes the tiles itself, exactly."""

import os
from functools import partial
from pathlib import Path
from typing import ClassVar

import numpy as np
import openslide
from numpy.typing import NDArray

from datasets_prep.common.errors import UserError, reason_of
from datasets_prep.slides.diagnosis import why_no_slide
from datasets_prep.slides.levels import Box, LevelFile, over_white
from datasets_prep.slides.protocol import SlideFacts
from datasets_prep.slides.resolution import resolution_of
from datasets_prep.slides.tiff import TiffLevels
from datasets_prep.slides.tiff_files import open_levels
from datasets_prep.slides.tiff_metadata import openslide_facts

TIFF_VENDORS = ("aperio", "generic-tiff")  # formats whose levels are plain pages of a TIFF
_PROBE = 512  # px, side of the square that is compared at the origin of a level


class OpenSlideReader(LevelFile):
    """A slide that OpenSlide opens; see `slides/protocol.py` for what a reader gives.

    A process that inherits an open slide (fork) opens the file again. An open slide cannot be pickled: send its path.

    At level 0 `read` gives exactly the stored pixels. At a coarser level of an Aperio or generic TIFF too, where the
    tiles that we decode were bit-equal to OpenSlide's. At other coarse levels OpenSlide reads at round(x·W0/W). This is
    exact when W0/W is a whole number; otherwise OpenSlide interpolates, and the result may be off by up to half a pixel
    of the level.

    Attributes:
        path: the file, as it was given.
        vendor: OpenSlide's name of the format, such as `aperio`.
        width, height: size of level 0, px.
        level_sizes: (width, height) of each level, finest first.
        mpp: µm per level-0 pixel.
        mpp_source: `slide`, `objective` (10 / magnification) or `assumed`.
        tolerates_damage: set it before the first read, so that damaged tiles fail when they are read, and not when the
            first pixel of their level is.
    """

    suffixes: ClassVar[tuple[str, ...]] = (
        *(".svs", ".tif", ".tiff", ".ndpi", ".vms", ".vmu", ".scn", ".mrxs", ".bif", ".svslide", ".czi", ".dcm"),
    )

    def __init__(self, path: Path, *, assume_mpp: float | None = None) -> None:
        self.path = path
        self._assume_mpp = assume_mpp
        self.tolerates_damage = False
        self._open()

    @classmethod
    def recognises(cls, path: Path) -> bool:
        """True for every file: OpenSlide looks at the content, and the error message of `open` says what is wrong."""
        return True

    def _open(self) -> None:
        self._process = os.getpid()
        self._handle = _open_handle(self.path)
        self._tiff: TiffLevels | None = None
        self._exact: dict[int, bool] = {}
        try:
            properties = self._handle.properties
            self.vendor: str = properties.get(openslide.PROPERTY_NAME_VENDOR, "")
            self.level_sizes = self._handle.level_dimensions
            self.width, self.height = self.level_sizes[0]
            if self.vendor in TIFF_VENDORS:
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

    @property
    def facts(self) -> SlideFacts:
        """Colour profile, scanner and origin of the slide."""
        profile = self._handle.color_profile
        return openslide_facts(self._handle.properties, profile.tobytes() if profile else None)

    def best_level_for_downsample(self, downsample: float) -> int:
        """The coarsest level that is reduced at most `downsample` times against level 0."""
        return self._handle.get_best_level_for_downsample(downsample)

    def _read_inside(self, box: Box, *, level: int) -> NDArray[np.uint8]:
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
            self._handle.close()
            self._handle = _open_handle(self.path)  # after one error, every read of a handle fails
            raise UserError(
                f"{self.path}: {width}x{height} pixels at x {x}, y {y} of level {level} cannot be read "
                f"({' '.join(str(error).split())}): fetch the slide again, or leave it out"
            ) from error
        return over_white(rgba)

    def _is_exact(self, level: int) -> bool:
        """Whether the tiles that we decode are bit-equal to OpenSlide's; compared at the first read of a level."""
        if level not in self._exact:
            self._exact[level] = self._tiff is not None and self._is_equal(self._tiff, level)
        return self._exact[level]

    def _is_equal(self, tiff: TiffLevels, level: int) -> bool:
        """Compare both decoders in the regions where OpenSlide does not interpolate.

        When W0/W is fractional, only the region at the origin can be compared. The level must then have the same coding
        as level 0, where the decoder was compared everywhere.
        """
        if level not in tiff:
            return False
        if level > 0:
            if not self._is_exact(0) or tiff.coding(level) != tiff.coding(0):
                return False
            if self.vendor == "aperio" and tiff.lacks_tiles(level):
                return False  # OpenSlide fills missing tiles from the finer level
        width, height = self.level_sizes[level]
        boxes = [(0, 0, min(width, _PROBE), min(height, _PROBE))]
        if self.width * height == self.height * width and self.width % width == 0:
            boxes += tiff.probes(level)
        agreed = [self._agree(tiff, box, level) for box in boxes]
        return True in agreed and False not in agreed

    def _agree(self, tiff: TiffLevels, box: Box, level: int) -> bool | None:
        """Whether both decoders give the same pixels; None where both fail and damage is tolerated.

        Raises `UserError` where one of them fails and damage is not tolerated.
        """
        results: list[NDArray[np.uint8] | None] = []
        for read in (partial(tiff.read, box, level=level), partial(self._read_openslide, box, level)):
            try:
                results.append(read())
            except UserError:
                if not self.tolerates_damage:
                    raise
                results.append(None)
        ours, theirs = results
        if ours is None or theirs is None:
            return None if ours is theirs else False
        return np.array_equal(ours, theirs)


def _open_handle(path: Path) -> openslide.OpenSlide:
    try:
        with path.open("rb") as file:  # OpenSlide calls a missing or unreadable file an unsupported format
            file.read(1)
        return openslide.OpenSlide(path)
    except openslide.OpenSlideUnsupportedFormatError:
        raise UserError(why_no_slide(path)) from None
    except openslide.OpenSlideError as error:
        raise UserError(why_no_slide(path, str(error))) from error
    except (OSError, ValueError) as error:
        why = reason_of(error)
        raise UserError(f"{str(path)!r} cannot be opened ({why}): give a file that OpenSlide opens") from error
