"""The tiles of one image or map, as encoded pictures."""

import threading
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Literal, TypeAlias

import numpy as np
import openslide
from numpy.typing import NDArray
from openslide.deepzoom import DeepZoomGenerator
from PIL import Image

from datasets_prep.common.errors import UserError, reason_of
from datasets_prep.common.png import encode_png
from mihatp_viewer.pixels import ReadSlide, deepzoom_pixels, open_reader

Encoding: TypeAlias = Literal["png", "jpg"]

TILE_SIZES = (64, 2048)  # px, smallest and largest side of a tile
OVERLAP = 1  # px that a tile shares with each neighbour: without them, fractions of the zoom show seams
CACHE_BYTES = 2**27  # of one image: half of it decoded, held by OpenSlide, and half of it encoded, held here
_UNKNOWN_MPP = 1.0  # stands for an unknown resolution while a slide is opened


class NoTileError(LookupError):
    """The image has no tile at this place."""


class GoneError(UserError):
    """The file of an open image was removed, replaced, or cannot be reached."""


@dataclass(frozen=True)
class _State:
    """Facts about a file that change with its content."""

    inode: int
    size: int
    changed: int  # ns

    @classmethod
    def of(cls, path: Path) -> "_State":
        status = path.stat()
        return cls(status.st_ino, status.st_size, status.st_mtime_ns)


