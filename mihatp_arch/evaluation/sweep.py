"""`mihatp benchmark --sweep`: one hyper-parameter after another, over values that several machines share; Figure 3."""

import csv
import time
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from math import isfinite
from pathlib import Path

import msgspec

from mihatp_arch.config.read import Options, nearest
from mihatp_arch.errors import UserError
from mihatp_arch.evaluation.benchmark import budget_note
from mihatp_arch.evaluation.report import plots, table
from mihatp_arch.evaluation.results.scores import mean_of, over_sets, read_scores
from mihatp_arch.evaluation.run.benchmark_file import Method, Plan, copied
from mihatp_arch.evaluation.run.execute import Place, check_methods, metric_options
from mihatp_arch.evaluation.run.trainings import prepare_runs, train_and_test

try:
    import optuna
    from optuna.exceptions import ExperimentalWarning, TrialPruned
    from optuna.storages import RDBStorage, RetryHeartbeatStaleTrialCallback, fail_stale_trials
    from optuna.trial import TrialState
    from sqlalchemy.exc import SQLAlchemyError
except ImportError as missing:
    raise UserError("--sweep needs optuna: pip install 'mihatp[sweep]'") from missing

# What the paper's Figure 3 varies, and where MiHATP's options have it.
PARAMETERS: dict[str, tuple[str, ...]] = {
    "tau": ("train", "contrastive_opt", "tau"),
    "beta": ("network_g", "beta"),
    "lambda": ("train", "contrastive_opt", "loss_weight"),
}
_LIVE = (TrialState.WAITING, TrialState.RUNNING, TrialState.COMPLETE)
_HEARTBEAT = 10  # seconds; a training without one for three of them is another process's to do again


@dataclass(frozen=True)
class Point:
    """One value of one hyper-parameter, and the mean quality over the test sets."""

    parameter: str
    value: float
    psnr: float
    ssim: float


def run_sweep(plan: Plan, place: Place, wanted: Sequence[str], *, storage: str | None = None) -> int:
    """Train and test every value that no other process has; `figure3.png`, `sweep.md` and `.csv` beside the trainings.

    Args:
        plan: its `ours` is what is varied.
        place: where; one training at a time in this process: start more for more.
        wanted: `tau=0.05,0.1`, …; each parameter is varied alone, the others stay as the options have them.
        storage: database of optuna that all processes share (`postgresql://…`); None: `sweep.db` in the folder.

    Returns:
        0, or 3 where trainings failed.

    Raises:
        UserError: an unknown parameter, a value that is no number, no MiHATP, other options than the storage has.
    """
    method = plan.mihatp("--sweep")
    assert method.options is not None
    grid = read_grid(wanted)
    variants = tuple(_variant(method, name, value) for name, values in grid.items() for value in values)
    check_methods(replace(plan, methods=variants), place.check)
    studies = {name: _study(plan, method.options, name, values, place, storage) for name, values in grid.items()}
    failures: dict[str, str] = {}
    for name, study in studies.items():
        _work(study, name, grid[name], method, plan, place, failures)
    points = [point for name, study in studies.items() for point in _points(study, name, grid[name])]
    if not points:
        raise UserError(
            f"no training of the sweep has finished; the first failure: {next(iter(failures.values()), '')}"
        )
    _write(plan, place.folder, points, {name: _chosen(method.options, name) for name in grid}, failures)
    return 3 if failures else 0


def read_grid(wanted: Sequence[str]) -> dict[str, tuple[float, ...]]:
    """`tau=0.05,0.1` as {'tau': (0.05, 0.1)}. Raises `UserError` for what is none."""
    grid: dict[str, tuple[float, ...]] = {}
    for one in wanted:
        name, equals, text = one.partition("=")
        if name not in PARAMETERS or not equals:
            raise UserError(
                f"--sweep {one}: expected NAME=VALUE,VALUE,… with NAME of {', '.join(PARAMETERS)}"
                f"{nearest(name, PARAMETERS)}"
            )
        try:
            values = tuple(dict.fromkeys(float(value) for value in text.split(",")))
        except ValueError as error:
            raise UserError(f"--sweep {one}: {error}") from error
        if not all(map(isfinite, values)):
            raise UserError(f"--sweep {one}: every value must be finite")
        if name in grid:
            raise UserError(f"--sweep {one}: {name} is given twice; give its values once, with commas")
        grid[name] = values
    return grid


def _variant(method: Method, name: str, value: float) -> Method:
    assert method.options is not None
    options = copied(method.options)
    *above, key = PARAMETERS[name]
    options.section(*above)[key] = value
    return Method(f"{name}{value:g}", options)


def _chosen(options: Options, name: str) -> float | None:
    return options.get(*PARAMETERS[name])


