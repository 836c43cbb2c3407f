"""The ways in which every command ends: silence, or one clear line and an exit code. And the arguments they share."""

import argparse
import errno
import os
import signal
import sys
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from types import ModuleType
from typing import NoReturn

from datasets_prep.common.errors import UserError
from datasets_prep.common.processes.signals import Stopped, as_sigterm, signals_raised
from datasets_prep.common.version import __version__


class Parser(argparse.ArgumentParser):
    """An argument parser that raises `UserError` for a wrong argument: one line, without the usage above it."""

    def error(self, message: str) -> NoReturn:
        raise UserError(f"{message} (see {self.prog} --help)")


def add_commands(parser: argparse.ArgumentParser, commands: Mapping[str, ModuleType], *, dest: str) -> None:
    """Add the modules of commands by name; the attribute `dest` of the arguments is the name of the chosen one."""
    added = parser.add_subparsers(title="commands", required=True, metavar="COMMAND", dest=dest)
    for name, module in commands.items():
        command = added.add_parser(name, help=module.SUMMARY, description=module.SUMMARY)
        command.add_argument("--debug", action="store_true", help="show the traceback of an error")
        module.add_arguments(command)


def add_version(parser: argparse.ArgumentParser) -> None:
    """Add `--version`."""
    parser.add_argument("--version", action="version", version=f"{parser.prog} (mihatp) {__version__}")


def add_opt(parser: argparse.ArgumentParser, *, help: str) -> None:
    """Add `-opt`, one option file or several ones."""
    parser.add_argument("-opt", "--opt", nargs="+", type=Path, required=True, metavar="YML", help=help)


def add_data(parser: argparse.ArgumentParser) -> None:
    """Add `--data`; `mihatp_cli.data_root` reads its value."""
    parser.add_argument("--data", metavar="DIR|demo", help="read every data set below DIR; demo: the embedded data")


def run(prog: str, body: Callable[[], int | None], *, debug: bool) -> int:
    """Call `body` and turn its end into an exit code: its own or 0, 2 for a mistake of the user, 130 interrupted.

    SIGTERM, SIGHUP and SIGUSR1 end it as Ctrl-C does, with 143.

    `UserError` becomes one line on stderr, `<prog>: error: <message>`; with `debug` the traceback stands above it.
    Every other exception is a fault of this program and passes through.
    """
    try:
        with signals_raised():
            return body() or 0
    except UserError as error:
        if debug:
            traceback.print_exc()
        print(f"{prog}: error: {' '.join(str(error).split())}", file=sys.stderr)
        return 2
    except BrokenPipeError:  # the reader of the output ended first, as `head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # what is left must not fail at exit
        return 128 + signal.SIGPIPE
    except OSError as error:
        if error.errno in (errno.EMFILE, errno.ENFILE):
            print(f"{prog}: error: too many open files: raise the limit (ulimit -n 1024)", file=sys.stderr)
            return 2
        if error.errno != errno.ENAMETOOLONG:
            raise
        print(f"{prog}: error: the name {str(error.filename)[:60]}… is too long for this disk", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(f"{prog}: interrupted", file=sys.stderr)
        return 130
    except Stopped as stopped:
        print(f"{prog}: {stopped}", file=sys.stderr)
        return 128 + as_sigterm(stopped.number)
