"""The `basicsr` command: its arguments are read here, all else is imported only when a pipeline runs.

basicsr train -opt options/train_MiHATP_x8.yml
basicsr train -opt options/train_HAT_x4.yml options/overlays/tiny.yml --data demo --force_yml train:total_iter=100
basicsr test -opt options/train_MiHATP_x8.yml
torchrun --nproc_per_node 4 $(which basicsr) train --launcher pytorch -opt options/train_MiHATP_x8.yml
"""

import argparse
import multiprocessing
import os
import sys
from collections.abc import Sequence

from datasets_prep.common.errors import UserError
from mihatp_cli import command_line

if multiprocessing.parent_process() is not None:
    # A DataLoader worker that `spawn` starts imports this main module and then unpickles a data set of basicsr, which
    # can be imported only after mihatp_arch.compat.
    import mihatp_arch  # noqa: F401

PROG = "basicsr"
_COMMANDS = {
    "train": "train by an option file",
    "test": "test by an option file; a training file tests its val sets with the network that it trained",
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run `basicsr` with the arguments `argv` (default: the command line) and return its exit code."""
    given = list(sys.argv[1:] if argv is None else argv)
    return command_line.run(PROG, lambda: _main(given), debug="--debug" in given)


def _main(argv: list[str]) -> None:
    arguments = _parser().parse_args(_without_local_rank(argv))
    from mihatp_cli.basicsr_pipeline import run_pipeline

    run_pipeline(arguments, typed=[PROG, *argv])


def _parser() -> command_line.Parser:
    parser = command_line.Parser(prog=PROG, description="Train and test with BasicSR 1.4.2 and its plugins.")
    command_line.add_version(parser)
    commands = parser.add_subparsers(dest="command", required=True, metavar="{train,test}")
    for name, summary in _COMMANDS.items():
        _add_arguments(commands.add_parser(name, help=summary, description=summary))
    return parser


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    command_line.add_opt(parser, help="option files, merged left to right; also names that `mihatp options` lists")
    command_line.add_data(parser)
    parser.add_argument(
        "--force_yml", nargs="+", action="extend", default=[], metavar="KEY:KEY=VALUE", help="set single values"
    )
    parser.add_argument("--launcher", choices=["none", "pytorch", "slurm"], default="none")
    parser.add_argument("--auto_resume", action="store_true", help="resume from the newest training state")
    parser.add_argument(
        "--check-data",
        choices=["quick", "full"],
        default="quick",
        help="full: decode all images of all data sets before the start (default: quick, the first ones)",
    )
    parser.add_argument("--debug", action="store_true", help="BasicSR's debug mode; errors with their traceback")


def _without_local_rank(argv: list[str]) -> list[str]:
    """Drop `--local-rank=N`, which torch.distributed.launch puts before the sub-command; the environment carries it."""
    others: list[str] = []
    rank = None
    rest = iter(argv)
    for argument in rest:
        name, equals, value = argument.partition("=")
        if name in ("--local_rank", "--local-rank"):
            rank = value if equals else next(rest, "")
            if not rank.isdigit():
                raise UserError(f"{name}: expected a number, got '{rank}'")
        else:
            others.append(argument)
    if rank is not None:
        os.environ.setdefault("LOCAL_RANK", rank)
    return others


if __name__ == "__main__":
    sys.exit(main())
