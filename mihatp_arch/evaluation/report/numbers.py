"""All numbers of all methods, in full, as one CSV file."""

from collections.abc import Sequence
from dataclasses import astuple
from pathlib import Path

from mihatp_arch.evaluation.results.csv_file import write_csv
from mihatp_arch.evaluation.results.differences import Difference
from mihatp_arch.evaluation.results.paper_numbers import DerivedNumbers
from mihatp_arch.evaluation.results.statistics import MAIN_METRICS, MethodResult
from mihatp_arch.metrics import METRIC_ROWS

Cell = str | float | int | None
_COST = ("parameters", "frozen_parameters", "gflops", "ms_per_patch", "peak_mib")
_FACTS = ("iterations", "training_seconds", "first_stage_training_seconds", "trained_on", "kernel")


RESULTS_MARK = b"_sd_over_seeds,"  # in the first line of each file of `write_results`


def write_results(results: Sequence[MethodResult], path: Path) -> None:
    """Write all numbers of all methods, in full, as CSV. Raises `OSError`."""
    metrics = [row.name for row in METRIC_ROWS if row.name in results[0].means]
    heads = ["method", *(f"{name}{suffix}" for name in metrics for suffix in ("", "_sd", "_sd_over_seeds"))]
    heads += ["psnr_gain_percent", "ssim_gain_percent", *_difference_heads("over_baseline")]
    heads += [*_difference_heads("ours_over"), "paper_psnr", "paper_ssim", "paper_is_derived", "first_stage_psnr"]
    rows = []
    for result in results:
        numbers: list[Cell] = [result.method]
        for name in metrics:
            numbers += [*result.means[name], result.over_seeds.get(name)]
        numbers += [result.gain.get(name) for name in MAIN_METRICS]
        numbers += [*_difference_cells(result.over_baseline), *_difference_cells(result.ours_over)]
        rows.append([*numbers, *_fact_cells(result)])
    write_csv(path, [*heads, *_COST, *_FACTS], rows)


def _fact_cells(result: MethodResult) -> list[Cell]:
    facts = result.facts
    derived = int(isinstance(facts.paper, DerivedNumbers)) if facts.paper else None
    cells: list[Cell] = [*(facts.paper or (None, None)), derived, facts.bound[0] if facts.bound else None]
    cells += astuple(facts.cost) if facts.cost else [None] * len(_COST)
    times = (facts.training, facts.first_stage)
    devices = dict.fromkeys(device for time in times if time for device in time.devices)
    return [
        *cells,
        facts.iterations,
        *(time.seconds if time else None for time in times),
        "; ".join(devices),
        facts.kernel,
    ]


def _difference_heads(name: str) -> list[str]:
    """The columns of a difference: of the PSNR of a method over the baseline, or of ours over the method."""
    return [f"psnr_{name}{suffix}" for suffix in ("", "_low", "_high", "_p", "_p_holm", "_share_of_patients")]


def _difference_cells(difference: Difference | None) -> list[Cell]:
    if difference is None:
        return [None] * 6
    limits = difference.interval or (None, None)
    return [difference.mean, *limits, difference.p, difference.p_holm, difference.won]
