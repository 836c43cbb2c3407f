"""All trainings and tests of a plan: checked first, then run one by one, several at once, or on a cluster."""

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from basicsr.archs import build_network

from datasets_prep.common.executors import open_executor, run_all
from datasets_prep.common.files import remove_dead_partials
from datasets_prep.common.processes.lock import only_process
from mihatp_arch.config.check import training_mistakes
from mihatp_arch.errors import UserError
from mihatp_arch.evaluation.results.scores import Scores, measure_bicubic, read_scores
from mihatp_arch.evaluation.run.basicsr_process import end_running
from mihatp_arch.evaluation.run.measured import check_measured
from mihatp_arch.evaluation.run.plan import Method, Plan
from mihatp_arch.evaluation.run.trainings import Run, prepare_first_stages, prepare_runs, train_and_test
from mihatp_arch.metrics import METRIC_ROWS
from mihatp_arch.training.validation import consistent


@dataclass(frozen=True)
class Setup:
    """Where and how trainings run.

    Attributes:
        folder: of the benchmark; trainings and tests whose results it holds are not repeated.
        workers: trainings at once on this machine.
        threads: CPU threads of each; 0: their share of the cores.
        scheduler: address of a Dask scheduler whose workers see `folder` and the data; else None.
    """

    folder: Path
    workers: int = 1
    threads: int = 0
    scheduler: str | None = None

    @property
    def threads_each(self) -> int:
        """CPU threads of each training; 0 leaves the choice to torch."""
        if not self.threads and self.workers > 1:
            return max(1, (os.cpu_count() or 1) // self.workers)
        return self.threads

    def alone(self) -> AbstractContextManager[None]:
        """Inside the block, no other benchmark or ablation uses the folder. Raises `UserError` if one does."""
        return only_process(self.folder / "locks" / "benchmark.lock", f"{self.folder}", remedy="give another -o")


@dataclass(frozen=True)
class Tested:
    """The scores of all methods that have finished, in the order of the plan.

    Attributes:
        scores: method -> the scores of each seed on the test sets.
        validation: the same on the validation set; empty without one.
    """

    scores: Mapping[str, Sequence[Scores]]
    validation: Mapping[str, Sequence[Scores]]


@dataclass(frozen=True)
class Results:
    """The outcome of a plan.

    Attributes:
        runs: every training, those of first stages too.
        plain: the methods as they are.
        projected: the methods with the consistency projection; None where the plan has none.
        failures: run -> the reason of its failure.
        bounds: first stage -> the scores of its reconstruction of HR.
    """

    runs: Sequence[Run]
    plain: Tested
    projected: Tested | None
    failures: Mapping[str, str]
    bounds: Mapping[str, Scores]


def metric_options(scale: int) -> dict[str, Any]:
    """`val: metrics` of every test: each metric that this machine can compute."""
    return {row.name: row.options(scale) for row in METRIC_ROWS if row.available()}


def train_all(plan: Plan, setup: Setup) -> Results:
    """Run every training and test that is not done yet, and read all scores.

    Raises:
        UserError: a mistake in the options, a folder of another benchmark or in use by one, results of other images,
            or no method that finished.
    """
    check_methods(plan)
    with setup.alone():
        check_measured(plan, setup.folder)
        return _train_all(plan, setup)


def _train_all(plan: Plan, setup: Setup) -> Results:
    for folder in (setup.folder, setup.folder / "plans"):
        remove_dead_partials(folder)
    metrics = metric_options(plan.scale)
    first = prepare_first_stages(plan, setup.folder, metrics, threads=setup.threads_each)
    failures = _execute(first, setup)
    bounds = {
        run.method: read_scores(setup.folder / "results" / run.name, run.sets)
        for run in first
        if run.name not in failures
    }
    runs = prepare_runs(plan, setup.folder, metrics, threads=setup.threads_each)
    failures |= _execute([run for run in runs if run.source is None], setup)
    failures |= _execute([run for run in runs if run.source is not None], setup)  # they test networks of the former
    folders = _finished(plan, runs, setup.folder, failures)
    projected = _tested(plan, folders, consistent) if plan.projected else None
    return Results([*first, *runs], _tested(plan, folders), projected, failures, bounds)


def _tested(plan: Plan, folders: Mapping[str, Sequence[Path]], variant: Callable[[Path], Path] = Path) -> Tested:
    """Read the scores below `folders`, method -> the results of each seed; `variant` makes a folder of a folder."""

    def read(sets: Sequence[str]) -> dict[str, list[Scores]]:
        return {
            method: [read_scores(variant(folder), sets) for folder in results] for method, results in folders.items()
        }

    validation = list(plan.validation_set())
    return Tested(read(list(plan.test_sets())), read(validation) if validation else {})


def check_methods(plan: Plan) -> None:
    """Refuse options that could not be trained. Raises `UserError` with the first mistake."""
    for method in (*plan.first_stages, *plan.trained):
        options = method.trained_options()
        with _untrained_weights(method.first_stage) as file:
            if file is not None:
                options.section("path")["pretrain_network_first_stage"] = str(file)
            for mistake in training_mistakes(options):
                raise UserError(f"method '{method.name}': {mistake}")


@contextmanager
def _untrained_weights(first_stage: Method | None) -> Iterator[Path | None]:
    """A file with the weights of a first stage before its training, for the checks of its method; None for None."""
    if first_stage is None:
        yield None
        return
    assert first_stage.options is not None
    with TemporaryDirectory() as folder:
        file = Path(folder) / f"{first_stage.name}.pth"
        torch.save({"params": build_network(deepcopy(first_stage.options.values["network_g"])).state_dict()}, file)
        yield file


def _execute(runs: Sequence[Run], setup: Setup) -> dict[str, str]:
    failures = {}
    with _executor(setup) as (executor, at_once):
        tasks = [
            (run, (run, setup.folder, setup.threads_each, number % setup.workers)) for number, run in enumerate(runs)
        ]
        for run, failure in run_all(executor, train_and_test, tasks, at_once=at_once):
            if failure is not None:
                failures[run.name] = failure
                print(f"failed: {failure}")
    return failures


@contextmanager
def _executor(setup: Setup) -> Iterator[tuple[Executor, int]]:
    if setup.scheduler is not None:
        with open_executor(workers=1, scheduler=setup.scheduler) as (executor, at_once):
            yield executor, at_once
        return
    with ThreadPoolExecutor(setup.workers) as pool:  # threads: each waits for a process of its own
        try:
            yield pool, setup.workers
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            end_running()  # the pool then waits until they have saved
            raise


def _finished(plan: Plan, runs: Sequence[Run], folder: Path, failures: Mapping[str, str]) -> dict[str, list[Path]]:
    """Method -> the results of each seed that has finished; bicubic interpolation is measured here."""
    finished = [run for run in runs if run.name not in failures]
    if not finished:
        raise UserError(f"no method has finished; the first failure: {next(iter(failures.values()))}")
    folders: dict[str, list[Path]] = {}
    for method in plan.methods:
        if method.options is None:
            results = folder / "results" / f"{method.name}_x{plan.scale}"
            sets = plan.test_sets() | plan.validation_set()
            measure_bicubic(sets, plan.scale, metric_options(plan.scale), results, projected=plan.projected)
            folders[method.name] = [results]
        by_seed = [folder / "results" / run.name for run in finished if run.method == method.name]
        if by_seed:
            folders[method.name] = by_seed
    return folders
