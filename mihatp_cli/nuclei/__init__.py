"""`mihatp nuclei`: one module of this package for each of its commands."""

import argparse
from collections.abc import Mapping
from types import ModuleType

from mihatp_cli import command_line
from mihatp_cli.nuclei import compare, prepare, segment

SUMMARY = "Nuclei: prepare the data of a training, segment slides, compare two slides."
_COMMANDS: Mapping[str, ModuleType] = {
    "prepare": prepare,
    "segment": segment,
    "compare": compare,
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the commands, each with its arguments."""
    command_line.add_commands(parser, _COMMANDS, dest="nuclei_command")


def run(args: argparse.Namespace) -> int:
    """Run the chosen command; its exit code."""
    return _COMMANDS[args.nuclei_command].run(args)
