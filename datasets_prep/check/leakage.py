"""What would leak test data into training: patients, slides or places that two splits share, by the manifest."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence

from datasets_prep.check.findings import Faults
from datasets_prep.dataset.manifest import Row
from datasets_prep.patches.splits import split_order

_Place = tuple[int, int, str, str]  # x, y, split, key


def check_patients(rows: Sequence[Row], faults: Faults, *, by_patient: bool) -> list[str]:
    """Find patients in two splits, and slides of two patients.

    Returns warnings: where the data were not split by patient, shared patients are a warning and no fault.
    """
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    patients: dict[str, str] = {}
    for row in rows:
        counts[row.patient][row.split] += 1
        other = patients.setdefault(row.slide, row.patient)
        if other != row.patient:
            patients[row.slide] = row.patient
            faults.add("slides of two patients", f"{row.split} {row.key}: {row.slide} is of {row.patient} and {other}")
    shared = {patient: found for patient, found in counts.items() if len(found) > 1}
    if shared and not by_patient:
        return [f"split by patch: {len(shared)} of {len(counts)} patients are in more than one split"]
    for patient, found in shared.items():
        where = ", ".join(f"{split} ({found[split]})" for split in sorted(found, key=split_order))
        faults.add("patients in two splits", f"patient {patient} is in {where}: move all of its patches to one split")
    return []


def check_places(rows: Iterable[Row], sizes: Mapping[str, int], faults: Faults) -> None:
    """Find patches of one slide that overlap across splits; `sizes` is the side of a patch of each split, HR pixels."""
    slides: dict[str, list[_Place]] = defaultdict(list)
    for row in rows:
        if row.split in sizes:
            slides[row.slide].append((row.x, row.y, row.split, row.key))
    for slide, places in slides.items():
        if len({split for _, _, split, _ in places}) > 1:
            _check_slide(slide, places, sizes, faults)


def _check_slide(slide: str, places: list[_Place], sizes: Mapping[str, int], faults: Faults) -> None:
    cell = max(sizes.values())  # so that what overlaps lies in cells that touch
    cells: dict[tuple[int, int], list[_Place]] = defaultdict(list)
    for x, y, split, key in places:
        column, row = x // cell, y // cell
        around = ((column + i, row + j) for i in (-1, 0, 1) for j in (-1, 0, 1))
        for other in (place for near in around for place in cells.get(near, ())):
            if other[2] != split and _overlap((x, y), sizes[split], other[:2], sizes[other[2]]):
                faults.add(
                    "patches that overlap across splits",
                    f"{split} {key}: overlaps {other[3]} of {other[2]} on {slide}",
                )
        cells[column, row].append((x, y, split, key))


def _overlap(first: tuple[int, int], side: int, second: tuple[int, int], other_side: int) -> bool:
    return all(a < b + other_side and b < a + side for a, b in zip(first, second, strict=True))
