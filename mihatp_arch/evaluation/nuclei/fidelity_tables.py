"""The comparison of nuclei as Markdown tables, and as CSV files to compute with."""

import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from datasets_prep.common.text import markdown_table
from mihatp_arch.evaluation.nuclei.fidelity import Comparison, Fidelity, Names
from mihatp_arch.evaluation.results.csv_file import write_csv
from mihatp_arch.inference.nuclei.morphometry import FEATURES, Nuclei

_DIGITS = {"area": 1, "perimeter": 2}  # of the others: 3


def counts_table(methods: Mapping[str, Fidelity], names: Names) -> str:
    """Markdown: lost and invented nuclei of each method; both for 1000 nuclei of the reference."""
    first, second = f"nuclei in {names.reference}", f"nuclei in {names.other}"
    rows = (
        [
            name,
            *map(str, (counts.hr, counts.sr, counts.matched)),
            _number(counts.lost, ".1f"),
            _number(counts.invented, ".1f"),
        ]
        for name, counts in ((name, result.counts) for name, result in methods.items())
    )
    return markdown_table(["method", first, second, "in both", "lost per 1000", "invented per 1000"], rows)


def agreement_table(methods: Mapping[str, Fidelity], names: Names) -> str:
    """Markdown: how each feature of the nuclei in both images agrees; differences are against the reference."""
    header = ["method", "feature", "pairs", f"mean of {names.reference}", "bias", "95 % limits of agreement"]
    rows = []
    for feature, unit in FEATURES.items():
        digits = f".{_DIGITS.get(feature, 3)}f"
        for method, result in methods.items():
            values = result.agreement[feature]
            mean, distance = (_number(value, digits) for value in (values.mean, values.wasserstein))
            bias, low, high = (_number(value, f"+{digits}") for value in (values.bias, values.low, values.high))
            name = f"{feature} ({unit})" if unit else feature
            rows.append([method, name, str(values.n), mean, bias, f"{low} to {high}", distance])
    return markdown_table([*header, "Wasserstein distance"], rows)


def _number(value: float, form: str) -> str:
    """The number as text; a dash where it is not defined."""
    return format(value, form) if math.isfinite(value) else "–"


def write_tables(
    folder: Path, images: Mapping[str, Sequence[Comparison]], results: Mapping[str, Fidelity], names: Names
) -> None:
    """Write `nuclei.csv`, a line for each nucleus, and `fidelity.csv`, a line for each method and feature.

    Args:
        folder: where; it is made.
        images: method -> its images.
        results: method -> their summary.
        names: of the images.

    Raises:
        OSError: a file cannot be written.
    """
    images_of = (names.reference.lower(), names.other.lower())
    header = ["method", "image", "status", *(f"{image}_{name}" for image in images_of for name in _columns())]
    write_csv(folder / "nuclei.csv", header, (row for method in images.items() for row in _nuclei(*method)))
    columns = ("n", "mean", "bias", "low", "high", "wasserstein")
    rows = (
        [
            method,
            feature,
            unit,
            *(getattr(result.agreement[feature], column) for column in columns),
            result.counts.lost,
            result.counts.invented,
        ]
        for method, result in results.items()
        for feature, unit in FEATURES.items()
    )
    write_csv(folder / "fidelity.csv", ("method", "feature", "unit", *columns, "lost_1000", "invented_1000"), rows)


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