class Tiles:
    """An open image, cut into tiles of each DeepZoom level. Several threads may read it.

    Args:
        path: slide or picture.
        assume_mpp: µm per pixel where the file states none.
        mpp: µm per pixel, whatever the file states.
        tile_size: side of a tile with its shared pixels, px.
        heat: show grey values as colours from transparent to red, as for a map of trust.
        cache_bytes: memory for tiles that may be asked for again.

    Attributes:
        path: the file.
        size: (width, height) of level 0, px.
        mpp: µm per level-0 pixel; None where it is unknown.
        origin: (x, y) px of level 0 where the coordinates of QuPath begin.
        cache_bytes: as given.
        notes: lines about damage that the user should read.

    Raises:
        UserError: the file cannot be opened, or `tile_size` is not in `TILE_SIZES`.
    """

    def __init__(
        self,
        path: Path,
        *,
        assume_mpp: float | None = None,
        mpp: float | None = None,
        tile_size: int = 512,
        heat: bool = False,
        cache_bytes: int = CACHE_BYTES,
    ) -> None:
        if not TILE_SIZES[0] <= tile_size <= TILE_SIZES[1]:
            raise UserError(f"--tile-size {tile_size}: give {TILE_SIZES[0]} to {TILE_SIZES[1]} px")
        self.path = path
        self.tile_size = tile_size
        self._heat = heat
        self._lock = threading.Lock()  # of the encoded tiles
        self._reopening = threading.Lock()
        self._encoded: OrderedDict[tuple[int, int, int, Encoding], bytes] = OrderedDict()
        self._damaged: dict[tuple[int, int, int], str] = {}  # tile -> why it cannot be decoded
        self.cache_bytes = cache_bytes
        self._room = cache_bytes // 2
        self._state = _State.of(path) if path.exists() else None
        reader = open_reader(path, assume_mpp=assume_mpp or _UNKNOWN_MPP)
        self.size: tuple[int, int] = reader.level_sizes[0]
        own = assume_mpp if reader.mpp_source in ("", "assumed") else reader.mpp
        self.mpp: float | None = own if mpp is None else mpp
        self.origin = reader.facts.origin
        pixels = deepzoom_pixels(path, reader)
        self.notes = _notes(path, pixels.damage) if isinstance(pixels, ReadSlide) else []
        self._open(pixels)

    def _open(self, pixels: openslide.AbstractSlide) -> None:
        if isinstance(pixels, openslide.OpenSlide):
            pixels.set_cache(openslide.OpenSlideCache(self.cache_bytes // 2))
        self._pixels = pixels
        self._zoom = self._cut(pixels)

    def _cut(self, pixels: openslide.AbstractSlide) -> DeepZoomGenerator:
        return DeepZoomGenerator(pixels, self.tile_size - 2 * OVERLAP, OVERLAP, limit_bounds=False)

    @property
    def levels(self) -> tuple[tuple[int, int], ...]:
        """(columns, rows) of tiles of each DeepZoom level, from that of 1 px."""
        return self._zoom.level_tiles

    def close(self) -> None:
        """Close the file."""
        self._pixels.close()

    def encoded(self, level: int, column: int, row: int, *, encoding: Encoding, quality: int = 90) -> bytes:
        """A tile as PNG or JPEG (4:4:4). Maps are always PNG.

        Raises:
            NoTileError: there is no such tile.
            GoneError: the file is no longer the one that was opened.
            UserError: the tile cannot be decoded.
        """
        if not 0 <= level < len(self.levels) or not self._is_inside(level, column, row):
            raise NoTileError(f"{self.path.name} has no tile {column}, {row} of level {level}")
        self._check_file()
        key = level, column, row, encoding
        with self._lock:
            if key in self._encoded:
                self._encoded.move_to_end(key)
                return self._encoded[key]
        data = _encode(self._tile(level, column, row), encoding=encoding, quality=quality, heat=self._heat)
        with self._lock:
            self._room += len(self._encoded.pop(key, b"")) - len(data)
            self._encoded[key] = data
            while self._room < 0 and len(self._encoded) > 1:
                self._room += len(self._encoded.popitem(last=False)[1])
        return data

    def _is_inside(self, level: int, column: int, row: int) -> bool:
        columns, rows = self.levels[level]
        return 0 <= column < columns and 0 <= row < rows

    def _check_file(self) -> None:
        try:
            state = _State.of(self.path)
        except OSError as error:
            why = reason_of(error)
            raise GoneError(f"{self.path} can no longer be read ({why}): restore it, and start again") from error
        if state != self._state:
            raise GoneError(f"{self.path} has changed since it was opened: start again")

    def _tile(self, level: int, column: int, row: int) -> Image.Image:
        if (level, column, row) in self._damaged:
            raise UserError(self._damaged[level, column, row])
        zoom = self._zoom
        try:
            return zoom.get_tile(level, (column, row))
        except openslide.OpenSlideError:
            # After one error, every read of a handle fails, those of other threads too.
            return self._tile_alone(level, column, row, failed=zoom)

    def _tile_alone(self, level: int, column: int, row: int, *, failed: DeepZoomGenerator) -> Image.Image:
        """The tile by a handle that no other thread uses; a failed handle is replaced."""
        with self._reopening:
            if self._zoom is failed:
                self._open(openslide.OpenSlide(self.path))
            with openslide.OpenSlide(self.path) as alone:
                try:
                    return self._cut(alone).get_tile(level, (column, row))
                except openslide.OpenSlideError as error:
                    reason = " ".join(str(error).split())
                    why = f"{self.path}: tile {column}, {row} of level {level} cannot be decoded ({reason})"
                    self._damaged[level, column, row] = why
                    raise UserError(why) from error


def _notes(path: Path, damage: Sequence[str]) -> list[str]:
    if not damage:
        return []
    return [f"{path.name} is damaged: {len(damage)} parts of its overview are white ({damage[0]})"]


def _encode(tile: Image.Image, *, encoding: Encoding, quality: int, heat: bool) -> bytes:
    data = BytesIO()
    if heat:
        Image.fromarray(_heat(np.asarray(tile.convert("L")))).save(data, "PNG", compress_level=1)
    elif encoding == "png":
        return encode_png(np.asarray(tile))
    else:
        tile.save(data, "JPEG", quality=quality, subsampling=0)
    return data.getvalue()


def _heat(grey: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """[H, W] -> [H, W, 4] RGBA: transparent for 0, then yellow, then opaque red for 255."""
    rgba = np.empty((*grey.shape, 4), np.uint8)
    rgba[..., 0] = 230
    rgba[..., 1] = (255 - grey) // 10 * 8
    rgba[..., 2] = 0
    rgba[..., 3] = np.minimum(grey.astype(np.uint16) * 2, 255)
    return rgba
