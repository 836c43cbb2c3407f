"""`basicsr train|test`: options as data, checked, then handed to BasicSR's own pipelines, unmodified.

basicsr train -opt options/train_MiHATP_x8.yml
basicsr train -opt options/train_HAT_x4.yml options/overlays/tiny.yml --data demo --force_yml train:total_iter=100
basicsr test -opt options/train_MiHATP_x8.yml
torchrun --nproc_per_node 4 $(which basicsr) train --launcher pytorch -opt options/train_MiHATP_x8.yml
"""

import argparse
import errno
import os
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib.metadata import entry_points
from pathlib import Path

import torch

import mihatp_arch  # noqa: F401  at module level: DataLoader workers that are spawned import this module anew
from mihatp_arch.config import yaml_files
from mihatp_arch.config.read import Options, force, read_options, replace_data_root
from mihatp_arch.errors import UserError
from mihatp_arch.training.stopping import signals_noted
from mihatp_cli import command_line as report

_PROG = "basicsr"
_DEMO = Path("datasets/demo")
_SHOWN = 10
_NO_PLACE = {
    errno.EACCES,
    errno.EDQUOT,
    errno.EEXIST,
    errno.EFBIG,
    errno.EISDIR,
    errno.ENAMETOOLONG,
    errno.ENOSPC,
    errno.ENOTDIR,
    errno.EPERM,
    errno.EROFS,
}


def _parser() -> report.Parser:
    parser = report.Parser(prog=_PROG, description="Train and test with BasicSR 1.4.2 and its plugins.")
    commands = parser.add_subparsers(dest="command", required=True, metavar="{train,test}")
    for command, what in (
        ("train", "train by an option file"),
        ("test", "test by an option file; a training file tests its val sets with the network that it trained"),
    ):
        one = commands.add_parser(command, help=what, description=what)
        one.add_argument(
            "-opt",
            "--opt",
            nargs="+",
            type=Path,
            required=True,
            metavar="YML",
            help="option files, merged left to right",
        )
        one.add_argument("--data", metavar="DIR|demo", help="read every data set below DIR; demo: the embedded data")
        one.add_argument(
            "--force_yml", nargs="+", action="extend", default=[], metavar="KEY:KEY=VALUE", help="set single values"
        )
        one.add_argument("--launcher", choices=["none", "pytorch", "slurm"], default="none")
        one.add_argument("--auto_resume", action="store_true", help="go on from the newest training state")
        one.add_argument("--debug", action="store_true", help="BasicSR's debug mode; errors with their traceback")
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run `basicsr` with the arguments `argv` (default: the command line) and return its exit code."""
    given = list(sys.argv[1:] if argv is None else argv)
    return report.run(_PROG, lambda: _main(given), debug="--debug" in given)


def _main(argv: list[str]) -> None:
    arguments = _parser().parse_args(_without_local_rank(argv))
    _load_plugins()
    # Imported only now, so that they see what the plugins register and `--help` does not wait for them.
    from basicsr.test import test_pipeline
    from basicsr.train import train_pipeline

    options = _options(arguments)
    pipeline = train_pipeline if arguments.command == "train" else test_pipeline
    with _writing():
        _hand_over(options, arguments, pipeline, argv)


def _without_local_rank(argv: list[str]) -> list[str]:
    """Drop `--local-rank=N`, which torch.distributed.launch puts before the sub-command; the environment carries it."""
    kept: list[str] = []
    rank = None
    rest = iter(argv)
    for argument in rest:
        name, equals, value = argument.partition("=")
        if name in ("--local_rank", "--local-rank"):
            rank = value if equals else next(rest, "")
            if not rank.isdigit():
                raise UserError(f"{name}: expected a number, got '{rank}'")
        else:
            kept.append(argument)
    if rank is not None:
        os.environ.setdefault("LOCAL_RANK", rank)
    return kept


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


def _options(arguments: argparse.Namespace) -> Options:
    """The options of this run, complete and checked."""
    from mihatp_arch.config.check import check_run  # not before the plugins are imported

    options = read_options(arguments.opt)
    options.open("path", "logger")
    force(options, arguments.force_yml)
    options.open("path", "logger")
    if arguments.data is not None:
        replace_data_root(options, demo_data() if arguments.data == "demo" else Path(arguments.data))
    findings = check_run(
        options,
        arguments.command,
        launcher=arguments.launcher,
        experiments=Path.cwd() / "experiments",
        debug=arguments.debug,
        auto_resume=arguments.auto_resume,
    )
    _stop(findings.mistakes)
    if os.environ.get("RANK", "0") == "0":
        for warning in findings.warnings:
            print(f"{_PROG}: warning: {warning}", file=sys.stderr)
    return options


def _stop(lines: list[str]) -> None:
    """Print the mistakes, one a line, and stop if there are any."""
    if not lines:
        return
    shown = lines[:_SHOWN]
    if len(lines) > _SHOWN:
        shown[-1] = f"… and {len(lines) - _SHOWN + 1} more mistakes"
    for line in shown[:-1]:
        print(f"{_PROG}: error: {' '.join(line.split())}", file=sys.stderr)
    raise UserError(shown[-1])


def demo_data() -> Path:
    """The embedded data, built once below the current folder."""
    from datasets_prep.demo import build_demo

    with _writing():
        return build_demo(_DEMO)


def _hand_over(
    options: Options, arguments: argparse.Namespace, pipeline: Callable[[str], None], argv: list[str]
) -> None:
    """Call BasicSR's pipeline with a command line of its own: the resolved options are the file that it records."""
    with tempfile.TemporaryDirectory(prefix="basicsr-") as folder:
        file = Path(folder) / f"{options.values['name']}.yml"
        yaml_files.write(options.values, file, f"resolved by: {_PROG} {' '.join(argv)}")
        command_line = ["-opt", str(file), "--launcher", arguments.launcher]
        command_line += ["--auto_resume"] * arguments.auto_resume + ["--debug"] * arguments.debug
        with _command_line(command_line), signals_noted():
            try:
                pipeline(os.getcwd())
            finally:
                if torch.distributed.is_initialized():
                    torch.distributed.destroy_process_group()


@contextmanager
def _writing() -> Iterator[None]:
    """Turn a full, missing or write-protected place into a line; other failures of the system pass through."""
    try:
        yield
    except OSError as error:
        if error.errno not in _NO_PLACE:
            raise
        raise UserError(f"cannot write '{error.filename or Path.cwd()}': {os.strerror(error.errno)}") from error


@contextmanager
def _command_line(arguments: list[str]) -> Iterator[None]:
    before = sys.argv
    sys.argv = [before[0], *arguments]
    try:
        yield
    finally:
        sys.argv = before


if __name__ == "__main__":
    sys.exit(main())
