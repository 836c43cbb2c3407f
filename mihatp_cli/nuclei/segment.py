"""`mihatp nuclei segment`."""

import argparse
import sys
from pathlib import Path

from mihatp_cli.nuclei import arguments

SUMMARY = "Segment the nuclei of a slide, and write them for QuPath."


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.add_argument("slide", type=Path, metavar="SLIDE", help="a slide, or a picture")
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="GEOJSON", help="the new file")
    parser.add_argument("--tissue", type=Path, metavar="GEOJSON", help="compute inside these outlines, from QuPath")
    arguments.add_arguments(parser, overwritten="GEOJSON")


def run(args: argparse.Namespace) -> int:
    """Segment the slide and print the number of nuclei."""
    options = arguments.options_of(args, tissue=args.tissue)
    from mihatp_arch.inference.nuclei.segment_slide import segment_slide

    result = segment_slide(args.slide, args.output, options, overwrite=args.overwrite)
    for note in result.notes:
        print(f"{args.slide.name}: {note}", file=sys.stderr)
    tiles = f"{result.computed.sum()} of {result.computed.size} tiles computed"
    print(f"{args.output}: {len(result.nuclei)} nuclei, {tiles}")
    return 0
