"""`mihatp nuclei prepare`."""

import argparse
import sys
from pathlib import Path

SUMMARY = "Make pairs of tissue and coded label maps, which HoVerNetModel trains on, of a data set of nuclei."


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.add_argument(
        "source",
        type=Path,
        metavar="SOURCE",
        help="folder of CoNSeP (Train and Test with Images and Labels), a folder with images and labels, or a CSV with "
        "the columns image and instances, and as needed points, patient, split and mpp",
    )
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="DIR", help="the new folder")
    types = parser.add_mutually_exclusive_group()
    types.add_argument(
        "--classes", nargs="+", metavar="NAME", help="names of the types 1, 2, … in points and GeoJSON files"
    )
    types.add_argument("--no-classes", action="store_true", help="leave the types of the nuclei out")
    types.add_argument(
        "--raw-types", action="store_true", help="keep the seven types of CoNSeP, which are else merged to four"
    )
    parser.add_argument(
        "--radius", type=float, default=6.0, metavar="PX", help="of the disc of a point without an outline (default 6)"
    )
    parser.add_argument("--allow-empty", action="store_true", help="use images without nuclei as background")
    parser.add_argument("--seed", type=int, default=0, help="of the splits that the source does not state (default 0)")
    parser.add_argument("--overwrite", action="store_true", help="replace DIR if this command wrote it")


def run(args: argparse.Namespace) -> int:
    """Prepare the data set and print a table of its splits."""
    from mihatp_arch.nuclei.data.prepare import PrepareOptions, prepare

    options = PrepareOptions(
        classes=args.classes,
        typed=not args.no_classes,
        raw_types=args.raw_types,
        radius=args.radius,
        allow_empty=args.allow_empty,
        seed=args.seed,
    )
    report = prepare(args.source, args.output, options=options, overwrite=args.overwrite)
    for note in report.notes:
        print(f"note: {note}", file=sys.stderr)
    print(report.text())
    return 0
