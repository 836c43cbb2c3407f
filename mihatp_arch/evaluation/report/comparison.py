"""The differences between methods, by patient: as a table, and as the first sentences of the report."""

from collections.abc import Sequence
from math import isnan

from mihatp_arch.evaluation.report.columns import mean_and_sd
from mihatp_arch.evaluation.report.result_tables import MAIN_ROWS, p_value
from mihatp_arch.evaluation.report.table import Table
from mihatp_arch.evaluation.results.differences import FEWEST, Difference
from mihatp_arch.evaluation.results.patients import Patients
from mihatp_arch.evaluation.results.statistics import Baseline, MethodResult
from mihatp_arch.metrics import METRIC_ROWS

_ALPHA = 0.05
_CAPTIONS = {
    "difference of PSNR (dB)": "mean over the patients",
    "95 % interval": "of this difference, for other patients, and for this row alone",
    "p": "of the signed-rank test, for this row alone",
    "p (Holm)": "corrected for the number of rows: judge by this one",
    "patients with a gain": "share of the patients with a positive difference",
}
_BY_SEED = "difference by seed"
_SEEDS = "with the trainings of each seed alone: where they differ much, other trainings may give another result"


def interval(difference: Difference | None, *, digits: int = 3) -> str:
    """`+0.012 … +0.345`, the 95 % interval of a difference; blank where there is none."""
    if difference is None or difference.interval is None:
        return ""
    low, high = difference.interval
    return f"{low:+.{digits}f} … {high:+.{digits}f}"


def by_seed(difference: Difference) -> str:
    """`+1.30, +1.29, +0.99`: the difference for each seed; blank for one seed."""
    return ", ".join(f"{value:+.2f}" for value in difference.by_seed)


def significance(results: Sequence[MethodResult], *, ours: str, baseline: Baseline | None, patients: Patients) -> Table:
    """`ours` against each other method; without a result of `ours`, each method against the baseline."""
    has_ours = _has(results, ours)
    reference = baseline.name if baseline else ""
    title = _title(results, ours, baseline)
    listed = [(result.method, result.ours_over if has_ours else result.over_baseline) for result in results]
    rows, differences = [], []
    for method, difference in listed:
        if difference is not None:
            label = f"{method} (best baseline)" if method == reference else method
            rows.append([label, *_cells(difference)])
            differences.append(difference)
    note = " ".join([method_note(patients), *_limits(differences), *_baseline_note(baseline)])
    captions = dict(_CAPTIONS)
    if any(difference.by_seed for difference in differences):
        captions[_BY_SEED] = _SEEDS
        rows = [[*row, by_seed(difference)] for row, difference in zip(rows, differences, strict=True)]
    return Table(f"{title}, paired by patient", ["method", *captions], rows, note=note, captions=captions)


def other_metrics(results: Sequence[MethodResult], *, ours: str, baseline: Baseline | None) -> Table:
    """The same differences of SSIM and of the perceptual distances. A table without rows where none is measured."""
    title = _title(results, ours, baseline)
    compared = [result for result in results if result.other_metrics]
    shown = [row for row in METRIC_ROWS if compared and row.name in compared[0].other_metrics]
    captions = {}
    for row in shown:
        captions[f"difference of {row.label}"] = f"mean over the patients; {row.better} is better"
        captions[f"{row.label}: 95 % interval"] = "of this difference, for other patients"
        captions[f"{row.label}: p (Holm)"] = "corrected for the number of rows"
    rows = []
    for result in compared:
        cells = [result.method]
        for row in shown:
            difference = result.other_metrics[row.name]
            mean = "" if isnan(difference.mean) else f"{difference.mean:+.4f}"
            cells += [mean, interval(difference, digits=4), p_value(difference.p_holm)]
        rows.append(cells)
    return Table(f"{title}: other metrics, paired by patient", ["method", *captions], rows, captions=captions)


def _has(results: Sequence[MethodResult], ours: str) -> bool:
    return any(result.method == ours for result in results)


def _title(results: Sequence[MethodResult], ours: str, baseline: Baseline | None) -> str:
    """What the differences are between."""
    if _has(results, ours):
        return f"{ours} minus each other method"
    return f"Each method minus {baseline.name if baseline else ''}"


def _cells(difference: Difference) -> list[str]:
    won = f"{100 * difference.won:.0f} %" if difference.patients else ""
    mean = "" if isnan(difference.mean) else f"{difference.mean:+.3f}"
    return [mean, interval(difference), p_value(difference.p), p_value(difference.p_holm), won]


def method_note(patients: Patients) -> str:
    """The unit of the statistics, and how its numbers are computed."""
    unit = f"Mean over {patients.count} patients; each counts once, with the mean over its patches."
    if patients.missing:
        unit = (
            f"Every image counts as a patient of its own, because {patients.missing}: where patches share a patient, "
            "the intervals and p are too small."
        )
    return (
        f"{unit} The interval is a bootstrap over patients (bootstrap-t); p is Wilcoxon's signed-rank test, two-sided, "
        "then with Holm's correction for all methods of the table. They are about other patients, not about other "
        "trainings: for those there is the spread over seeds."
    )


def _limits(differences: Sequence[Difference]) -> list[str]:
    """What this number of patients cannot show."""
    if not differences:
        return []
    fewest = min(difference.patients for difference in differences)
    if fewest < FEWEST:
        return [f"Fewer than {FEWEST} patients ({fewest}): no interval and no p."]
    smallest = 2 ** (1 - fewest)
    if smallest * len(differences) <= _ALPHA:
        return []
    return [
        f"With {fewest} patients no p is below {smallest:.3g}, and with Holm's correction for {len(differences)} "
        f"methods the smallest one is not below {min(1.0, smallest * len(differences)):.3g}. The interval is rough."
    ]


def _baseline_note(baseline: Baseline | None) -> list[str]:
    if baseline is None:
        return []
    if baseline.chosen_on is None:
        return [
            f"{baseline.name} is the best baseline on these test sets, because the options have no set 'val' to choose "
            "it on: the choice favours it."
        ]
    return [f"{baseline.name} is the best baseline by PSNR on {baseline.chosen_on}, which is no test set."]


def verdict(results: Sequence[MethodResult], ours: str, baseline: Baseline | None) -> list[str]:
    """The first questions of a reader, answered: which method is best, and how good `ours` is beside the baseline."""
    tops = []
    for row in MAIN_ROWS:
        measured = [result for result in results if not isnan(result.means[row.name][0])]
        if measured:
            top = max(measured, key=lambda result: result.means[row.name][0])
            tops.append(f"highest {row.label}: {top.method} ({mean_and_sd(top.means[row.name], row.format)})")
    sentences = [f"The {' and the '.join(tops)}."] if tops else []
    has_ours = _has(results, ours)
    for result in results:
        difference = result.ours_over  # as in the row of the baseline in the table: with the same correction
        if has_ours and baseline and result.method == baseline.name and difference and difference.patients:
            limits = interval(difference)
            p = p_value(difference.p_holm) or "not defined"
            certain = f"95 % interval {limits}, p {p} after Holm's correction" if limits else "no p"
            certain += f"; by seed {by_seed(difference)}" if difference.by_seed else ""
            sentences.append(
                f"{ours} against {baseline.name}, the best baseline: {difference.mean:+.3f} dB PSNR over "
                f"{difference.patients} patients ({certain}), a gain for {100 * difference.won:.0f} % of them."
            )
    return sentences
