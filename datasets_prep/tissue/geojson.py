"""Tissue outlines as GeoJSON: QuPath shows them, and a person can correct them there."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from datasets_prep.common.errors import UserError
from datasets_prep.common.files import write_file
from datasets_prep.tissue.clam import Region

_COLOUR = (0, 160, 80)
_FARTHEST = 2**26  # px; no slide is so large, and OpenCV cannot fill a polygon beyond it


def write_geojson(
    path: Path, regions: Sequence[Region], *, name: str = "Tissue", labels: Sequence[str] | None = None
) -> None:
    """Write regions as a FeatureCollection of polygons in level-0 px; QuPath opens them as annotations.

    Args:
        path: the new file; it is written whole or not at all.
        regions: the regions; an empty sequence gives an empty collection.
        name: class of the annotations.
        labels: name of each annotation.

    Raises:
        OSError: the file cannot be written.
    """
    properties = {"objectType": "annotation", "classification": {"name": name, "color": _COLOUR}}
    features = [
        {
            "type": "Feature",
            "geometry": {"type": "Polygon", "coordinates": [_closed(ring) for ring in (region.outer, *region.holes)]},
            "properties": properties | ({"name": labels[number]} if labels else {}),
        }
        for number, region in enumerate(regions)
    ]
    write_file(path, msgspec.json.encode({"type": "FeatureCollection", "features": features}))


def _closed(ring: NDArray[np.int32]) -> list[list[int]]:
    return np.concatenate([ring, ring[:1]]).tolist()


def read_geojson(path: Path) -> list[Region]:
    """Read the polygons of a GeoJSON file; coordinates are level-0 px, rounded to whole numbers.

    The file may hold a FeatureCollection, a Feature, a geometry, or a list of these, as QuPath exports them, with any
    number of Polygons and MultiPolygons.

    Raises:
        UserError: the file cannot be read, is no GeoJSON, holds no polygon, or holds another geometry.
    """
    try:
        data = msgspec.json.decode(path.read_bytes())
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror or error}): give a GeoJSON file") from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise UserError(f"{path} is no JSON ({error}): export the annotations as GeoJSON") from error
    try:
        regions = [_region(rings) for rings in _polygons(data)]
    except (_NotAPolygonError, RecursionError) as error:
        raise UserError(f"{path} holds {error}: keep polygons alone, and export them as GeoJSON") from error
    if not regions:
        raise UserError(f"{path} holds no polygon: outline the tissue, and export it as GeoJSON")
    return regions


class _NotAPolygonError(Exception):
    """The message names the object that stands where a polygon should be."""


def _polygons(data: Any) -> Iterator[Any]:
    """The coordinates of each polygon, as a list of rings."""
    if isinstance(data, list):
        for part in data:
            yield from _polygons(part)
        return
    kind = data.get("type") if isinstance(data, dict) else None
    if kind == "FeatureCollection" and isinstance(data.get("features"), list):
        yield from _polygons(data["features"])
    elif kind == "Feature":
        yield from _polygons(data.get("geometry"))
    elif kind == "Polygon":
        yield data.get("coordinates")
    elif kind == "MultiPolygon" and isinstance(data.get("coordinates"), list):
        yield from data["coordinates"]
    else:
        raise _NotAPolygonError(f"a {kind}" if isinstance(kind, str) else f"{_short(data)}, which is no GeoJSON")


def _region(rings: Any) -> Region:
    if not isinstance(rings, list) or not rings:
        raise _NotAPolygonError("a polygon without an outline")
    outer, *holes = map(_ring, rings)
    return Region(outer, tuple(holes))


def _ring(points: Any) -> NDArray[np.int32]:
    """The points of a ring, [N, 2] int32, without the repeated last point."""
    if not isinstance(points, list):
        raise _NotAPolygonError(f"{_short(points)} for an outline")
    for point in points:
        if not isinstance(point, list) or len(point) < 2 or not all(type(at) in (int, float) for at in point[:2]):
            raise _NotAPolygonError(f"{_short(point)} for a point")
        if not all(abs(at) < _FARTHEST for at in point[:2]):
            raise _NotAPolygonError(f"the point {_short(point)}, which lies on no slide")
    if len(points) > 1 and points[0][:2] == points[-1][:2]:
        points = points[:-1]
    if len(points) < 3:
        raise _NotAPolygonError(f"an outline of {len(points)} points")
    return np.rint(np.array([point[:2] for point in points], np.float64)).astype(np.int32)


def _short(data: Any) -> str:
    text = repr(data)
    return text if len(text) < 40 else f"{text[:36]}…"