def _study(
    plan: Plan, options: Options, name: str, values: Sequence[float], place: Place, storage: str | None
) -> optuna.Study:
    """The values of one parameter as a queue that processes share; each value stands in it once."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    url = storage or f"sqlite:///{place.folder / 'sweep.db'}"
    place.folder.mkdir(parents=True, exist_ok=True)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ExperimentalWarning)  # heartbeats are
            held = RDBStorage(
                url,
                heartbeat_interval=_HEARTBEAT,
                grace_period=3 * _HEARTBEAT,
                heartbeat_stale_trial_callback=RetryHeartbeatStaleTrialCallback(),
            )
        study = optuna.create_study(
            study_name=f"{plan.name} {name}", storage=held, direction="maximize", load_if_exists=True
        )
    except (SQLAlchemyError, ImportError, ValueError) as error:
        raise UserError(f"--storage {url}: {str(error).splitlines()[0]}") from error
    mark = _mark(plan, options)
    if study.user_attrs.setdefault("options", mark) != mark:
        raise UserError(f"'{url}' has a sweep '{plan.name} {name}' with other options: give another -o or --storage")
    study.set_user_attr("options", mark)
    _enqueue(study, name, values)
    return study


def _enqueue(study: optuna.Study, name: str, values: Sequence[float]) -> None:
    there = {trial.user_attrs.get("value") for trial in study.get_trials(deepcopy=False, states=_LIVE)}
    for value in values:
        if value not in there:
            study.enqueue_trial({name: value}, user_attrs={"value": value})


def _mark(plan: Plan, options: Options) -> str:
    """The same for the same training, wherever the data lie."""
    values = {key: value for key, value in options.values.items() if key != "datasets"}
    budget = [plan.scale, plan.total_iter, plan.seconds, plan.seeds]
    return sha256(msgspec.json.encode([values, budget], order="sorted")).hexdigest()


def _work(
    study: optuna.Study,
    name: str,
    values: Sequence[float],
    method: Method,
    plan: Plan,
    place: Place,
    failures: dict[str, str],
) -> None:
    """Do what waits, then wait for what other processes do, or for what they left to be done again."""

    def train(trial: optuna.Trial) -> float:
        value = trial.user_attrs.get("value")
        if value is None:  # another process took the last one that waited, and optuna made up a new one
            raise TrialPruned
        trial.suggest_float(name, value, value)
        plan_ = replace(plan, methods=(_variant(method, name, value),))
        runs = prepare_runs(plan_, place.folder, metric_options(plan.scale))
        for run in runs:
            failure = train_and_test(run, place.folder, place.threads)
            if failure is not None:
                failures[run.name] = failure
                trial.set_user_attr("failure", failure)
                raise UserError(failure)
        scores = mean_of([read_scores(place.folder / "results" / run.name, run.sets) for run in runs])
        trial.set_user_attr("ssim", over_sets(scores["ssim"])[0])
        return over_sets(scores["psnr"])[0]

    quiet = 0  # seconds in which something is left and nothing waits or runs: whoever had it gave it up
    while _is_left(study, values):
        if study.get_trials(deepcopy=False, states=(TrialState.WAITING,)):
            study.optimize(train, n_trials=1, catch=(UserError,))
            continue
        time.sleep(1)
        fail_stale_trials(study)
        quiet = 0 if study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)) else quiet + 1
        if quiet > _HEARTBEAT:
            _enqueue(study, name, values)


def _is_left(study: optuna.Study, values: Sequence[float]) -> bool:
    """Whether a value has neither an end nor a failure of its training; one that a process gave up has none."""
    trials = [trial for trial in study.get_trials(deepcopy=False) if "value" in trial.user_attrs]
    settled = {
        trial.user_attrs["value"]
        for trial in trials
        if trial.state == TrialState.COMPLETE or "failure" in trial.user_attrs
    }
    live = any(trial.state in (TrialState.WAITING, TrialState.RUNNING) for trial in trials)
    return live or not settled.issuperset(values)


def _points(study: optuna.Study, name: str, values: Sequence[float]) -> list[Point]:
    done = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    found = {trial.params[name]: trial for trial in done}
    return [
        Point(name, value, found[value].value or 0.0, found[value].user_attrs["ssim"])
        for value in sorted(values)
        if value in found
    ]


def _write(
    plan: Plan,
    folder: Path,
    points: Sequence[Point],
    chosen: Mapping[str, float | None],
    failures: Mapping[str, str],
) -> None:
    best = {name: max((one for one in points if one.parameter == name), key=lambda one: one.psnr) for name in chosen}
    rows = [[one.parameter, f"{one.value:g}", f"{one.psnr:.3f}", f"{one.ssim:.4f}"] for one in points]
    bold = frozenset((row, 2) for row, one in enumerate(points) if one is best[one.parameter])
    heads = ["parameter", "value", "PSNR (dB)", "SSIM"]
    tables = [table.Table(f"{plan.name}: sweep x{plan.scale}", heads, rows, bold, budget_note(plan, failures))]
    table.write(tables, folder / "sweep")
    with (folder / "sweep.csv").open("w", newline="", encoding="utf-8") as file:
        lines = csv.writer(file, lineterminator="\n")
        lines.writerow(["parameter", "value", "psnr", "ssim"])
        lines.writerows([one.parameter, one.value, one.psnr, one.ssim] for one in points)
    curves = {
        name: [(one.value, one.psnr, one.ssim) for one in points if one.parameter == name]
        for name in dict.fromkeys(one.parameter for one in points)
    }
    marked = {name: value for name, value in chosen.items() if value is not None}
    plots.sweep(curves, folder / "figure3.png", chosen=marked)
    print(table.markdown(tables))
    print(f"picture: {folder / 'figure3.png'}")
