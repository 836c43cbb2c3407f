"""The `mihatp` command: one module of this package for each of its commands."""

import sys
from collections.abc import Sequence

from mihatp_cli import benchmark, check, command_line, demo, export, options, prepare, runs, upscale, weights

PROG = "mihatp"
_COMMANDS = {
    "upscale": upscale,
    "prepare": prepare,
    "check": check,
    "runs": runs,
    "export": export,
    "benchmark": benchmark,
    "demo": demo,
    "options": options,
    "weights": weights,
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run one `mihatp` command; 0 done, 2 a mistake (one line on stderr), 3 done in part, 130 interrupted."""
    given = list(sys.argv[1:] if argv is None else argv)
    return command_line.run(PROG, lambda: _main(given), debug="--debug" in given)


def _main(argv: list[str]) -> int:
    args = _parser().parse_args(argv)
    return args.run(args)


def _parser() -> command_line.Parser:
    parser = command_line.Parser(prog=PROG, description="Super-resolution of pathology images and slides.")
    command_line.add_version(parser)
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    for name, module in _COMMANDS.items():
        command = commands.add_parser(name, help=module.SUMMARY, description=module.SUMMARY)
        command.add_argument("--debug", action="store_true", help="show the traceback of an error")
        command.set_defaults(run=module.run)
        module.add_arguments(command)
    return parser


if __name__ == "__main__":
    sys.exit(main())
