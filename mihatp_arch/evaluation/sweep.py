"""`mihatp benchmark --sweep`: one hyper-parameter after another, over values that several machines share; Figure 3.

The validation set chooses the best value, so that the numbers of the test sets stay free of the choice.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import isfinite
from pathlib import Path

from datasets_prep.common.files import refuse_foreign_results
from datasets_prep.common.text import did_you_mean
from mihatp_arch.errors import UserError
from mihatp_arch.evaluation.benchmark import budget_note
from mihatp_arch.evaluation.report import plots, table
from mihatp_arch.evaluation.report.result_tables import MAIN_ROWS
from mihatp_arch.evaluation.results.csv_file import write_csv
from mihatp_arch.evaluation.results.scores import mean_of, over_sets, read_scores
from mihatp_arch.evaluation.run.execute import Setup, check_methods, metric_options
from mihatp_arch.evaluation.run.plan import Method, Plan
from mihatp_arch.evaluation.run.sweep_queue import Quality, SweepQueue
from mihatp_arch.evaluation.run.trainings import prepare_runs, train_and_test

# The hyper-parameters of the paper's Figure 3, and their paths in MiHATP's options.
PARAMETERS: dict[str, tuple[str, ...]] = {
    "tau": ("train", "contrastive_opt", "tau"),
    "beta": ("network_g", "beta"),
    "lambda": ("train", "contrastive_opt", "loss_weight"),
}
_COLUMNS = ("parameter", "value", "psnr", "ssim", "val_psnr")  # of sweep.csv
_MARK = b"parameter,value,psnr,ssim"  # the beginning of every sweep.csv


@dataclass(frozen=True)
class Point:
    """One value of one hyper-parameter, and its quality."""

    parameter: str
    value: float
    quality: Quality


def run_sweep(plan: Plan, setup: Setup, wanted: Sequence[str], *, storage: str | None = None) -> int:
    """Train and test every value that no other process has; `figure3.png`, `sweep.md` and `.csv` beside the trainings.

    Args:
        plan: its method `ours` is varied.
        setup: where and how to train. This process does one training at a time; start more processes for more.
        wanted: `tau=0.05,0.1`, …; one parameter is varied at a time, the others have the values of the options.
        storage: database of optuna that all processes share (`postgresql://…`); None: `sweep.db` in the folder.

    Returns:
        0, or 3 where trainings failed.

    Raises:
        UserError: an unknown parameter, a value that is no number, no MiHATP, other options than the storage has.
    """
    refuse_foreign_results(setup.folder, "sweep.csv", _MARK, "sweep.md", "sweep.tex", "figure3.png")
    plan = replace(plan, projected=False)
    method = plan.mihatp("--sweep")
    grid = read_grid(wanted)
    variants = tuple(_variant(method, name, value) for name, values in grid.items() for value in values)
    check_methods(replace(plan, methods=variants))
    options = method.trained_options()
    setup.folder.mkdir(parents=True, exist_ok=True)
    url = storage or f"sqlite:///{setup.folder / 'sweep.db'}"
    queues = [SweepQueue(plan, options, name, values, url) for name, values in grid.items()]
    failures: list[str] = []
    for queue in queues:
        failures += queue.run(lambda value, name=queue.parameter: _train(_variant(method, name, value), plan, setup))
    points = [Point(queue.parameter, value, quality) for queue in queues for value, quality in queue.results().items()]
    if not points:
        raise UserError(f"no training of the sweep has finished; the first failure: {next(iter(failures), '')}")
    chosen = {name: options.get(*PARAMETERS[name]) for name in grid}
    _write(plan, setup.folder, points, chosen, failures)
    return 3 if failures else 0


def read_grid(wanted: Sequence[str]) -> dict[str, tuple[float, ...]]:
    """`tau=0.05,0.1` as {'tau': (0.05, 0.1)}. Raises `UserError` for an unknown name or a value that is no number."""
    grid: dict[str, tuple[float, ...]] = {}
    for entry in wanted:
        name, equals, text = entry.partition("=")
        if name not in PARAMETERS or not equals:
            near = did_you_mean(name, PARAMETERS)
            raise UserError(
                f"--sweep {entry}: expected NAME=VALUE,VALUE,… with NAME of {', '.join(PARAMETERS)}"
                f"{f'; {near}' if near else ''}"
            )
        try:
            values = tuple(dict.fromkeys(float(value) for value in text.split(",")))
        except ValueError as error:
            raise UserError(f"--sweep {entry}: {error}") from error
        if not all(map(isfinite, values)):
            raise UserError(f"--sweep {entry}: every value must be finite")
        if name in grid:
            raise UserError(f"--sweep {entry}: {name} is given twice; give its values once, with commas")
        grid[name] = values
    return grid


def _variant(method: Method, name: str, value: float) -> Method:
    options = method.trained_options()
    *above, key = PARAMETERS[name]
    options.section(*above)[key] = value
    return Method(variant_name(name, value), options, total_iter=method.total_iter)


def variant_name(parameter: str, value: float) -> str:
    """The name of a variant, `tau0.05`; two values never have the same one."""
    short = f"{value:g}"
    return f"{parameter}{short if float(short) == value else value}"


def _train(method: Method, plan: Plan, setup: Setup) -> Quality:
    """Train and test one variant. Raises `UserError` where it fails."""
    runs = prepare_runs(
        replace(plan, methods=(method,)), setup.folder, metric_options(plan.scale), threads=setup.threads_each
    )
    for run in runs:
        failure = train_and_test(run, setup.folder, setup.threads)
        if failure is not None:
            raise UserError(failure)

    def means(names: Sequence[str]) -> dict[str, float]:
        scores = mean_of([read_scores(setup.folder / "results" / run.name, names) for run in runs])
        return {metric: over_sets(sets)[0] for metric, sets in scores.items()}

    test, validation = means(runs[0].sets), runs[0].validation
    return Quality(test["psnr"], test["ssim"], means(validation)["psnr"] if validation else None)


def _write(
    plan: Plan,
    folder: Path,
    points: Sequence[Point],
    chosen: Mapping[str, float | None],
    failures: Sequence[str],
) -> None:
    """Write the table and Figure 3, and print the table."""
    curves = {
        name: [point for point in points if point.parameter == name]
        for name in dict.fromkeys(point.parameter for point in points)
    }
    tables = [_table(plan, points, note=budget_note(plan, failures))]
    numbers = [[point.parameter, point.value, *point.quality] for point in points]
    write_csv(folder / "sweep.csv", _COLUMNS, numbers)
    table.write(tables, folder / "sweep")
    plots.sweep(
        {name: [(point.value, *point.quality[:2]) for point in curve] for name, curve in curves.items()},
        folder / "figure3.png",
        chosen={name: value for name, value in chosen.items() if value is not None},
    )
    print(table.markdown(tables))
    print(f"picture: {folder / 'figure3.png'}")


def _table(plan: Plan, points: Sequence[Point], *, note: str) -> table.Table:
    """All points; the best value of each parameter is bold where it was chosen."""
    psnr, ssim = MAIN_ROWS
    name = next(iter(plan.validation_set()), None)
    heads = [*([f"PSNR on {name} (dB)"] if name else []), psnr.head, ssim.head]
    rows = []
    for point in points:
        chosen_by = [f"{point.quality.chosen_by:.3f}"] if name else []
        of_tests = [f"{point.quality.psnr:.3f}", f"{point.quality.ssim:{ssim.format}}"]
        rows.append([point.parameter, f"{point.value:g}", *chosen_by, *of_tests])
    highest = {
        parameter: max(point.quality.chosen_by for point in points if point.parameter == parameter)
        for parameter, *_ in rows
    }
    bold = frozenset(
        (row, 2) for row, point in enumerate(points) if point.quality.chosen_by == highest[point.parameter]
    )
    why = f"The best value of each parameter, in bold, is chosen on {name}, which is no test set."
    if name is None:
        why = "The options have no set 'val': the test sets choose the best value, in bold, which favours it."
    return table.Table(f"{plan.name}: sweep x{plan.scale}", ["parameter", "value", *heads], rows, bold, f"{note} {why}")
