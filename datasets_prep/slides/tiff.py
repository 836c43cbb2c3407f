"""The pixels of a TIFF file, level by level: decodes its stored tiles or strips, exactly.

It is the fast path for slides that OpenSlide opens: OpenSlide is slower, and interpolates at levels whose size does not
divide that of level 0. `tiff_reader.py` reads all other TIFF slides with it.
"""

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import tifffile
from numpy.typing import NDArray

from datasets_prep.common.errors import UserError
from datasets_prep.common.read_tiff import call_planes_rgb
from datasets_prep.slides.levels import Box, over_white

_CACHE_BYTES = 64 * 2**20  # decoded tiles in memory: more than one row of tiles of a slide 80 000 px wide
_READ_ROWS = 2048  # px, height of the blocks in which an overview is read: the strips of one block stay in memory
_ROWS = 256  # px, height of the parts in which an uncompressed strip is read
_BUSIEST = 3  # number of compared tiles that take the most bytes, thus hold the most detail
_JPEG = (6, 7)  # compressions whose decoder converts YCbCr to RGB
_ASSOCIATED, _UNASSOCIATED = 1, 2  # extra samples: opacity, by which the colours are multiplied or not
_OFFSETS, _COUNTS = (324, 273), (325, 279)  # tags: where the tiles or strips lie, and how many bytes they take


