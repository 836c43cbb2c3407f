"""From the arguments of `basicsr` to BasicSR's own pipelines: plugins, options, their checks, the call."""

import argparse
import os
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from importlib.metadata import entry_points
from pathlib import Path

import torch

import mihatp_arch  # noqa: F401  basicsr can be imported after it
from datasets_prep.common.processes.lock import lock_beside, only_process, refuse_held
from datasets_prep.common.processes.open_files import allow_open_files
from mihatp_arch.config import yaml_files
from mihatp_arch.config.checks.validation import names_a_folder
from mihatp_arch.config.defaults import experiment_name
from mihatp_arch.config.overlays import with_own_overlays
from mihatp_arch.config.read import Options, force, read_options, replace_data_root
from mihatp_arch.errors import UserError
from mihatp_arch.training.data.worker_deaths import worker_deaths_named
from mihatp_arch.training.resuming import passing_over_unfit_states
from mihatp_arch.training.run_record import typed_command
from mihatp_arch.training.stopping import signals_noted
from mihatp_cli.data_root import data_root, write_errors

_SHOWN = 10  # mistakes that are printed
_OTHER_NAME = "give this run another name (--force_yml name=NAME)"


def run_pipeline(arguments: argparse.Namespace, *, typed: Sequence[str]) -> None:
    """Read and check the options, then train or test with BasicSR's own pipeline.

    Args:
        arguments: of the `basicsr` command.
        typed: the command line, for the records of the experiment.

    Raises:
        UserError: a mistake in the options or in what they name.
    """
    _load_plugins()
    # BasicSR's pipelines are imported after the plugins, so that they see what the plugins register.
    from basicsr.test import test_pipeline
    from basicsr.train import train_pipeline

    options = _read(arguments)
    lock = _lock(options, arguments)
    if lock is not None:
        refuse_held(*lock, remedy=_OTHER_NAME)  # before the data are read
    _check(options, arguments)
    workers = options.get("datasets", "train", "num_worker_per_gpu") or 0
    allow_open_files(workers, option="datasets.train.num_worker_per_gpu")
    with ExitStack() as stack:
        if lock is not None:
            stack.enter_context(only_process(*lock, remedy=_OTHER_NAME))
        stack.enter_context(write_errors())
        _call(train_pipeline if arguments.command == "train" else test_pipeline, options, arguments, typed)


def _load_plugins() -> None:
    """Import every installed package that advertises itself in the entry-point group `basicsr.plugins`.

    Raises:
        UserError: one of them cannot be imported.
    """
    for plugin in entry_points(group="basicsr.plugins"):
        try:
            plugin.load()
        except Exception as error:
            raise UserError(
                f"the plugin '{plugin.name}' ({plugin.value}) cannot be imported: {type(error).__name__}: {error}; "
                "mend or uninstall it"
            ) from error


def _read(arguments: argparse.Namespace) -> Options:
    """The options of the files, with the values and the data root of the command line."""
    files, added = with_own_overlays(arguments.opt)
    if added and os.environ.get("RANK", "0") == "0":
        print(f"basicsr: also reads {', '.join(file.name for file in added)}, of this method", file=sys.stderr)
    options = read_options(files)
    options.open("path", "logger")
    options.section("logger").setdefault("wandb", None)
    _say_twice(arguments.force_yml)
    force(options, arguments.force_yml)
    options.open("path", "logger")
    if arguments.data is not None:
        replace_data_root(options, data_root(arguments.data))
    return options


def _lock(options: Options, arguments: argparse.Namespace) -> tuple[Path, str] | None:
    """The lock of the experiment that is trained, or of the results of a test, and how errors call it.

    The first process of a group holds it: None for the others. None too for a name that the checks will refuse.
    """
    name = options.get("name")
    rank = os.environ.get("SLURM_PROCID" if arguments.launcher == "slurm" else "RANK", "0")
    if not isinstance(name, str) or not names_a_folder(name) or (arguments.launcher != "none" and rank != "0"):
        return None
    kind = "experiments" if arguments.command == "train" else "results"
    folder = Path.cwd() / kind / experiment_name(options, debug=arguments.debug)
    return lock_beside(folder), f"{kind}/{folder.name}"


def _say_twice(entries: Sequence[str]) -> None:
    """Say on stderr which values of `--force_yml` count, where a key is given with two values."""
    values: dict[str, str] = {}
    for entry in entries:
        key, _, value = entry.partition("=")
        if values.setdefault(key, value) != value:
            print(f"basicsr: warning: --force_yml gives {key} twice: {value} counts", file=sys.stderr)
        values[key] = value


def _check(options: Options, arguments: argparse.Namespace) -> None:
    """Complete the options and check them: print warnings, stop at mistakes."""
    from mihatp_arch.config.check import check_run  # it imports what the plugins register

    findings = check_run(
        options,
        arguments.command,
        launcher=arguments.launcher,
        experiments=Path.cwd() / "experiments",
        debug=arguments.debug,
        auto_resume=arguments.auto_resume,
        full=arguments.check_data == "full",
    )
    _stop(findings.mistakes)
    if os.environ.get("RANK", "0") == "0":
        for warning in findings.warnings:
            print(f"basicsr: warning: {warning}", file=sys.stderr)


def _stop(mistakes: Sequence[str]) -> None:
    """Print the mistakes, one a line, and stop if there are any."""
    if not mistakes:
        return
    shown = list(mistakes[:_SHOWN])
    if len(mistakes) > _SHOWN:
        shown[-1] = f"… and {len(mistakes) - _SHOWN + 1} more mistakes"
    for line in shown[:-1]:
        print(f"basicsr: error: {' '.join(line.split())}", file=sys.stderr)
    raise UserError(shown[-1])


def _call(
    pipeline: Callable[[str], None], options: Options, arguments: argparse.Namespace, typed: Sequence[str]
) -> None:
    """Call BasicSR's pipeline with a command line of its own: the resolved options are the file that it records."""
    with tempfile.TemporaryDirectory(prefix="basicsr-") as folder:
        file = Path(folder) / f"{options.values['name']}.yml"
        yaml_files.write(options.values, file, f"resolved by: {' '.join(typed)}")
        command_line = ["-opt", str(file), "--launcher", arguments.launcher]
        command_line += ["--auto_resume"] * arguments.auto_resume + ["--debug"] * arguments.debug
        typed_command.set(tuple(typed))
        with _command_line(command_line), signals_noted(), worker_deaths_named():
            passing_over_unfit_states(partial(_run, pipeline))


def _run(pipeline: Callable[[str], None]) -> None:
    try:
        pipeline(os.getcwd())
    finally:
        if torch.distributed.is_initialized():
            torch.distributed.destroy_process_group()


@contextmanager
def _command_line(arguments: list[str]) -> Iterator[None]:
    before = sys.argv
    sys.argv = [before[0], *arguments]
    try:
        yield
    finally:
        sys.argv = before
