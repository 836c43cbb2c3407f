"""The trainings of a plan: one for each method and seed, each with a complete option file that says what it is."""

from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass, replace
from pathlib import Path
from shutil import rmtree
from typing import Any

from datasets_prep.common.files import write_file
from mihatp_arch.config import yaml_files
from mihatp_arch.errors import UserError, reason_of
from mihatp_arch.evaluation.run.basicsr_process import Job
from mihatp_arch.evaluation.run.budget import seconds_per_iteration, with_iterations
from mihatp_arch.evaluation.run.plan import TEST_SET, VALIDATION_SET, Method, Plan, trained_network
from mihatp_arch.training.validation import consistent

_PILOT = 24  # iterations of the training that measures the time of one iteration


@dataclass(frozen=True)
class Run:
    """One training, or one file of weights, and its test.

    Attributes:
        name: of the experiment.
        method: its row in the table.
        total: iterations, 0 where nothing is trained.
        sets: names of the test sets.
        validation: name of the validation set; empty without one.
        projected: whether it is tested with the consistency projection too.
        options: its option file.
        source: the run whose trained network it tests; None: its own, or the weights in its options.
    """

    name: str
    method: str
    total: int
    sets: tuple[str, ...]
    validation: tuple[str, ...]
    options: Path
    projected: bool = False
    source: str | None = None


def run_name(plan: Plan, method: str, seed: int | None) -> str:
    """The experiment of a method: `HAT_x4`, `HAT_x4_seed1`."""
    return f"{method}_x{plan.scale}" + (f"_seed{seed}" if seed is not None and len(plan.seeds) > 1 else "")


def prepare_runs(plan: Plan, folder: Path, metrics: Mapping[str, Any], *, threads: int = 0) -> list[Run]:
    """Write `plans/<run>.yml` for every run; a file that exists must have the same options.

    Args:
        plan: the methods; one whose weights are given is tested once, and not for each seed.
        folder: of the benchmark.
        metrics: `val: metrics` of the tests.
        threads: CPU threads of each training, with which a budget in seconds is measured; 0 leaves the choice to torch.

    Raises:
        UserError: `folder` holds a run of that name with other options, or cannot be written.
    """
    return [
        replace(_prepare(plan, method, seed, folder, metrics, threads), projected=plan.projected)
        for method in plan.trained
        for seed in plan.seeds_of(method)
    ]


def prepare_first_stages(plan: Plan, folder: Path, metrics: Mapping[str, Any], *, threads: int = 0) -> list[Run]:
    """As `prepare_runs`, for the first stages of the methods; one training serves all seeds."""
    return [_prepare(plan, method, None, folder, metrics, threads) for method in plan.first_stages]


def _prepare(
    plan: Plan, method: Method, seed: int | None, folder: Path, metrics: Mapping[str, Any], threads: int
) -> Run:
    name = run_name(plan, method.name, seed)
    options = _complete(method, name, seed, metrics)
    file = folder / "plans" / f"{name}.yml"
    before = yaml_files.read(file) if file.is_file() else None
    source = None if method.weights_of is None else run_name(plan, method.weights_of, seed)
    trains = method.weights is None and source is None
    if trains:
        total = method.total_iter or plan.total_iter or options["train"]["total_iter"]
        if plan.seconds is not None and method.total_iter is None:
            total = _earlier_total(plan, method, seed, folder) or _iterations_in(plan.seconds, options, folder, threads)
        with_iterations(options, total)
    if before is not None:
        _check_same(before, options, file)
    else:
        _write_options(options, file)
    names = {key: dataset["name"] for key, dataset in options["datasets"].items() if dataset}
    sets = tuple(name for key, name in names.items() if key.startswith(TEST_SET))
    validation = tuple(name for key, name in names.items() if key == VALIDATION_SET)
    total = options["train"]["total_iter"] if trains else 0
    return Run(name, method.name, total, sets, validation, file, source=source)


def _complete(method: Method, name: str, seed: int | None, metrics: Mapping[str, Any]) -> dict[str, Any]:
    """The options of one training but for its budget: with its name and seed, the metrics, and absolute data roots."""
    options = method.trained_options().values
    options["name"] = name
    if seed is not None:
        options["manual_seed"] = seed
    options["logger"] = {"print_freq": 100, "save_checkpoint_freq": 5000, "use_tb_logger": False} | options["logger"]
    options["val"] = {"val_freq": options["train"]["total_iter"]} | options["val"]
    options["val"] |= {"save_img": True, "metrics": dict(metrics), "suffix": None}
    for dataset in options["datasets"].values():
        for key in ("dataroot_gt", "dataroot_lq"):
            if dataset and isinstance(dataset.get(key), str):
                dataset[key] = str(Path(dataset[key]).expanduser().absolute())
    return options


def _write_options(options: dict[str, Any], file: Path) -> None:
    """Write an option file. Raises `UserError` where it cannot be written."""
    text = yaml_files.text_of(options, "one training of a benchmark, complete: basicsr train -opt this file")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        write_file(file, text.encode("ascii"))
    except OSError as error:
        raise UserError(f"cannot write '{file}': {reason_of(error)}") from error


