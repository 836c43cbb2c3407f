"""Write synthetic slides: tiled JPEG pyramids that OpenSlide opens, with exact maps of tissue, pen and black."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import tifffile
from numpy.typing import NDArray

from datasets_prep.common.downscale import area_reduce
from datasets_prep.common.errors import UserError, reason_of
from datasets_prep.common.files import replacing
from datasets_prep.synthetic.scene import CELL, Scene

_MAX_STRIP = 4096  # px, largest number of rows in memory
_THUMBNAIL = 768  # px, longer side


@dataclass(frozen=True)
class SyntheticTruth:
    """The true content of a synthetic slide. Each map is [⌊H/16⌋, ⌊W/16⌋] uint8, 0 or 1, one pixel per 16×16 px.

    Attributes:
        tissue: tissue that lies neither under pen marks nor under the black strip.
        pen: pen marks of any colour.
        black: the strip that was not scanned.
    """

    tissue: NDArray[np.uint8]
    pen: NDArray[np.uint8]
    black: NDArray[np.uint8]


def write_synthetic_slide(
    path: Path,
    *,
    width: int,
    height: int,
    seed: int,
    tile: int = 256,
    factors: Sequence[int] = (4, 16),
    mpp: float | None = 0.25,
    flavour: Literal["generic", "svs"] = "generic",
    pen: bool = True,
    black: bool = True,
    quality: int = 90,
) -> SyntheticTruth:
    """Write a synthetic H&E slide and return its true content; the same arguments give the same pixels.

    Memory is bounded by the first coarser level and a strip of level 0.

    Args:
        path: the TIFF file; an existing file is replaced when the new one is complete.
        width, height: size of level 0, px; 256 or more.
        seed: seed of all content.
        tile: side of the tiles, a multiple of 16.
        factors: factors of the coarser levels, which are exact means of level 0 from its upper left corner. Their sizes
            are rounded down. So W0/W is fractional (4.003) where the factor does not divide, as on real slides.
        mpp: µm per pixel in the file; None writes none.
        flavour: `generic` is a plain TIFF; `svs` has Aperio's layout, with an objective (AppMag, 40 without mpp).
        pen: whether to draw blue, green and black pen marks, partly over tissue.
        black: whether to leave a black strip at the right.
        quality: JPEG quality, 1 to 100; chroma is subsampled 2×2.

    Raises:
        UserError: an argument is out of range, or `path` cannot be written.
    """
    strip = math.lcm(tile, CELL, *factors)
    if min(width, height) < 256 or tile < 16 or tile % 16 or strip > _MAX_STRIP:
        raise UserError(
            f"a synthetic slide of {width}x{height}, tiles of {tile}, factors {list(factors)}: give 256x256 or more, "
            f"tiles of a multiple of 16, and factors whose common multiple with the tile is at most {_MAX_STRIP}"
        )
    if any(factor < 2 for factor in factors) or min(width, height) < max(factors, default=1):
        raise UserError(f"factors {list(factors)}: give whole numbers from 2 to the shorter side")
    scene = Scene(width, height, seed=seed, pen=pen, black=black)
    try:
        with replacing(path) as partial, tifffile.TiffWriter(partial, bigtiff=3 * width * height > 2**31) as file:
            _write_pages(
                file, scene, tile=tile, strip=strip, factors=factors, mpp=mpp, flavour=flavour, quality=quality
            )
    except OSError as error:
        raise UserError(f"cannot write {path}: {reason_of(error)}; free space or name another file") from error
    rows, columns = height // CELL, width // CELL
    covered = scene.pen | scene.black
    maps = (scene.tissue & ~covered, scene.pen, scene.black)
    return SyntheticTruth(*(at[:rows, :columns].astype(np.uint8) for at in maps))


def _write_pages(
    file: tifffile.TiffWriter,
    scene: Scene,
    *,
    tile: int,
    strip: int,
    factors: Sequence[int],
    mpp: float | None,
    flavour: str,
    quality: int,
) -> None:
    """Write level 0, for `svs` the thumbnail, and the coarser levels; each is a page, as OpenSlide needs it."""
    levels = [np.empty((scene.height // f, scene.width // f, 3), np.uint8) for f in factors]
    svs = flavour == "svs"
    common: dict[str, Any] = {
        "photometric": "rgb",  # the colour space of the input; JPEG stores YCbCr
        "subsampling": (2, 2),
        "compression": "jpeg",
        "compressionargs": {"level": quality},
        "metadata": None,
    }
    if mpp is not None and not svs:
        common |= {"resolution": (1e4 / mpp, 1e4 / mpp), "resolutionunit": "CENTIMETER"}
    if svs:  # without this tag, Bio-Formats takes the first two pages for a label and a macro image
        common["subfiletype"] = 0
    tiled = common | {"tile": (tile, tile), "dtype": np.uint8}
    reduced: dict[str, Any] = tiled if svs else tiled | {"subfiletype": 1}  # a reduced version of another page

    def describe(width: int, height: int, kind: str) -> str | None:
        if not svs:
            return None
        size = f"{scene.width}x{scene.height} [0,0 {scene.width}x{scene.height}]"
        size += "" if (width, height) == (scene.width, scene.height) else f" -> {width}x{height}"
        power = 40 if mpp is None else round(10 / mpp)
        known = f"|AppMag = {power}" + ("" if mpp is None else f"|MPP = {mpp:.4f}")
        return f"Aperio Image Library (MiHATP synthetic)\r\n{size} {kind} JPEG/YCC Q={quality}{known}"

    shape = (scene.height, scene.width, 3)
    tiles = _level_0(scene, levels, tile=tile, strip=strip, factors=factors)
    file.write(tiles, shape=shape, description=describe(scene.width, scene.height, f"({tile}x{tile})"), **tiled)
    if svs:
        small = levels[-1] if levels else scene.rows(0, -(-scene.height // CELL) * CELL)[: scene.height]
        small = _reduced(small, -(-max(small.shape) // _THUMBNAIL))
        file.write(small, rowsperstrip=16, description=describe(small.shape[1], small.shape[0], "-"), **common)
    for level in levels:
        description = describe(level.shape[1], level.shape[0], f"({tile}x{tile})")
        file.write(_tiles(level, tile), shape=level.shape, description=description, **reduced)


def _level_0(
    scene: Scene, levels: Sequence[NDArray[np.uint8]], *, tile: int, strip: int, factors: Sequence[int]
) -> Iterator[NDArray[np.uint8]]:
    """Yields the tiles of level 0, row by row, and fills the coarser levels at the same time."""
    for top in range(0, scene.height, strip):
        rows = scene.rows(top, min(strip, -(-(scene.height - top) // CELL) * CELL))[: scene.height - top]
        for level, factor in zip(levels, factors, strict=True):
            small = _reduced(rows, factor)
            level[top // factor : top // factor + len(small)] = small
        yield from _tiles(rows, tile)


def _tiles(image: NDArray[np.uint8], tile: int) -> Iterator[NDArray[np.uint8]]:
    """Yields the tiles of an image, row by row; the last pixels are repeated to fill the last tiles.

    So JPEG does not ring at the border.
    """
    for top in range(0, image.shape[0], tile):
        for left in range(0, image.shape[1], tile):
            pixels = image[top : top + tile, left : left + tile]
            missing = ((0, tile - pixels.shape[0]), (0, tile - pixels.shape[1]), (0, 0))
            yield np.pad(pixels, missing, mode="edge")


def _reduced(image: NDArray[np.uint8], factor: int) -> NDArray[np.uint8]:
    """The mean of factor×factor pixels from the upper left corner; the remaining pixels are dropped."""
    height, width, _ = image.shape
    return area_reduce(image[: height // factor * factor, : width // factor * factor], factor)
