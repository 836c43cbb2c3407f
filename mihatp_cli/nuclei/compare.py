"""`mihatp nuclei compare`."""

import argparse
import sys
from pathlib import Path

from mihatp_cli.nuclei import arguments

SUMMARY = "Compare the nuclei of two slides of the same field: lost, invented, reshaped."


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.add_argument("first", type=Path, metavar="A", help="the reference, such as a scan")
    parser.add_argument("second", type=Path, metavar="B", help="the other one, such as a super-resolved slide")
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="DIR", help="folder of the report")
    parser.add_argument(
        "--tissue", type=Path, metavar="GEOJSON", help="compute inside these outlines of A, from QuPath, in both slides"
    )
    arguments.add_arguments(parser, overwritten="an earlier report in DIR")


def run(args: argparse.Namespace) -> int:
    """Compare the slides and print a summary."""
    options = arguments.options_of(args, tissue=args.tissue)
    from mihatp_arch.evaluation.nuclei.compare import compare_slides

    compared = compare_slides(args.first, args.second, args.output, options, overwrite=args.overwrite)
    for note in compared.notes:
        print(note, file=sys.stderr)
    counts = compared.result.counts
    print(
        f"{compared.tables}: {counts.hr} nuclei in A, {counts.sr} in B, {counts.matched} in both; of 1000 nuclei of A "
        f"{counts.lost:.1f} are lost, and {counts.invented:.1f} are invented"
    )
    return 0
