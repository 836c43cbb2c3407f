"""The comparison of nuclei as Markdown tables, and as CSV files to compute with."""

import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TypeAlias

from datasets_prep.common.text import markdown_table
from mihatp_arch.evaluation.nuclei.fidelity import ESTIMATES, Agreement, Comparison, Counts, Fidelity, Names
from mihatp_arch.evaluation.results.csv_file import write_csv
from mihatp_arch.inference.nuclei.morphometry import FEATURES, Nuclei

Kinds: TypeAlias = Mapping[int, str]
"""Type of nuclei -> its name."""

ALL = "all"
_DIGITS = {"area": 1, "perimeter": 2}  # of the others: 3


def counts_table(methods: Mapping[str, Fidelity], names: Names, kinds: Kinds) -> str:
    """Markdown: lost and invented nuclei of each method, with intervals; both for 1000 nuclei of the reference."""
    header = [f"nuclei in {names.reference}", f"nuclei in {names.other}", "in both", "lost per 1000"]
    rows = []
    for *head, result in _rows(methods, kinds):
        counts = result.counts
        shares = (_with_interval(counts, name, ".1f") for name in ("lost", "invented"))
        rows.append([*head, *map(str, (counts.hr, counts.sr, counts.matched)), *shares])
    return _table(methods, [*header, "invented per 1000"], rows)


def agreement_table(methods: Mapping[str, Fidelity], names: Names, kinds: Kinds) -> str:
    """Markdown: how each feature of the nuclei in both images agrees; differences are against the reference."""
    header = ["feature", "pairs", f"mean of {names.reference}", "bias", "95 % limits of agreement"]
    rows = []
    for feature, unit in FEATURES.items():
        digits = f".{_DIGITS.get(feature, 3)}f"
        name = f"{feature} ({unit})" if unit else feature
        for *head, result in _rows(methods, kinds):
            values = result.agreement[feature]
            bias, distance = _with_interval(values, "bias", f"+{digits}"), _with_interval(values, "wasserstein", digits)
            low, high = (_number(value, f"+{digits}") for value in (values.low, values.high))
            rows.append([*head, name, str(values.n), _number(values.mean, digits), bias, f"{low} to {high}", distance])
    return _table(methods, [*header, "Wasserstein distance"], rows)


def _rows(methods: Mapping[str, Fidelity], kinds: Kinds) -> Iterator[tuple[str, str, Fidelity]]:
    """Yields method, type of nuclei (`all` first), and summary."""
    for method, result in methods.items():
        yield method, ALL, result
        yield from ((method, kinds.get(kind, f"type {kind}"), each) for kind, each in sorted(result.of_type.items()))


def _table(methods: Mapping[str, Fidelity], header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table of rows with method and type in front; without the types where no network tells them."""
    if any(result.of_type for result in methods.values()):
        return markdown_table(["method", "nuclei", *header], rows)
    return markdown_table(["method", *header], [[row[0], *row[2:]] for row in rows])


def _with_interval(values: Agreement | Counts, name: str, form: str) -> str:
    """The number `name`, and its 95 % interval in brackets where there is one."""
    shown, interval = _number(getattr(values, name), form), values.intervals.get(name)
    return shown if interval is None else f"{shown} [{' … '.join(format(end, form) for end in interval)}]"


def _number(value: float, form: str) -> str:
    """The number as text; a dash where it is not defined."""
    return format(value, form) if math.isfinite(value) else "–"


def write_tables(
    folder: Path,
    images: Mapping[str, Sequence[Comparison]],
    results: Mapping[str, Fidelity],
    names: Names,
    kinds: Kinds,
) -> None:
    """Write `nuclei.csv`, a line for each nucleus, and `fidelity.csv`, one for each method, type and feature.

    Args:
        folder: where; it is made.
        images: method -> its images.
        results: method -> their summary.
        names: of the images.
        kinds: names of the types.

    Raises:
        OSError: a file cannot be written.
    """
    images_of = (names.reference.lower(), names.other.lower())
    header = ["method", "image", "status", *(f"{image}_{name}" for image in images_of for name in _columns())]
    write_csv(folder / "nuclei.csv", header, (row for method in images.items() for row in _nuclei(*method)))
    columns = ("n", "mean", *ESTIMATES)
    ends = [f"{name}_{end}" for name in (*ESTIMATES, "lost", "invented") for end in ("from", "to")]
    rows = []
    for method, kind, result in _rows(results, kinds):
        counts = result.counts
        for feature, unit in FEATURES.items():
            values = result.agreement[feature]
            numbers = [getattr(values, column) for column in columns]
            intervals = [*values.intervals.values(), *counts.intervals.values()]
            cells = [cell for interval in intervals for cell in interval or ("", "")]
            rows.append([method, kind, feature, unit, *numbers, counts.lost, counts.invented, *cells])
    header = ("method", "nuclei", "feature", "unit", *columns, "lost_1000", "invented_1000", *ends)
    write_csv(folder / "fidelity.csv", header, rows)


def _columns() -> list[str]:
    return ["x_um", "y_um", "type", *FEATURES]


def _nuclei(method: str, images: Sequence[Comparison]) -> Iterator[list[object]]:
    """Yields a line for each nucleus; the half of an image without it is empty."""
    nothing = [""] * len(_columns())
    for image in images:
        hr, sr = _values(image.hr), _values(image.sr)
        match = image.match
        for first, second in zip(match.first, match.second, strict=True):
            yield [method, image.name, "matched", *hr[first], *sr[second]]
        yield from ([method, image.name, "lost", *hr[at], *nothing] for at in match.only_first)
        yield from ([method, image.name, "invented", *nothing, *sr[at]] for at in match.only_second)


def _values(nuclei: Nuclei) -> list[list[object]]:
    """The cells of each nucleus."""
    features = [[f"{value:.6g}" for value in nuclei.features[name].tolist()] for name in FEATURES]
    places = ((f"{x:.3f}", f"{y:.3f}") for x, y in nuclei.centres.tolist())
    return [[*at, kind, *row] for at, kind, *row in zip(places, nuclei.types.tolist(), *features, strict=True)]
