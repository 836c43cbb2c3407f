"""Trust maps: where SR is inconsistent with LR, and where the images of the ensemble differ, for QuPath.

Inconsistency is |mean_k(SR) - LR| before the projection. A large value says that the network changed the scan's own
colours. The deviation is the standard deviation of SR over the reversible pool. A large value says that the network
gives another answer when the tile is turned or mirrored. Neither needs HR; a small value is no proof of truth.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import cv2
import numpy as np
import tifffile
from numpy.typing import NDArray

from datasets_prep.common.errors import UserError
from datasets_prep.common.files import MAP, refuse_foreign, remove_partials, replacing
from datasets_prep.tissue.clam import Region
from datasets_prep.tissue.geojson import write_geojson
from mihatp_arch.inference.pyramid import TileStore
from mihatp_arch.inference.slides.job import SlideJob
from mihatp_arch.inference.tiled_network import Finished

GREY_PER_CODE = 16  # grey values of a map for one code value of 8 bits; 255 stands for all above 15.9 codes
_SIDE = 16  # px of the output, side of the square that becomes one pixel of a map
_TILE = 256  # px, side of a TIFF tile
_WORST = 20  # tiles

_STRIP = 512  # rows, an even number

Map: TypeAlias = NDArray[np.float32]
Means: TypeAlias = dict[tuple[int, int], float]  # row and column of a tile -> mean of a map


def block_maps(block: Finished, scale: int) -> dict[str, Map]:
    """The maps of a finished block, [⌈h/c⌉, ⌈w/c⌉] each, in code values of 8 bits; c LR px become one pixel."""
    planes = {"inconsistency": block.inconsistency, "deviation": block.deviation}
    return {name: _reduced(plane * 255, cell(scale)) for name, plane in planes.items() if plane is not None}


def cell(scale: int) -> int:
    """Side of the square of LR px that becomes one pixel of a map: a power of two, so that it divides every tile."""
    return 1 << max(0, (_SIDE // scale).bit_length() - 1)


def _reduced(plane: NDArray[np.float32], side: int) -> Map:
    """The mean of side×side px; the last ones are repeated to fill the last squares."""
    height, width = plane.shape
    filled = np.pad(plane, ((0, -height % side), (0, -width % side)), mode="edge")
    size = filled.shape[1] // side, filled.shape[0] // side
    return cv2.resize(filled, size, interpolation=cv2.INTER_AREA).astype(np.float32, copy=False)


def refuse_foreign_maps(output: Path, job: SlideJob) -> None:
    """Raise `UserError` where `write_maps` would replace a file that this program did not write."""
    for name, picture, outlines in _files(output, ensemble=job.task.ensemble):
        refuse_foreign(picture, MAP.encode())
        refuse_foreign(outlines, _title(name).encode(), b'"features":[]')  # or a slide without tissue


def map_files(output: Path, *, ensemble: bool) -> list[Path]:
    """The files that `write_maps` writes beside an output."""
    return [file for _, *files in _files(output, ensemble=ensemble) for file in files]


def _files(output: Path, *, ensemble: bool) -> Iterator[tuple[str, Path, Path]]:
    """Yields the name of each map, its picture and its outlines."""
    stem = output.with_suffix("")
    for name in ("inconsistency", "deviation") if ensemble else ("inconsistency",):
        yield name, stem.with_name(f"{stem.name}.{name}.tif"), stem.with_name(f"{stem.name}.{name}.geojson")


def _title(name: str) -> str:
    return f"largest {name}"


def write_maps(store: TileStore, output: Path, job: SlideJob) -> list[Path]:
    """Write each map as a pyramidal TIFF, `<output>.<name>.tif`, and its worst tiles as `<output>.<name>.geojson`.

    Args:
        store: the complete store.
        output: the TIFF of the slide.
        job: the slide.

    Raises:
        UserError: a file cannot be written.
    """
    written = []
    for name, picture, outlines in _files(output, ensemble=job.task.ensemble):
        grey, means = _read(store, name, job)
        try:
            remove_partials(picture)
            remove_partials(outlines)
            _write_picture(picture, grey, name, mpp=job.plan.output_mpp * cell(job.plan.scale) * job.plan.scale)
            worst = list(_worst(means, job))
            write_geojson(
                outlines,
                [tile.region for tile in worst],
                name=_title(name),
                labels=[f"{name} {tile.value:.2f} grey levels" for tile in worst],
            )
        except OSError as error:
            raise UserError(f"cannot write {picture}: {error.strerror or error}") from error
        written += [picture, outlines]
    return written


def _read(store: TileStore, name: str, job: SlideJob) -> tuple[NDArray[np.uint8], Means]:
    """The picture of a map, and its mean in each tile with tissue; one strip at a time is there as floats."""
    tiles, side = job.task.tiling.tiles, job.task.tiling.core // cell(job.plan.scale)  # of a block; px of the map
    strips: list[NDArray[np.uint8]] = []
    means: Means = {}
    for block, values in enumerate(store.map_strips(name)):
        strips.append(np.rint(np.minimum(values * GREY_PER_CODE, 255)).astype(np.uint8))
        first = block * tiles
        for row, column in np.argwhere(job.tissue.tiles[first : first + tiles]).tolist():
            part = values[row * side : (row + 1) * side, column * side : (column + 1) * side]
            means[first + row, column] = float(part.mean())
    return np.vstack(strips), means


def _halved(grey: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Half as wide and as high."""
    strips = (grey[top : top + _STRIP] for top in range(0, len(grey), _STRIP))
    return np.vstack([np.rint(_reduced(strip.astype(np.float32), 2)).astype(np.uint8) for strip in strips])


def _write_picture(path: Path, grey: NDArray[np.uint8], name: str, *, mpp: float) -> None:
    """A grey pyramid of 8 bits without loss; each level is half of the one before."""
    text = f"{name} {MAP}: grey / {GREY_PER_CODE} = code values of 8 bits; MiHATP"
    with replacing(path) as partial, tifffile.TiffWriter(partial) as file:
        level = 0
        while True:
            density = 1e4 / (mpp * 2**level)
            file.write(
                grey,
                tile=(_TILE, _TILE),
                compression="adobe_deflate",
                photometric="minisblack",
                resolution=(density, density),
                resolutionunit="CENTIMETER",
                subfiletype=int(level > 0),
                description=None if level else text,
                metadata=None,
                software=False,
            )
            if max(grey.shape) <= _TILE:
                return
            grey = _halved(grey)
            level += 1


@dataclass(frozen=True)
class _Tile:
    value: float
    region: Region


def _worst(means: Means, job: SlideJob) -> Iterator[_Tile]:
    """Yields the tiles with tissue of the largest mean, the largest first; outlines in px of the output."""
    step = job.task.tiling.core * job.plan.scale  # px of the output
    for row, column in sorted(means, key=lambda tile: (-means[tile], tile))[:_WORST]:
        left, top = column * step, row * step
        right, bottom = min(left + step, job.layout.width), min(top + step, job.layout.height)
        corners = np.array([(left, top), (right, top), (right, bottom), (left, bottom)], np.int32)
        yield _Tile(means[row, column], Region(corners))