@dataclass(frozen=True)
class _Level:
    """One 8-bit colour image of the file, stored in tiles or strips. A strip is a tile of the image's width.

    The offsets and counts are those of all tiles, row by row, and plane by plane where each colour has its own plane.
    """

    page: tifffile.TiffPage
    width: int
    height: int
    tile_width: int
    tile_height: int
    planes: int
    offsets: NDArray[np.int64]  # position of each tile in the file
    counts: NDArray[np.int64]  # bytes of each tile; 0 when the file stores no data for it

    @property
    def across(self) -> int:
        return -(-self.width // self.tile_width)

    @property
    def tiles(self) -> int:
        """Number of tiles of one plane."""
        return self.across * -(-self.height // self.tile_height)

    def box(self, index: int) -> Box:
        """The rectangle of the level that tile `index` covers."""
        row, column = divmod(index, self.across)
        x, y = column * self.tile_width, row * self.tile_height
        return x, y, min(self.tile_width, self.width - x), min(self.tile_height, self.height - y)


class TiffLevels:
    """The 8-bit colour levels of a TIFF file. One thread of one process at a time.

    Args:
        path: the TIFF file, for error messages.
        file: the open file. It is closed with the levels.
        pages: level -> its page.

    Raises:
        UserError: the file ends before its tiles do.
    """

    def __init__(self, path: Path, file: tifffile.TiffFile, pages: Mapping[int, tifffile.TiffPage]) -> None:
        self._path = path
        self._tiles: OrderedDict[tuple[int, int], NDArray[np.uint8]] = OrderedDict()
        self._file = file
        self._levels = {level: self._level(page) for level, page in pages.items()}
        strips = [at for at in self._levels.values() if at.across == 1]
        self._room = max(_CACHE_BYTES, *(3 * at.width * (at.tile_height + _READ_ROWS) for at in strips), 0)

    def _level(self, page: tifffile.TiffPage) -> _Level:
        call_planes_rgb(page)
        width, height = page.imagewidth, page.imagelength
        if not {tag.code for tag in page.tags} & set(_OFFSETS) or not {tag.code for tag in page.tags} & set(_COUNTS):
            raise UserError(f"{self._path} is damaged: where the tiles of a level lie is missing; fetch it again")
        offsets, counts = (np.asarray(table, np.int64) for table in (page.dataoffsets, page.databytecounts))
        side = (page.tilewidth, page.tilelength) if page.is_tiled else (width, min(page.rowsperstrip or height, height))
        planes = page.samplesperpixel if page.planarconfig == 2 else 1
        level = _Level(page, width, height, *side, planes, offsets, counts)
        if len(offsets) != planes * level.tiles or len(counts) != len(offsets):
            raise UserError(f"{self._path} is damaged: its list of tiles is incomplete; fetch it again")
        ends = np.where(counts > 0, offsets + counts, 0)
        if ends.max() > self._file.filehandle.size:
            raise UserError(
                f"{self._path} is cut off: {self._file.filehandle.size} bytes, its tiles end at {ends.max()}; "
                "fetch it again"
            )
        return _in_parts(level) if _is_one_raw_strip(level) else level

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
        samples = page.samplesperpixel, page.extrasamples, page.planarconfig
        return page.compression, page.photometric, page.subsampling, page.predictor, page.jpegtables is None, *samples

    def probes(self, level: int) -> list[Box]:
        """Rectangles to compare with OpenSlide: tiles with most bytes, corner tiles, and a corner where tiles meet."""
        at = self._levels[level]
        counts = at.counts.reshape(at.planes, at.tiles).sum(axis=0)
        tiles = {0, at.across - 1, at.tiles - 1, *np.argsort(counts)[-_BUSIEST:].tolist()}
        boxes = [at.box(index) for index in sorted(tiles)]
        x, y, _, _ = at.box(int(np.argmax(counts)))
        x, y = max(0, x - 40), max(0, y - 40)
        return [*boxes, (x, y, min(80, at.width - x), min(80, at.height - y))]

    def check_decoder(self, level: int) -> None:
        """Decode the smallest tile of a level. Any error of the decoder is raised as it is."""
        at = self._levels[level]
        sizes = np.where(at.counts[: at.tiles] > 0, at.counts[: at.tiles], np.iinfo(np.int64).max)
        if at.counts.any():
            self._planes(at, int(np.argmin(sizes)))

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
        try:
            planes = self._planes(at, index)
        except Exception as error:  # each codec raises errors of its own
            raise self._broken(level, x, y, str(error)) from error
        stored = [plane for plane in planes if plane is not None]
        if len(stored) < len(planes):
            return np.full((height, width, 3), 255, np.uint8)
        if any(plane.shape[0] < height or plane.shape[1] < width for plane in stored):
            raise self._broken(level, x, y, "it is too small")
        return _rgb(at.page, stored[0] if len(stored) == 1 else np.concatenate(stored, axis=-1))

    def _planes(self, at: _Level, index: int) -> list[NDArray[np.uint8] | None]:
        """The stored samples of a tile, [h, w, samples] for each plane; None where the file has no data for it."""
        planes: list[NDArray[np.uint8] | None] = []
        handle = self._file.filehandle
        for segment in range(index, at.planes * at.tiles, at.tiles):
            count = int(at.counts[segment])
            if count == 0:
                planes.append(None)
                continue
            handle.seek(int(at.offsets[segment]))
            data = handle.read(count)
            if _is_raw(at.page) and at.across == 1:
                _, _, width, height = at.box(index)
                planes.append(np.frombuffer(data, np.uint8).reshape(height, width, -1))
                continue
            decoded, _, _ = at.page.decode(data, segment, jpegtables=at.page.jpegtables)
            planes.append(None if decoded is None else decoded[0])
        return planes

    def _broken(self, level: int, x: int, y: int, why: str) -> UserError:
        reason = " ".join(why.split())
        return UserError(
            f"{self._path}: the tile at x {x}, y {y} of level {level} cannot be decoded ({reason}): "
            "fetch the slide again, or leave it out"
        )


def _is_raw(page: tifffile.TiffPage) -> bool:
    """Whether the page stores the samples in strips as they are."""
    return page.compression == 1 and page.predictor == 1 and page.fillorder == 1 and not page.is_tiled


def _is_one_raw_strip(at: _Level) -> bool:
    return _is_raw(at.page) and at.planes == 1 and len(at.offsets) == 1 and at.height > _ROWS


def _in_parts(at: _Level) -> _Level:
    """A level of one uncompressed strip, as strips of a few rows: a patch need not read the whole image."""
    row = at.width * at.page.samplesperpixel
    starts = np.arange(0, at.height, _ROWS, dtype=np.int64)
    rows = np.minimum(_ROWS, at.height - starts)
    offsets = int(at.offsets[0]) + starts * row
    return _Level(at.page, at.width, at.height, at.width, _ROWS, 1, offsets, rows * row)


def _rgb(page: tifffile.TiffPage, samples: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """[H, W, 3] uint8 RGB of the decoded samples, [H, W, S] with S of 3 or more; transparent pixels over white."""
    rgb = samples[..., :3]
    if page.photometric == tifffile.PHOTOMETRIC.YCBCR and page.compression not in _JPEG:
        rgb = np.asarray(cv2.cvtColor(np.ascontiguousarray(rgb[..., [0, 2, 1]]), cv2.COLOR_YCrCb2RGB), np.uint8)
    extra = page.extrasamples[0] if page.extrasamples and samples.shape[-1] > 3 else 0
    if extra == _UNASSOCIATED:
        return over_white(np.dstack([rgb, samples[..., 3]]))
    if extra == _ASSOCIATED:
        return np.minimum(rgb.astype(np.uint16) + (255 - samples[..., 3:4]), 255).astype(np.uint8)
    return rgb
