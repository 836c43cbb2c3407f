"""Nuclei as GeoJSON: QuPath shows each as a detection, with its class and its measurements."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from datasets_prep.common.files import replacing
from mihatp_arch.inference.nuclei.morphometry import FEATURES, Nuclei

_DIGITS = 2  # of a coordinate in px


@dataclass(frozen=True)
class NucleusClass:
    """A class of nuclei in QuPath: its name, and its colour (R, G, B)."""

    name: str
    colour: tuple[int, int, int]


NUCLEUS = NucleusClass("Nucleus", (60, 60, 220))
MATCHED = NucleusClass("Nucleus in both", (60, 160, 60))
LOST = NucleusClass("Lost nucleus", (230, 160, 0))
INVENTED = NucleusClass("Invented nucleus", (0, 160, 230))
_CONSEP = (  # HoVer-Net's types, with CoNSeP's merged
    NucleusClass("Miscellaneous nucleus", (128, 128, 128)),
    NucleusClass("Inflammatory nucleus", (220, 40, 40)),
    NucleusClass("Epithelial nucleus", (40, 160, 40)),
    NucleusClass("Spindle-shaped nucleus", (40, 80, 220)),
)
_OTHERS = ((220, 40, 40), (40, 160, 40), (40, 80, 220), (230, 160, 0), (150, 60, 200), (0, 160, 160))


MARK = b'{"type":"FeatureCollection","features":[\n'  # how a file of `write_nuclei` begins


def classes_of(nr_types: int | None, *, mode: str) -> list[NucleusClass]:
    """The class of each type of a network, from type 0; `nr_types` counts the background, None: no types.

    Networks of the mode `original` with four types and the background have the types of CoNSeP. The official ones of
    the mode `fast` are of other data sets.
    """
    if nr_types is None:
        return [NUCLEUS]
    if nr_types == len(_CONSEP) + 1 and mode == "original":
        return [NUCLEUS, *_CONSEP]
    others = (NucleusClass(f"Nucleus of type {kind}", _OTHERS[kind % len(_OTHERS)]) for kind in range(1, nr_types))
    return [NUCLEUS, *others]


def write_nuclei(
    path: Path, groups: Sequence[tuple[Nuclei, Sequence[NucleusClass]]], *, mpp: float, origin: tuple[int, int] = (0, 0)
) -> None:
    """Write nuclei as a FeatureCollection of polygons in px.

    Args:
        path: the new file; it is written whole or not at all.
        groups: nuclei, and the class of each of their types; a single class is that of all of them.
        mpp: µm per px of the image that they are shown on; that of level 0 for a slide.
        origin: (x, y) px that are (0, 0) in the viewer.

    Raises:
        OSError: the file cannot be written.
    """
    features = (feature for nuclei, classes in groups for feature in _features(nuclei, classes, mpp, origin))
    # One by one: a million nuclei as Python objects would take gigabytes.
    with replacing(path) as partial, partial.open("wb") as file:
        file.write(MARK.rstrip())
        for number, feature in enumerate(features):
            file.write((b",\n" if number else b"\n") + msgspec.json.encode(feature))
        file.write(b"\n]}\n")


def _features(
    nuclei: Nuclei, classes: Sequence[NucleusClass], mpp: float, origin: tuple[int, int]
) -> Iterator[Mapping[str, Any]]:
    """Yields the feature of each nucleus."""
    names = {name: f"{name} {unit}".strip() for name, unit in FEATURES.items()}
    named = [{"name": each.name, "color": each.colour} for each in classes]
    for number, ring in enumerate(nuclei.outlines):
        points = (ring / mpp - origin).round(_DIGITS).tolist()
        kind = min(int(nuclei.types[number]), len(classes) - 1)
        measurements = {names[name]: float(f"{nuclei.features[name][number]:.5g}") for name in FEATURES}
        yield {
            "type": "Feature",
            "geometry": {"type": "Polygon", "coordinates": [[*points, points[0]]]},
            "properties": {
                "objectType": "detection",
                "classification": named[kind],
                "measurements": measurements,
            },
        }
