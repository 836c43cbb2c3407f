"""Tissue outlines as GeoJSON: QuPath shows them, and a person can correct them there."""

import gc
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

import msgspec
import numpy as np
from numpy.typing import NDArray

from datasets_prep.common.errors import UserError, reason_of
from datasets_prep.common.files import write_file
from datasets_prep.tissue.clam import Region

_Ring: TypeAlias = NDArray[np.float64]

TISSUE, IGNORED = "Tissue", "Ignore*"  # classes of QuPath; it ignores a class whose name ends with a star
_COLOURS = {IGNORED: (180, 180, 180)}
_COLOUR = (0, 160, 80)
_FARTHEST = 2**26  # px; no slide is so large, and OpenCV cannot fill a polygon beyond it
_WITHOUT_AREA = {  # kind of geometry -> its plural for a note
    **dict.fromkeys(("Point", "MultiPoint"), "points"),
    **dict.fromkeys(("LineString", "MultiLineString"), "lines"),
}


@dataclass(frozen=True)
class Drawing:
    """The content of a GeoJSON file.

    Attributes:
        polygons: class (empty for none) and region of each polygon.
        left_out: `points` or `lines` -> number of them; they have no area.
    """

    polygons: list[tuple[str, Region]] = field(default_factory=list)
    left_out: Counter[str] = field(default_factory=Counter)


def write_geojson(
    path: Path,
    regions: Sequence[Region],
    *,
    name: str = TISSUE,
    labels: Sequence[str] | None = None,
    excluded: Sequence[Region] = (),
    origin: tuple[int, int] = (0, 0),
) -> None:
    """Write regions as a FeatureCollection of polygons in level-0 px; QuPath opens them as annotations.

    Args:
        path: the new file; it is written whole or not at all.
        regions: the regions; an empty sequence gives an empty collection.
        name: class of the annotations.
        labels: name of each annotation.
        excluded: regions that are no tissue, of the class `Ignore*`.
        origin: (x, y) of the viewer's origin (`SlideFacts.origin`), which is subtracted.

    Raises:
        OSError: the file cannot be written.
    """
    features = [
        _feature(region, name, origin, {"name": labels[number]} if labels else {})
        for number, region in enumerate(regions)
    ]
    features += [_feature(region, IGNORED, origin, {}) for region in excluded]
    write_file(path, msgspec.json.encode({"type": "FeatureCollection", "features": features}))


def _feature(region: Region, name: str, origin: tuple[int, int], more: dict[str, str]) -> dict[str, Any]:
    rings = [np.concatenate([ring, ring[:1]]) - origin for ring in (region.outer, *region.holes)]
    classification = {"name": name, "color": _COLOURS.get(name, _COLOUR)}
    return {
        "type": "Feature",
        "geometry": {"type": "Polygon", "coordinates": [ring.tolist() for ring in rings]},
        "properties": {"objectType": "annotation", "classification": classification} | more,
    }


def no_polygon(path: Path, drawing: Drawing) -> str:
    """The error message for a file without a polygon."""
    only = ", ".join(f"{count} {kind}" for kind, count in drawing.left_out.items())
    return f"{path} holds no polygon{f' ({only})' if only else ''}: outline the tissue, and export it as GeoJSON"


def read_drawing(path: Path, *, origin: tuple[int, int] = (0, 0)) -> Drawing:
    """Read a GeoJSON file; coordinates become level-0 px, rounded to whole numbers.

    The file may hold a FeatureCollection, a Feature, a geometry, or a list of these, as QuPath exports them. Points and
    lines are counted and left out.

    Args:
        path: the file.
        origin: (x, y) of the viewer's origin (`SlideFacts.origin`), which is added.

    Raises:
        UserError: the file cannot be read, is no GeoJSON, or holds another kind of geometry.
    """
    drawing = Drawing()
    for label, rings in _read(path, drawing.left_out):
        outer, *holes = (np.rint(ring).astype(np.int32) for ring in rings)
        drawing.polygons.append((label, _moved(Region(outer, tuple(holes)), origin)))
    return drawing


