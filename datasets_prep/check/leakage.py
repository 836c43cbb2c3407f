"""Leakage of test data into training, by the manifest: patients, slides or overlapping patches in two splits."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from datasets_prep.check.findings import Findings
from datasets_prep.dataset.manifest import Row
from datasets_prep.patches.splits import split_order


class _Square(NamedTuple):
    """A patch on its slide, level-0 px."""

    x: int
    y: int
    side: int
    split: str
    key: str

    def overlaps(self, other: "_Square") -> bool:
        return (
            self.x < other.x + other.side
            and other.x < self.x + self.side
            and self.y < other.y + other.side
            and other.y < self.y + self.side
        )


def check_patients(rows: Sequence[Row], findings: Findings, *, by_patient: bool) -> list[str]:
    """Find patients in two splits, and slides of two patients.

    Args:
        rows: the manifest.
        findings: receives what is wrong.
        by_patient: whether the data set was split by patient. Otherwise patients in two splits are a warning.

    Returns:
        The warnings.
    """
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    patients: dict[str, str] = {}
    for row in rows:
        counts[row.patient][row.split] += 1
        other = patients.setdefault(row.slide, row.patient)
        if other != row.patient:
            patients[row.slide] = row.patient
            findings.add(
                "slides of two patients", f"{row.split} {row.key}: {row.slide} is of {row.patient} and {other}"
            )
    shared = {patient: splits for patient, splits in counts.items() if len(splits) > 1}
    if shared and not by_patient:
        return [f"split by patch: {len(shared)} of {len(counts)} patients are in more than one split"]
    for patient, splits in shared.items():
        where = ", ".join(f"{split} ({splits[split]})" for split in sorted(splits, key=split_order))
        findings.add("patients in two splits", f"patient {patient} is in {where}: move all of its patches to one split")
    return []


def check_overlaps(rows: Iterable[Row], sizes: Mapping[str, int], findings: Findings) -> None:
    """Find patches of one slide that overlap and are in different splits.

    Args:
        rows: the manifest.
        sizes: split -> side of its HR patches, pixels.
        findings: receives what is wrong.
    """
    slides: dict[str, list[_Square]] = defaultdict(list)
    for row in rows:
        if row.split in sizes:
            side = sizes[row.split] * row.reduction
            slides[row.slide].append(_Square(row.x, row.y, side, row.split, row.key))
    for slide, squares in slides.items():
        if len({square.split for square in squares}) > 1:
            _check_slide(slide, squares, max(square.side for square in squares), findings)


def _check_slide(slide: str, squares: Iterable[_Square], cell: int, findings: Findings) -> None:
    """Compare each square with the squares in the cells around it; `cell` is the largest side of a square."""
    cells: dict[tuple[int, int], list[_Square]] = defaultdict(list)
    for square in squares:
        column, row = square.x // cell, square.y // cell
        around = ((column + i, row + j) for i in (-1, 0, 1) for j in (-1, 0, 1))
        for other in (neighbour for near in around for neighbour in cells.get(near, ())):
            if other.split != square.split and square.overlaps(other):
                findings.add(
                    "patches that overlap across splits",
                    f"{square.split} {square.key}: overlaps {other.key} of {other.split} on {slide}",
                )
        cells[column, row].append(square)
