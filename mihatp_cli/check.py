"""`mihatp check`."""

import argparse
from pathlib import Path

SUMMARY = "Check a prepared data set: pairs, sizes, pixels, leakage between splits."


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.add_argument(
        "folder", type=Path, metavar="DATASET", help="a data set of `mihatp prepare`, or LMDBs of the same layout"
    )


def run(args: argparse.Namespace) -> int:
    """Check the data set and print the report; 0, or 2 where it has faults."""
    from datasets_prep.check.check import check_dataset

    report = check_dataset(args.folder)
    print(report.text())
    return 2 if report.findings else 0