def _check_same(before: dict[str, Any], now: dict[str, Any], file: Path) -> None:
    ours, theirs = _flat(before), _flat(now)
    for key in sorted(ours.keys() | theirs.keys()):
        if ours.get(key) != theirs.get(key):
            raise UserError(
                f"'{file}' is of a benchmark with other options ({key}: {ours.get(key)}, now {theirs.get(key)}): "
                "give another -o, or the options of before"
            )


def _flat(values: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in values.items():
        path = f"{prefix}{key}"
        flat |= _flat(value, f"{path}.") if isinstance(value, dict) else {path: value}
    return flat


def _earlier_total(plan: Plan, method: Method, seed: int | None, folder: Path) -> int | None:
    """The iterations of this training, or of the same one with another seed, where they are written already."""
    for any_seed in (seed, *plan.seeds):
        file = folder / "plans" / f"{run_name(plan, method.name, any_seed)}.yml"
        if file.is_file():
            return yaml_files.read(file)["train"]["total_iter"]
    return None


def _iterations_in(seconds: float, options: dict[str, Any], folder: Path, threads: int) -> int:
    """The iterations of a training that fit into `seconds`: a pilot of 24 iterations on this machine tells."""
    pilot = deepcopy(options)
    name = f"pilot_{options['name']}"
    with_iterations(pilot, _PILOT)
    pilot |= {"name": name, "val": None}
    if "probe_freq" in pilot["train"]:
        pilot["train"]["probe_freq"] = 0  # in few iterations they would weigh more than in the training
    pilot["logger"] |= {"print_freq": 1, "save_checkpoint_freq": _PILOT}
    file, log = folder / "plans" / f"{name}.yml", folder / "logs" / f"{name}.log"
    _write_options(pilot, file)
    arguments = ["train", "-opt", str(file)]
    Job(f"time {options['name']}", arguments, folder, _lock(folder, name), log, threads, _PILOT).run()
    file.unlink()
    rmtree(folder / "experiments" / name)
    each = seconds_per_iteration(log.read_text(encoding="utf-8"))
    if each is None:
        raise UserError(f"{log}: no time of an iteration is in it; give total_iter instead of seconds")
    return max(1, int(seconds / each))


def _lock(folder: Path, name: str) -> Path:
    return folder / "locks" / f"{name}.lock"


def train_and_test(run: Run, folder: Path, threads: int, position: int = 0) -> str | None:
    """Train and test a run. A training that was interrupted resumes; a run that is trained or tested is not repeated.

    Args:
        run: with its option file.
        folder: of the benchmark.
        threads: CPU threads of the process; 0 leaves the choice to torch.
        position: line of the progress bar.

    Returns:
        None, or the reason of the failure.
    """
    try:
        _train(run, folder, threads, position)
        _test(run, folder, threads, position)
    except UserError as error:
        return str(error)
    except OSError as error:
        return f"{run.name}: {error}"
    return None


def _train(run: Run, folder: Path, threads: int, position: int) -> None:
    if not run.total or (folder / trained_network(run.name)).is_file():
        return
    tests = [f"datasets:{key}=null" for key in yaml_files.read(run.options)["datasets"] if key.startswith(TEST_SET)]
    # A training without a state has nothing to resume from: basicsr renames its folder and starts anew.
    resume = any((folder / "experiments" / run.name / "training_states").glob("[0-9]*.state"))
    arguments = ["train", *["--auto_resume"] * resume, "-opt", str(run.options)]
    arguments += ["--force_yml", "val:save_img=false", *tests]
    log = folder / "logs" / f"train_{run.name}.log"
    job = Job(f"train {run.name}", arguments, folder, _lock(folder, run.name), log, threads, run.total)
    job.run(position=position)


def _test(run: Run, folder: Path, threads: int, position: int) -> None:
    results = folder / "results" / run.name
    folders = (results, consistent(results)) if run.projected else (results,)
    if all((path / "metrics" / f"{name}.csv").is_file() for path in folders for name in (*run.sets, *run.validation)):
        return
    forced = ["val:consistency=both"] if run.projected else []
    if not run.total:
        forced += _tested_weights(run, folder)
    arguments = ["test", "-opt", str(run.options), *(["--force_yml", *forced] if forced else [])]
    log = folder / "logs" / f"test_{run.name}.log"
    Job(f"test {run.name}", arguments, folder, _lock(folder, run.name), log, threads).run(position=position)


def _tested_weights(run: Run, folder: Path) -> list[str]:
    """The options that name the weights of a run that trains nothing."""
    if run.source is None:
        weights = yaml_files.read(run.options).get("path", {}).get("pretrain_network_g")
        return [f"path:pretrain_network_g={weights or 'null'}"]
    network = folder / trained_network(run.source)
    if not network.is_file():
        raise UserError(f"{run.name}: the training of {run.source}, whose network it tests, has not finished")
    return [f"path:pretrain_network_g={network}", "path:param_key_g=params_ema"]
