"""The results of all methods as tables: quality, cost, stain and structure."""

from collections.abc import Sequence
from math import isnan
from typing import Literal

from mihatp_arch.evaluation.report.columns import Column, mean_and_sd, metric_column, table_of
from mihatp_arch.evaluation.report.table import Table
from mihatp_arch.evaluation.results.paper_numbers import DerivedNumbers
from mihatp_arch.evaluation.results.statistics import MAIN_METRICS, MethodResult
from mihatp_arch.evaluation.results.training_time import TrainingTime
from mihatp_arch.metrics import METRIC_ROWS, MetricRow

Blocks = Sequence[Sequence[MethodResult]]
MAIN_ROWS = tuple(row for row in METRIC_ROWS if row.name in MAIN_METRICS)


def p_value(value: float | None) -> str:
    """The p of a test as a table shows it; blank for None and nan."""
    if value is None or isnan(value):
        return ""
    return "< 0.0001" if value < 1e-4 else f"{value:.4f}"


def thousands(number: int) -> str:
    """`20 772 507`."""
    return f"{number:,}".replace(",", " ")


def quality(blocks: Blocks, *, title: str, note: str = "", remarks: Sequence[str] = ()) -> Table:
    """Table 1 of the paper: quality, changes in percent, the paper's numbers where there are any.

    Args:
        blocks: the methods as they are, then the methods with the consistency projection, if any.
        title: above it.
        note: below it.
        remarks: lines below the note.
    """
    columns = [metric_column(row) for row in _measured(blocks, "quality")]
    columns += [_gain(row) for row in MAIN_ROWS]
    columns += [_paper(row) for row in MAIN_ROWS]
    psnr = MAIN_ROWS[0]
    columns += [
        Column(
            "first stage: PSNR",
            "of the first stage's reconstruction of HR; a method in its latent space is hardly better",
            lambda result: mean_and_sd(result.facts.bound, psnr.format) if result.facts.bound else "",
        ),
        Column(
            "sd over seeds (dB)",
            "standard deviation of PSNR over trainings that differ in their seed alone",
            lambda result: f"{result.over_seeds['psnr']:.2f}" if result.over_seeds else "",
        ),
        Column(
            "trained on LR by",
            "how LR of the training data was made from HR",
            lambda result: result.facts.kernel or "",
        ),
    ]
    return table_of(blocks, columns, title=title, note=note, remarks=remarks)


def _gain(row: MetricRow) -> Column:
    caption = "of ours against the best baseline, of the others against ours, in percent of the mean (as in the paper)"
    return Column(
        f"Δ {row.label}",
        caption,
        lambda result: f"{result.gain[row.name]:+.2f} %" if row.name in result.gain else "",
    )


def _paper(row: MetricRow) -> Column:
    def cell(result: MethodResult) -> str:
        numbers = result.facts.paper
        if numbers is None:
            return ""
        number = f"{numbers._asdict()[row.name]:{row.format}}"
        return f"{number} (derived)" if isinstance(numbers, DerivedNumbers) else number

    caption = "Table 1 of the paper, other data; derived: from the percentages beside SwinIR's numbers there"
    return Column(f"paper: {row.label}", caption, cell)


def validation(blocks: Blocks, *, name: str) -> Table:
    """The quality on the validation set, which is apart from the test sets and chooses the best baseline."""
    columns = [
        Column(row.head, "mean over the images", lambda result, row=row: f"{result.means[row.name][0]:{row.format}}")
        for row in MAIN_ROWS
    ]
    note = "The best baseline is chosen by this table, and no number of it is a result."
    return table_of(blocks, columns, title=f"Validation set {name}", note=note)


def structure(blocks: Blocks) -> Table:
    """Stain and structure, which PSNR does not show."""
    columns = [metric_column(row) for row in _measured(blocks, "structure")]
    note = "The ratio is best at 1; the consistency is that of the area-reduced images."
    return table_of(blocks, columns, title="Stain and structure", note=note)


def cost(results: Sequence[MethodResult], *, patch: int, device: str) -> Table:
    """The cost of one patch of `patch` pixels, measured on `device`, and the time of the training."""
    measured = [result for result in results if result.facts.cost is not None]
    columns = [
        Column("parameters", "trained values; after + those of a first stage", _parameters),
        Column(
            "GFLOPs", "10⁹ operations for a patch; a multiply-add counts as two", lambda r: _cost(r, "gflops", ".3g")
        ),
        Column("ms", "median time of a patch", lambda r: _cost(r, "milliseconds", ".1f")),
        Column("peak MiB", "most memory beside the weights", lambda r: _cost(r, "mebibytes", ".1f")),
        Column("iterations trained", "of its own training; 0: it was not trained here", _iterations),
        Column("training (s)", "time of one training, with its validations; after + its first stage", _seconds),
        Column("trained on", "the device of the training", _devices),
    ]
    note = f"One {patch}×{patch} patch on {device}, all methods in one run; a diffusion model takes all its steps."
    if any(result.facts.cost.frozen for result in measured if result.facts.cost):
        note += " Parameters after + are those of a first stage."
    return table_of([measured], columns, title="Cost of a patch", note=note)


def _cost(result: MethodResult, name: Literal["gflops", "milliseconds", "mebibytes"], form: str) -> str:
    return f"{getattr(result.facts.cost, name):{form}}"


def _parameters(result: MethodResult) -> str:
    cost = result.facts.cost
    if cost is None:
        return ""
    return thousands(cost.parameters) + (f" + {thousands(cost.frozen)}" if cost.frozen else "")


def _iterations(result: MethodResult) -> str:
    return thousands(result.facts.iterations)


def _seconds(result: MethodResult) -> str:
    times = [result.facts.training, result.facts.first_stage]
    return " + ".join(f"{time.seconds:.0f}" for time in times if time is not None)


def _devices(result: MethodResult) -> str:
    times: list[TrainingTime] = [time for time in (result.facts.training, result.facts.first_stage) if time is not None]
    return ", ".join(dict.fromkeys(device for time in times for device in time.devices))


def _measured(blocks: Blocks, group: Literal["quality", "structure"]) -> list[MetricRow]:
    return [row for row in METRIC_ROWS if row.group == group and row.name in blocks[0][0].means]
