"""Outlines of a GeoJSON file, as the page draws them."""

from pathlib import Path
from typing import Any

import msgspec

from datasets_prep.common.errors import UserError
from datasets_prep.tissue.geojson import read_polygons

SUFFIXES = (".geojson", ".json")
_NO_CLASS = "no class"


def read_outlines(path: Path, *, origin: tuple[int, int]) -> bytes:
    """The polygons of a GeoJSON file as JSON: `{"classes": [name…], "rings": [[class, x0, y0, x1, y1, …]…]}`.

    Args:
        path: the file; its points and lines are left out.
        origin: (x, y) of the viewer's origin (`SlideFacts.origin`), which is added.

    Raises:
        UserError: the file cannot be read, is no GeoJSON, or holds no polygon.
    """
    classes: dict[str, int] = {}
    rings: list[list[Any]] = []
    for label, polygon in read_polygons(path):
        number = classes.setdefault(label or _NO_CLASS, len(classes))
        rings += [[number, *(ring + origin).round(1).ravel().tolist()] for ring in polygon]
    if not rings:
        raise UserError(f"{path} holds no polygon: give a GeoJSON file with outlines")
    return msgspec.json.encode({"classes": list(classes), "rings": rings})
