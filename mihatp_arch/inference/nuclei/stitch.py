"""The nuclei of all tiles of a slide as those of one image: none is doubled, lost or cut at the borders of tiles."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.spatial import KDTree

from mihatp_arch.inference.nuclei.morphometry import Nuclei, joined

_SLACK = 4.0  # µm around the core: a tile keeps nuclei there too, for the neighbour may see their centre elsewhere
_REACH = 16.0  # µm, farthest distance of the centres of two outlines of one nucleus


@dataclass(frozen=True)
class TileNuclei:
    """The nuclei of a tile.

    Attributes:
        nuclei: with their centres in the core or up to 4 µm around it.
        depth: µm, how far each centre lies inside the core; negative outside, [N].
    """

    nuclei: Nuclei
    depth: NDArray[np.float64]


def own_nuclei(nuclei: Nuclei, core: Sequence[float]) -> TileNuclei:
    """The nuclei of a tile that are its own.

    Args:
        nuclei: of the tile.
        core: x, y, width and height of its core, µm.
    """
    corner, size = np.array(core[:2]), np.array(core[2:])
    depth = np.minimum(nuclei.centres - corner, corner + size - nuclei.centres).min(axis=1, initial=np.inf)
    own = depth >= -_SLACK
    return TileNuclei(nuclei.chosen(own), depth[own])


def stitched(tiles: Sequence[TileNuclei]) -> Nuclei:
    """The nuclei of all tiles.

    Two outlines from two tiles are the same nucleus where the centre of one lies in the other. Then the nucleus counts
    that lies deeper in the core of its tile.
    """
    nuclei = joined([tile.nuclei for tile in tiles])
    depth = np.concatenate([np.empty(0), *(tile.depth for tile in tiles)])
    tile_of = np.repeat(np.arange(len(tiles)), [len(tile.depth) for tile in tiles])
    dropped = np.zeros(len(nuclei), bool)
    same: dict[int, list[int]] = {}
    for first, second in _doubles(nuclei, depth, tile_of):
        same.setdefault(first, []).append(second)
        same.setdefault(second, []).append(first)
    for number in sorted(same, key=lambda number: (-depth[number], number)):
        if not dropped[number]:
            dropped[same[number]] = True
    return nuclei.chosen(~dropped)


def _doubles(nuclei: Nuclei, depth: NDArray[np.float64], tile_of: NDArray[np.intp]) -> Iterator[tuple[int, int]]:
    """Yields the pairs of outlines of one nucleus."""
    near = np.flatnonzero(depth < _SLACK + _REACH)
    if not len(near):
        return
    neighbours = near[KDTree(nuclei.centres[near]).query_pairs(_REACH, output_type="ndarray")]
    for first, second in neighbours[tile_of[neighbours[:, 0]] != tile_of[neighbours[:, 1]]].tolist():
        if _holds(nuclei, first, second) or _holds(nuclei, second, first):
            yield first, second


def _holds(nuclei: Nuclei, first: int, second: int) -> bool:
    """Whether the centre of the second nucleus lies in the outline of the first one."""
    x, y = nuclei.centres[second].tolist()
    return cv2.pointPolygonTest(nuclei.outlines[first], (x, y), False) >= 0
