"""Read a written pyramid again, with OpenSlide and with tifffile, and compare it with its tile store."""

import random
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import openslide
import tifffile
from numpy.typing import NDArray

from datasets_prep.common.errors import UserError
from mihatp_arch.inference.pyramid.flavours import Flavour
from mihatp_arch.inference.pyramid.levels import TILE
from mihatp_arch.inference.pyramid.tile_store import TileStore

_SAMPLES = 4  # tiles of each level
_MPP_TOLERANCE = 1e-5  # relative; TIFF readers keep the resolution as a 32-bit float


def verify(path: Path, store: TileStore, *, mpp: float, flavour: Flavour, icc: bytes | None) -> None:
    """Compare sizes, downsamples, resolution and ICC profile, and random tiles of each level with the store.

    OpenSlide reads the pixels as a viewer would; of an OME-TIFF it reads level 0 only. tifffile reads the encoded
    bytes.

    Raises:
        UserError: a difference, or the file cannot be read.
    """
    try:
        differences = [*_in_openslide(path, store, mpp=mpp, flavour=flavour, icc=icc), *_in_tifffile(path, store)]
    except (openslide.OpenSlideError, tifffile.TiffFileError) as error:
        differences = [str(error)]
    if differences:
        raise UserError(
            f"the written file does not read back as it should ({differences[0]}), so it was deleted: check the disk; "
            f"the finished blocks are in {store.path}, and the same command resumes there"
        )


def _in_openslide(path: Path, store: TileStore, *, mpp: float, flavour: Flavour, icc: bytes | None) -> Iterator[str]:
    layout = store.layout
    levels = 1 if flavour == "ome" else layout.levels
    with openslide.OpenSlide(path) as slide:
        sizes = tuple(layout.size(level) for level in range(levels))
        if slide.level_dimensions != sizes:
            yield f"levels of {slide.level_dimensions} px instead of {sizes}"
            return
        if slide.level_downsamples != tuple(2.0**level for level in range(levels)):
            yield f"downsamples {slide.level_downsamples}"
        for name in (openslide.PROPERTY_NAME_MPP_X, openslide.PROPERTY_NAME_MPP_Y):
            if abs(float(slide.properties.get(name, "nan")) / mpp - 1) > _MPP_TOLERANCE:
                yield f"{name} {slide.properties.get(name)} instead of {mpp}"
        profile = slide.color_profile
        if (profile.tobytes() if profile else None) != icc:
            yield "another ICC profile"
        for level in range(levels):
            yield from _pixels(slide, store, level)


def _pixels(slide: openslide.OpenSlide, store: TileStore, level: int) -> Iterator[str]:
    """Compare what OpenSlide shows of sampled tiles with the pixels of the store."""
    width, height = store.layout.size(level)
    for row, column in _sample(store, level):
        size = (min(TILE, width - column * TILE), min(TILE, height - row * TILE))
        corner = (column * TILE << level, row * TILE << level)
        shown = np.asarray(slide.read_region(corner, level, size))
        stored = store.compression.decode(store.tile(level, row, column))[: size[1], : size[0]]
        if not _same(shown, stored):
            yield f"other pixels in tile {row}, {column} of level {level}"


def _same(shown: NDArray[np.uint8], stored: NDArray[np.uint8]) -> bool:
    return bool((shown[..., 3] == 255).all() and np.array_equal(shown[..., :3], stored))


def _in_tifffile(path: Path, store: TileStore) -> Iterator[str]:
    with tifffile.TiffFile(path) as file:
        series = file.series[0]
        levels = [level.keyframe for level in series.levels]
        if len(levels) != store.layout.levels:
            yield f"{len(levels)} levels in tifffile instead of {store.layout.levels}"
            return
        for level, page in enumerate(levels):
            for row, column in _sample(store, level):
                index = row * store.layout.tiles(level)[1] + column
                file.filehandle.seek(page.dataoffsets[index])
                if file.filehandle.read(page.databytecounts[index]) != store.tile(level, row, column):
                    yield f"other bytes in tile {row}, {column} of level {level}"


def _sample(store: TileStore, level: int) -> list[tuple[int, int]]:
    """(row, column) of a few tiles of a level, always the same ones, the last tile among them."""
    rows, columns = store.layout.tiles(level)
    draw = random.Random(level)
    chosen = draw.sample(range(rows * columns), min(_SAMPLES, rows * columns))
    return [divmod(index, columns) for index in sorted({*chosen, rows * columns - 1})]
