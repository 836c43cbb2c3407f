"""The `mihatp` command: one module of this package for each of its commands."""

import sys
from collections.abc import Mapping, Sequence
from types import ModuleType

from mihatp_cli import (
    benchmark,
    check,
    command_line,
    demo,
    export,
    nuclei,
    options,
    prepare,
    runs,
    upscale,
    view,
    weights,
)
from mihatp_cli.nuclei import downstream

PROG = "mihatp"
_COMMANDS: Mapping[str, ModuleType] = {
    "upscale": upscale,
    "view": view,
    "prepare": prepare,
    "check": check,
    "runs": runs,
    "export": export,
    "benchmark": benchmark,
    "downstream": downstream,
    "demo": demo,
    "nuclei": nuclei,
    "options": options,
    "weights": weights,
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run one `mihatp` command; 0 done, 2 a mistake (one line on stderr), 3 done in part, 130 interrupted."""
    given = list(sys.argv[1:] if argv is None else argv)
    return command_line.run(PROG, lambda: _main(given), debug="--debug" in given)


def _main(argv: list[str]) -> int:
    args = _parser().parse_args(argv)
    return _COMMANDS[args.mihatp_command].run(args)


def _parser() -> command_line.Parser:
    parser = command_line.Parser(prog=PROG, description="Super-resolution of pathology images and slides.")
    command_line.add_version(parser)
    command_line.add_commands(parser, _COMMANDS, dest="mihatp_command")
    return parser


if __name__ == "__main__":
    sys.exit(main())
