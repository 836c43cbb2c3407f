"""The results of all methods as tables: quality, cost, stain and structure; and all numbers as CSV."""

from collections.abc import Sequence, Set
from dataclasses import astuple
from math import isnan
from pathlib import Path
from typing import Literal

from mihatp_arch.evaluation.report.table import Table
from mihatp_arch.evaluation.results.csv_file import write_csv
from mihatp_arch.evaluation.results.differences import Difference
from mihatp_arch.evaluation.results.statistics import MAIN_METRICS, MethodResult
from mihatp_arch.metrics import METRIC_ROWS, MetricRow

Cell = str | float | int | None
MAIN_ROWS = tuple(row for row in METRIC_ROWS if row.name in MAIN_METRICS)


def mean_and_sd(value: tuple[float, float], form: str) -> str:
    """`27.31 ± 0.42`; blank for nan."""
    return "" if isnan(value[0]) else f"{value[0]:{form}} ± {value[1]:{form}}"


def p_value(value: float | None) -> str:
    """The p of a test as a table shows it; blank for None and nan."""
    if value is None or isnan(value):
        return ""
    return "< 0.0001" if value < 1e-4 else f"{value:.4f}"


def thousands(number: int) -> str:
    """`20 772 507`."""
    return f"{number:,}".replace(",", " ")


def quality(results: Sequence[MethodResult], *, title: str, note: str = "") -> Table:
    """Table 1 of the paper: quality, changes in percent, the paper's numbers where there are any.

    The PSNR of a first stage's reconstruction of HR stands beside the method that works in its latent space: the method
    cannot be better.
    """
    metrics = _measured(results, "quality")
    columns = ["method", *(row.head for row in metrics), *(f"Δ {row.label}" for row in MAIN_ROWS)]
    paper = any(result.paper for result in results)
    columns += [f"paper: {row.label}" for row in MAIN_ROWS] if paper else []
    bounded = any(result.bound for result in results)
    columns += ["first stage: PSNR"] if bounded else []
    seeds = any(result.over_seeds for result in results)
    columns += ["sd over seeds (dB)"] if seeds else []
    psnr, ssim = MAIN_ROWS
    cells = []
    for result in results:
        line = [result.method, *_means(result, metrics)]
        line += [f"{result.gain[name]:+.2f} %" if name in result.gain else "" for name in MAIN_METRICS]
        if paper:
            numbers = result.paper
            line += [f"{numbers.psnr:{psnr.format}}", f"{numbers.ssim:{ssim.format}}"] if numbers else ["", ""]
        if bounded:
            line.append(mean_and_sd(result.bound, psnr.format) if result.bound else "")
        if seeds:
            line.append(f"{result.over_seeds['psnr']:.2f}" if result.over_seeds else "")
        cells.append(line)
    return Table(title, columns, cells, _best(results, metrics), note)


def validation(results: Sequence[MethodResult], *, name: str) -> Table:
    """The quality on the validation set, which is apart from the test sets and chooses the best baseline."""
    rows = [[result.method, *(f"{result.means[row.name][0]:{row.format}}" for row in MAIN_ROWS)] for result in results]
    note = "The best baseline is chosen by this table, and no number of it is a result."
    return Table(f"Validation set {name}", ["method", *(row.head for row in MAIN_ROWS)], rows, note=note)


def structure(results: Sequence[MethodResult]) -> Table:
    """Stain and structure, which PSNR does not show."""
    metrics = _measured(results, "structure")
    rows = [[result.method, *_means(result, metrics)] for result in results]
    note = "The ratio is best at 1; the consistency is that of the area-reduced images."
    return Table("Stain and structure", ["method", *(row.head for row in metrics)], rows, _best(results, metrics), note)


def cost(results: Sequence[MethodResult], *, patch: int, device: str) -> Table:
    """The cost of one patch of `patch` pixels, measured on `device`."""
    rows = []
    for result in results:
        if result.cost is not None:
            parameters = thousands(result.cost.parameters)
            parameters += f" + {thousands(result.cost.frozen)}" if result.cost.frozen else ""
            numbers = [
                f"{result.cost.gflops:.3g}",
                f"{result.cost.milliseconds:.1f}",
                f"{result.cost.mebibytes:.1f}",
            ]
            rows.append([result.method, parameters, *numbers, thousands(result.iterations)])
    heads = ["method", "parameters", "GFLOPs", "ms", "peak MiB", "iterations trained"]
    note = f"One {patch}×{patch} patch on {device}, all methods in one run; a diffusion model takes all its steps."
    if any(result.cost and result.cost.frozen for result in results):
        note += " Parameters after + are those of a first stage."
    return Table("Cost of a patch", heads, rows, note=note)


def write_results(results: Sequence[MethodResult], path: Path) -> None:
    """Write all numbers of all methods, in full, as CSV. Raises `OSError`."""
    metrics = [row.name for row in METRIC_ROWS if row.name in results[0].means]
    heads = ["method", *(f"{name}{suffix}" for name in metrics for suffix in ("", "_sd", "_sd_over_seeds"))]
    heads += ["psnr_gain_percent", "ssim_gain_percent", *_difference_heads("over_baseline")]
    heads += [*_difference_heads("ours_over"), "paper_psnr", "paper_ssim", "first_stage_psnr"]
    heads += ["parameters", "frozen_parameters", "gflops", "ms_per_patch", "peak_mib"]
    rows = []
    for result in results:
        numbers: list[Cell] = [result.method]
        for name in metrics:
            numbers += [*result.means[name], result.over_seeds.get(name)]
        numbers += [result.gain.get(name) for name in MAIN_METRICS]
        numbers += [*_difference_cells(result.over_baseline), *_difference_cells(result.ours_over)]
        numbers += [*(result.paper or (None, None)), result.bound[0] if result.bound else None]
        numbers += astuple(result.cost) if result.cost else [None] * 5
        rows.append([*numbers, result.iterations])
    write_csv(path, [*heads, "iterations"], rows)


def _difference_heads(name: str) -> list[str]:
    """The columns of a difference: of the PSNR of a method over the baseline, or of ours over the method."""
    return [f"psnr_{name}{suffix}" for suffix in ("", "_low", "_high", "_p", "_p_holm", "_share_of_patients")]


def _difference_cells(difference: Difference | None) -> list[Cell]:
    if difference is None:
        return [None] * 6
    limits = difference.interval or (None, None)
    return [difference.mean, *limits, difference.p, difference.p_holm, difference.won]


def _measured(results: Sequence[MethodResult], group: Literal["quality", "structure"]) -> list[MetricRow]:
    return [row for row in METRIC_ROWS if row.group == group and row.name in results[0].means]


def _means(result: MethodResult, metrics: Sequence[MetricRow]) -> list[str]:
    return [mean_and_sd(result.means[row.name], row.format) for row in metrics]


def _best(results: Sequence[MethodResult], metrics: Sequence[MetricRow]) -> Set[tuple[int, int]]:
    """The cells of the best means, each metric in its column after the first."""
    best = set()
    for column, row in enumerate(metrics, 1):
        values = [result.means[row.name][0] for result in results]
        measured = [value for value in values if not isnan(value)]
        if measured and len(results) > 1:
            best |= {(line, column) for line, value in enumerate(values) if value == row.best(measured)}
    return frozenset(best)
