"""The trainings of a plan: one for each method and seed, each with a complete option file that says what it is."""

import os
from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from shutil import rmtree
from typing import Any

from datasets_prep.common.files import write_file
from mihatp_arch.config import yaml_files
from mihatp_arch.errors import UserError
from mihatp_arch.evaluation.run.basicsr_process import Job
from mihatp_arch.evaluation.run.benchmark_file import TEST_SET, Method, Plan, copied, trained_network
from mihatp_arch.evaluation.run.budget import seconds_per_iteration, with_iterations

_PILOT = 24  # iterations that tell how long one takes


@dataclass(frozen=True)
class Run:
    """One training, or one file of weights, and its test.

    Attributes:
        name: of the experiment.
        method: its line in the table.
        total: iterations, 0 where weights are tested.
        sets: names of the test sets.
        options: its option file.
    """

    name: str
    method: str
    total: int
    sets: tuple[str, ...]
    options: Path


def run_name(plan: Plan, method: str, seed: int | None) -> str:
    """The experiment of a method: `HAT_x4`, `HAT_x4_seed1`."""
    return f"{method}_x{plan.scale}" + (f"_seed{seed}" if seed is not None and len(plan.seeds) > 1 else "")


def prepare_runs(plan: Plan, folder: Path, metrics: Mapping[str, Any]) -> list[Run]:
    """Write `plans/<run>.yml` for every run, or see that what is there is the same.

    Raises:
        UserError: `folder` holds a run of that name with other options, or cannot be written.
    """
    return [_prepare(plan, method, seed, folder, metrics) for method in plan.trained for seed in plan.seeds]


def prepare_first_stages(plan: Plan, folder: Path, metrics: Mapping[str, Any]) -> list[Run]:
    """As `prepare_runs`, for what methods need before they can be trained; one serves all seeds."""
    return [_prepare(plan, method, None, folder, metrics) for method in plan.first_stages]


def _prepare(plan: Plan, method: Method, seed: int | None, folder: Path, metrics: Mapping[str, Any]) -> Run:
    assert method.options is not None
    options = copied(method.options).values
    name = run_name(plan, method.name, seed)
    options["name"] = name
    if seed is not None:
        options["manual_seed"] = seed
    options["logger"] = {"print_freq": 100, "save_checkpoint_freq": 5000, "use_tb_logger": False} | options["logger"]
    options["val"] = {"val_freq": options["train"]["total_iter"]} | options["val"]
    options["val"] |= {"save_img": True, "metrics": dict(metrics), "suffix": None}
    for one in options["datasets"].values():
        for key in ("dataroot_gt", "dataroot_lq"):
            if one and isinstance(one.get(key), str):
                one[key] = str(Path(one[key]).expanduser().absolute())
    file = folder / "plans" / f"{name}.yml"
    before = yaml_files.read(file) if file.is_file() else None
    if method.weights is None:
        total = plan.total_iter or options["train"]["total_iter"]
        if plan.seconds is not None:
            total = before["train"]["total_iter"] if before else _in(plan.seconds, options, folder)
        with_iterations(options, total)
    if before is not None:
        _check_same(before, options, file)
    else:
        write_whole(options, file)
    sets = tuple(one["name"] for key, one in options["datasets"].items() if key.startswith(TEST_SET) and one)
    return Run(name, method.name, 0 if method.weights else options["train"]["total_iter"], sets, file)


def write_whole(options: dict[str, Any], file: Path) -> None:
    """Write an option file that is there whole or not at all. Raises `UserError` where it cannot be written."""
    text = yaml_files.text_of(options, "one training of a benchmark, complete: basicsr train -opt this file")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        write_file(file, text.encode("ascii"))
    except OSError as error:
        raise UserError(f"cannot write '{file}': {os.strerror(error.errno or 0)}") from error


def _check_same(before: dict[str, Any], now: dict[str, Any], file: Path) -> None:
    ours, theirs = _flat(before), _flat(now)
    for key in sorted(ours.keys() | theirs.keys()):
        if ours.get(key) != theirs.get(key):
            raise UserError(
                f"'{file}' is of a benchmark with other options ({key}: {ours.get(key)}, now {theirs.get(key)}): "
                "give another -o, or the options of before"
            )


def _flat(values: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in values.items():
        here = f"{prefix}{key}"
        found |= _flat(value, f"{here}.") if isinstance(value, dict) else {here: value}
    return found


def _in(seconds: float, options: dict[str, Any], folder: Path) -> int:
    """How many iterations of a training fit into `seconds`, by its first ones on this machine."""
    pilot = deepcopy(options)
    name = f"pilot_{options['name']}"
    with_iterations(pilot, _PILOT)
    pilot |= {"name": name, "val": None}
    pilot["logger"] |= {"print_freq": 1, "save_checkpoint_freq": _PILOT}
    file = folder / "plans" / f"{name}.yml"
    write_whole(pilot, file)
    job = Job(f"time {options['name']}", ["train", "-opt", str(file)], folder, *_places(folder, name), 0, _PILOT)
    job.run()
    file.unlink()
    rmtree(folder / "experiments" / name)
    each = seconds_per_iteration(job.log.read_text(encoding="utf-8"))
    if each is None:
        raise UserError(f"{job.log}: no time of an iteration is in it; give total_iter instead of seconds")
    return max(1, int(seconds / each))


def _places(folder: Path, name: str) -> tuple[Path, Path]:
    return folder / "locks" / f"{name}.lock", folder / "logs" / f"{name}.log"


def train_and_test(run: Run, folder: Path, threads: int, position: int = 0) -> str | None:
    """Train what is not trained, go on with what was cut off, test what is not tested; None, or why it failed."""
    try:
        _train_and_test(run, folder, threads, position)
    except UserError as error:
        return str(error)
    except OSError as error:
        return f"{run.name}: {error}"
    return None


def _train_and_test(run: Run, folder: Path, threads: int, position: int) -> None:
    common = ["-opt", str(run.options), "--force_yml"]
    lock, _ = _places(folder, run.name)
    done = folder / trained_network(run.name)
    if run.total and not done.is_file():
        tests = [f"datasets:{key}=null" for key in yaml_files.read(run.options)["datasets"] if key.startswith(TEST_SET)]
        # What was cut off before its first state has nothing to resume: basicsr puts it aside and starts anew.
        begun = any((folder / "experiments" / run.name / "training_states").glob("[0-9]*.state"))
        arguments = ["train", *["--auto_resume"] * begun, *common, "val:save_img=false", *tests]
        log = folder / "logs" / f"train_{run.name}.log"
        Job(f"train {run.name}", arguments, folder, lock, log, threads, run.total).run(position=position)
    if not tested(run, folder):
        log = folder / "logs" / f"test_{run.name}.log"
        weights = yaml_files.read(run.options).get("path", {}).get("pretrain_network_g")
        arguments = ["test", *common, "datasets:val=null"]
        if not run.total:
            arguments.append(f"path:pretrain_network_g={weights}")
        Job(f"test {run.name}", arguments, folder, lock, log, threads).run(position=position)


def tested(run: Run, folder: Path) -> bool:
    """Whether every test set has its numbers."""
    metrics = folder / "results" / run.name / "metrics"
    return all((metrics / f"{name}.csv").is_file() for name in run.sets)
