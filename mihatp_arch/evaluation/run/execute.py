"""All trainings and tests of a plan: checked first, then one after another, several at once, or on a cluster."""

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from basicsr.archs import build_network

from datasets_prep.common.executors import open_executor, run_all
from mihatp_arch.config.read import Options
from mihatp_arch.errors import UserError
from mihatp_arch.evaluation.results.scores import Scores, measure_bicubic, read_scores
from mihatp_arch.evaluation.run.benchmark_file import Method, Plan, copied
from mihatp_arch.evaluation.run.trainings import Run, prepare_first_stages, prepare_runs, train_and_test
from mihatp_arch.metrics.lpips import alexnet_weights

Check = Callable[[Options], Sequence[str]]  # the mistakes in the options of a training, a line each


@dataclass(frozen=True)
class Place:
    """Where and how trainings run.

    Attributes:
        folder: of the benchmark; what it holds already is not done again.
        check: finds mistakes in the options of a training before any begins.
        workers: trainings at once on this machine.
        threads: CPU threads of each; 0: their share of the cores.
        scheduler: address of a Dask scheduler whose workers see `folder` and the data; else None.
    """

    folder: Path
    check: Check
    workers: int = 1
    threads: int = 0
    scheduler: str | None = None


@dataclass(frozen=True)
class Results:
    """What came of a plan.

    Attributes:
        runs: every training.
        scores: method -> the scores of each seed, in the order of the plan, without what failed.
        failures: run -> why it failed.
        bounds: first stage -> the scores of its reconstruction of HR.
    """

    runs: Sequence[Run]
    scores: Mapping[str, Sequence[Scores]]
    failures: Mapping[str, str]
    bounds: Mapping[str, Scores]


def metric_options(scale: int) -> dict[str, Any]:
    """What `basicsr test` measures on each image: RGB, no border cropped; LPIPS where the weights for it are there."""
    colour = {"crop_border": 0, "test_y_channel": False}
    found: dict[str, Any] = {
        "psnr": {"type": "calculate_psnr", **colour},
        "ssim": {"type": "calculate_ssim", **colour},
        "hed_error": {"type": "calculate_hed_error", "crop_border": 0, "better": "lower"},
        "hematoxylin_ratio": {"type": "calculate_hematoxylin_ratio", "crop_border": 0},
        "lr_consistency": {"type": "calculate_lr_consistency", "crop_border": 0, "scale": scale, "better": "lower"},
    }
    if alexnet_weights().is_file():
        found["lpips"] = {"type": "calculate_lpips", "crop_border": 0, "better": "lower"}
    return found


def train_all(plan: Plan, place: Place) -> Results:
    """Train and test what is not yet, and read what came of it.

    Raises:
        UserError: a mistake in the options, other options than those of before, or no method that finished.
    """
    check_methods(plan, place.check)
    metrics = metric_options(plan.scale)
    first = prepare_first_stages(plan, place.folder, metrics)
    failures = _execute(first, place)
    bounds = {run.method: _scores(run, place.folder) for run in first if run.name not in failures}
    runs = prepare_runs(plan, place.folder, metrics)
    failures |= _execute(runs, place)
    return Results(runs, _collect(plan, runs, place.folder, failures), failures, bounds)


def _scores(run: Run, folder: Path) -> Scores:
    return read_scores(folder / "results" / run.name, run.sets)


def check_methods(plan: Plan, check: Check) -> None:
    """Refuse options that could not be trained. Raises `UserError` with the first mistake."""
    for method in (*plan.first_stages, *plan.trained):
        assert method.options is not None
        options = copied(method.options)
        with _stand_in(method.first_stage) as file:
            if file is not None:
                options.section("path")["pretrain_network_first_stage"] = str(file)
            for mistake in check(options):
                raise UserError(f"method '{method.name}': {mistake}")


@contextmanager
def _stand_in(first_stage: Method | None) -> Iterator[Path | None]:
    """A first stage as it is before training, for the checks of what is to work in it; None for None."""
    if first_stage is None:
        yield None
        return
    assert first_stage.options is not None
    with TemporaryDirectory() as folder:
        file = Path(folder) / f"{first_stage.name}.pth"
        torch.save({"params": build_network(deepcopy(first_stage.options.values["network_g"])).state_dict()}, file)
        yield file


def _execute(runs: Sequence[Run], place: Place) -> dict[str, str]:
    threads = place.threads
    if not threads and place.workers > 1:
        threads = max(1, (os.cpu_count() or 1) // place.workers)
    failures = {}
    with _executor(place) as (executor, at_once):
        tasks = [(run, (run, place.folder, threads, number % place.workers)) for number, run in enumerate(runs)]
        for run, failure in run_all(executor, train_and_test, tasks, at_once=at_once):
            if failure is not None:
                failures[run.name] = failure
                print(f"failed: {failure}")
    return failures


@contextmanager
def _executor(place: Place) -> Iterator[tuple[Executor, int]]:
    if place.scheduler is not None:
        with open_executor(workers=1, scheduler=place.scheduler) as (executor, at_once):
            yield executor, at_once
        return
    with ThreadPoolExecutor(place.workers) as pool:  # threads: each waits for a process of its own
        yield pool, place.workers


def _collect(plan: Plan, runs: Sequence[Run], folder: Path, failures: Mapping[str, str]) -> dict[str, list[Scores]]:
    done = [run for run in runs if run.name not in failures]
    if not done:
        raise UserError(f"no method has finished; the first failure: {next(iter(failures.values()))}")
    scores: dict[str, list[Scores]] = {}
    for method in plan.methods:
        if method.options is None:
            results = folder / "results" / f"{method.name}_x{plan.scale}"
            measure_bicubic(plan.test_sets(), plan.scale, metric_options(plan.scale), results)
            scores[method.name] = [read_scores(results, list(plan.test_sets()))]
        found = [_scores(run, folder) for run in done if run.method == method.name]
        if found:
            scores[method.name] = found
    return scores
