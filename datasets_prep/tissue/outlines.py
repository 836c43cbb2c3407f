"""Which annotations of a person are tissue, and which are not: by their QuPath classes."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from datasets_prep.common.errors import UserError
from datasets_prep.common.text import did_you_mean, with_hint
from datasets_prep.tissue.clam import Region
from datasets_prep.tissue.geojson import no_polygon, read_drawing

# Besides these, every class whose name ends with a star: QuPath ignores it.
EXCLUDED = (
    *("Necrosis", "Artefact", "Artifact", "Background", "Glass", "Pen", "Marker", "Fold", "Bubble", "Dust", "Exclude"),
    *("Out of focus", "Blur", "Debris", "Other"),
)


@dataclass(frozen=True)
class Outlines:
    """The tissue that a person has outlined.

    Attributes:
        regions: the tissue.
        excluded: regions that are taken out of it.
        notes: lines that say which annotations are not tissue.
    """

    regions: list[Region]
    excluded: list[Region]
    notes: tuple[str, ...] = ()


def read_outlines(
    path: Path, *, origin: tuple[int, int] = (0, 0), include: Sequence[str] = (), exclude: Sequence[str] = ()
) -> Outlines:
    """Read the outlines of the tissue of one slide.

    A class matches without regard to case. `Tumor` also matches `Tumor: Positive`.

    Args:
        path: GeoJSON file.
        origin: (x, y) of the viewer's origin (`SlideFacts.origin`).
        include: classes that are tissue; empty: all that are not excluded, and annotations without a class.
        exclude: classes that are taken out of the tissue, besides `EXCLUDED` and names that end with a star.

    Raises:
        UserError: the file cannot be read, or has no tissue.
    """
    drawing = read_drawing(path, origin=origin)
    if not drawing.polygons:
        raise UserError(no_polygon(path, drawing))
    regions: list[Region] = []
    excluded: list[Region] = []
    taken_out, unused = Counter[str](), Counter[str]()
    for label, region in drawing.polygons:
        if _is_one_of(label, include):
            regions.append(region)
        elif _is_one_of(label, exclude) or label.endswith("*") or _is_one_of(label, EXCLUDED):
            excluded.append(region)
            taken_out[label] += 1
        elif include:
            unused[label or "no class"] += 1
        else:
            regions.append(region)
    if not regions:
        raise UserError(_no_tissue(path, {label for label, _ in drawing.polygons if label}, include))
    notes = []
    for outcome, counts in (
        ("taken out of the tissue", taken_out),
        ("not used (--mask-include)", unused),
        ("left out: they have no area", drawing.left_out),
    ):
        if counts:
            notes.append(
                f"outlines {outcome}: {', '.join(f'{count} {name}' for name, count in sorted(counts.items()))}"
            )
    return Outlines(regions, excluded, tuple(notes))


def _is_one_of(label: str, classes: Sequence[str]) -> bool:
    names = {label.casefold(), label.partition(":")[0].strip().casefold()}
    return any(name.strip().casefold() in names for name in classes)


def _no_tissue(path: Path, classes: set[str], include: Sequence[str]) -> str:
    has = f"it has {', '.join(sorted(classes)) or 'no classes'}"
    if not include:
        return f"{path} holds no tissue, all its outlines are excluded ({has}): name tissue with --mask-include"
    hint = did_you_mean(include[0], classes)
    return with_hint(f"{path} holds no outline of class {', '.join(include)}; {has}", hint)
