"""`mihatp demo`."""

import argparse
from pathlib import Path

SUMMARY = "Train and compare small networks on the embedded data, on the CPU."


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.add_argument("-o", "--output", type=Path, default=Path("demo"), metavar="OUT", help="default: demo")
    parser.add_argument(
        "--iterations", type=int, default=500, metavar="N", help="training iterations of each network (default: 500)"
    )


def run(args: argparse.Namespace) -> int:
    """Run the demo; 0, or 3 where a method failed."""
    from mihatp_arch.evaluation.demo import run_demo

    return run_demo(output=args.output, iterations=args.iterations)
