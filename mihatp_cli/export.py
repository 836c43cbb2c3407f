"""`mihatp export`."""

import argparse
from pathlib import Path

SUMMARY = "Write a trained network and its options as one safetensors file."


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.add_argument("experiment", type=Path, metavar="EXPERIMENT", help="its folder, experiments/<name>")
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="FILE", help="new .safetensors file")
    parser.add_argument("--weights", type=Path, metavar="PTH", help="one of its net_g (default: the best, else newest)")


def run(args: argparse.Namespace) -> int:
    """Export the network and say which weights it has."""
    from mihatp_arch import experiments

    source = experiments.export(args.experiment, args.output, weights=args.weights)
    print(f"{args.output}: the weights of {source} (averaged where that file has averaged weights)")
    return 0
