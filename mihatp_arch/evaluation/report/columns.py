"""The columns of the tables of methods: a head, a caption that explains it, and the cell of a method."""

from collections.abc import Callable, Sequence, Set
from dataclasses import dataclass
from math import isnan

from mihatp_arch.evaluation.report.table import Table
from mihatp_arch.evaluation.results.statistics import MethodResult
from mihatp_arch.metrics import MetricRow

_METRICS = {
    "psnr": "peak signal-to-noise ratio on RGB, without a cropped border; higher is better",
    "ssim": "structural similarity, mean of the three channels; 1 is perfect",
    "lpips": "perceptual distance in AlexNet's features; lower is better",
    "st_lpips": "perceptual distance that tolerates small shifts; lower is better; its numbers are not those of LPIPS",
    "hed_error": "mean error of the optical densities of hematoxylin, eosin and DAB; lower is better",
    "hematoxylin_ratio": "99th percentile of hematoxylin in SR, divided by that in HR; below 1 nuclei are too pale",
    "lr_consistency": "mean absolute difference of the k×k means of SR and of HR; 0 agrees with what was scanned",
}


@dataclass(frozen=True)
class Column:
    """A column of a table of methods.

    Attributes:
        head: its name.
        caption: what it shows.
        cell: the text of a method; blank where there is nothing to show.
        metric: the metric whose best mean is set bold; None for other columns.
    """

    head: str
    caption: str
    cell: Callable[[MethodResult], str]
    metric: MetricRow | None = None


def mean_and_sd(value: tuple[float, float], form: str) -> str:
    """`27.31 ± 0.42`; `27.31` where the deviation is nan; blank where the mean is nan."""
    centre, spread = value
    if isnan(centre):
        return ""
    return f"{centre:{form}}" if isnan(spread) else f"{centre:{form}} ± {spread:{form}}"


def metric_column(row: MetricRow) -> Column:
    """Mean and standard deviation of a metric over the test sets."""
    caption = _METRICS.get(row.name, f"{row.better} is better")
    return Column(row.head, caption, lambda result: mean_and_sd(result.means[row.name], row.format), row)


def table_of(
    blocks: Sequence[Sequence[MethodResult]],
    columns: Sequence[Column],
    *,
    title: str,
    note: str = "",
    remarks: Sequence[str] = (),
) -> Table:
    """A table with a row for each method. A column that is blank in every row is left out.

    Args:
        blocks: the methods; the best mean of each block is set bold where the block has several methods.
        columns: all but the names of the methods.
        title: above it.
        note: below it.
        remarks: lines below the note.
    """
    results = [result for block in blocks for result in block]
    shown = [column for column in columns if any(column.cell(result) for result in results)]
    rows = [[result.method, *(column.cell(result) for column in shown)] for result in results]
    captions = {column.head: column.caption for column in shown}
    heads = ["method", *(column.head for column in shown)]
    return Table(title, heads, rows, _best(blocks, shown), note, captions, remarks)


def _best(blocks: Sequence[Sequence[MethodResult]], columns: Sequence[Column]) -> Set[tuple[int, int]]:
    """The cells of the best means of each block."""
    best: set[tuple[int, int]] = set()
    first = 0
    for block in blocks:
        for number, column in enumerate(columns, 1):
            if column.metric is None or len(block) < 2:
                continue
            values = [result.means[column.metric.name][0] for result in block]
            measured = [value for value in values if not isnan(value)]
            if measured:
                top = column.metric.best(measured)
                best |= {(first + line, number) for line, value in enumerate(values) if value == top}
        first += len(block)
    return frozenset(best)