def read_polygons(path: Path, *, nuclei: bool = False) -> list[tuple[str, list[NDArray[np.float64]]]]:
    """The class and the rings of each polygon of a GeoJSON file, px; the first ring is the outline, others are holes.

    Args:
        path: the file; its points and lines are left out.
        nuclei: of a cell of QuPath take the outline of the nucleus, where it has one.

    Raises:
        UserError: as `read_drawing`.
    """
    return list(_read(path, Counter(), outline="nucleusGeometry" if nuclei else "geometry"))


def _read(path: Path, left_out: Counter[str], *, outline: str = "geometry") -> Iterator[tuple[str, list[_Ring]]]:
    try:
        data = _decoded(path.read_bytes())
    except OSError as error:
        raise UserError(f"{path} cannot be read ({reason_of(error)}): give a GeoJSON file") from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise UserError(f"{path} is no JSON ({error}): export the annotations as GeoJSON") from error
    try:
        for label, rings in _polygons(data, "", left_out, outline):
            yield label, _rings(rings)
    except (_NotAPolygonError, RecursionError) as error:
        raise UserError(f"{path} holds {error}: keep polygons alone, and export them as GeoJSON") from error


def _decoded(text: bytes) -> Any:
    """Decode JSON without the garbage collector, which millions of new lists would start again and again."""
    collects = gc.isenabled()
    gc.disable()
    try:
        return msgspec.json.decode(text)
    finally:
        if collects:
            gc.enable()


def _moved(region: Region, origin: tuple[int, int]) -> Region:
    if origin == (0, 0):
        return region
    shift = np.array(origin, np.int32)
    return Region(region.outer + shift, tuple(hole + shift for hole in region.holes))


class _NotAPolygonError(Exception):
    """The message names the object that stands where a polygon should be."""


def _polygons(data: Any, label: str, left_out: Counter[str], outline: str) -> Iterator[tuple[str, Any]]:
    """The class and the coordinates of each polygon, as a list of rings.

    `outline` is the key of the geometry of a feature.
    """
    if isinstance(data, list):
        for part in data:
            yield from _polygons(part, label, left_out, outline)
        return
    kind = data.get("type") if isinstance(data, dict) else None
    if kind == "FeatureCollection" and isinstance(data.get("features"), list):
        yield from _polygons(data["features"], label, left_out, outline)
    elif kind == "GeometryCollection" and isinstance(data.get("geometries"), list):
        yield from _polygons(data["geometries"], label, left_out, outline)
    elif kind == "Feature":
        geometry = data.get(outline) or data.get("geometry")
        yield from _polygons(geometry, _class_of(data.get("properties")), left_out, outline)
    elif kind == "Polygon":
        yield label, data.get("coordinates")
    elif kind == "MultiPolygon" and isinstance(data.get("coordinates"), list):
        yield from ((label, rings) for rings in data["coordinates"])
    elif isinstance(kind, str) and kind in _WITHOUT_AREA:
        left_out[_WITHOUT_AREA[kind]] += 1
    else:
        raise _NotAPolygonError(f"a {kind}" if isinstance(kind, str) else f"{_short(data)}, which is no GeoJSON")


def _class_of(properties: Any) -> str:
    """The class of a QuPath annotation, such as `Tumor` or `Tumor: Positive`; empty when it has none."""
    named = properties.get("classification") if isinstance(properties, dict) else None
    if not isinstance(named, dict):
        return named if isinstance(named, str) else ""
    names = named.get("names")
    if isinstance(names, list):
        return ": ".join(map(str, names))
    return str(named.get("name") or "")


def _rings(rings: Any) -> list[_Ring]:
    if not isinstance(rings, list) or not rings:
        raise _NotAPolygonError("a polygon without an outline")
    return [_ring(ring) for ring in rings]


def _ring(points: Any) -> _Ring:
    """The points of a ring, [N, 2], without the repeated last point."""
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
    return np.array([point[:2] for point in points], np.float64)


def _short(data: Any) -> str:
    text = repr(data)
    return text if len(text) < 40 else f"{text[:36]}…"
