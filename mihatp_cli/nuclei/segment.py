"""`mihatp nuclei segment`."""

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from datasets_prep.common.errors import UserError
from mihatp_cli.nuclei import arguments

if TYPE_CHECKING:
    from mihatp_arch.inference.nuclei.options import NucleiOptions
    from mihatp_arch.inference.nuclei.segment_slide import SlideNuclei

SUMMARY = "Segment the nuclei of slides, and write them for QuPath."


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.add_argument("slides", type=Path, nargs="+", metavar="SLIDE", help="slides, pictures, folders of them")
    parser.add_argument(
        "-o",
        "--output",
        type=Path,
        required=True,
        metavar="OUT",
        help=".geojson for one slide, folder for more of them",
    )
    parser.add_argument("--resume", action="store_true", help="leave outputs that exist, and write the others")
    parser.add_argument("--tissue", type=Path, metavar="GEOJSON", help="compute inside these outlines, from QuPath")
    arguments.add_arguments(parser, overwritten="outputs that exist")


def run(args: argparse.Namespace) -> int:
    """Segment the slides and print the number of nuclei; 0, 3 where some of them failed, 2 where all of them failed."""
    if args.resume and args.overwrite:
        raise UserError("--resume leaves outputs that exist, --overwrite replaces them: give one of them")
    options = arguments.options_of(args, tissue=args.tissue)
    slide = args.slides[0]
    if len(args.slides) == 1 and not slide.is_dir() and not args.output.is_dir():
        return _segment_one(slide, args, options)
    from mihatp_arch.inference.nuclei.segment_slides import plan_outputs, segment_slides

    outputs = plan_outputs(args.slides, args.output, lambda line: print(f"note: {line}", file=sys.stderr))
    outcome = segment_slides(outputs, options, overwrite=args.overwrite, resume=args.resume, done=_print)
    counts = {"segmented": outcome.written, "existed": outcome.existed, "failed": len(outcome.failed)}
    print(f"{args.output}: slides: {', '.join(f'{number} {name}' for name, number in counts.items() if number)}")
    if not outcome.failed:
        return 0
    print(f"{len(outcome.failed)} of {len(outputs)} slides could not be segmented:", file=sys.stderr)
    print("\n".join(f"  {line}" for line in outcome.failed), file=sys.stderr)
    return 3 if outcome.written or outcome.existed else 2


def _segment_one(slide: Path, args: argparse.Namespace, options: "NucleiOptions") -> int:
    from mihatp_arch.inference.nuclei.segment_slide import segment_slide

    if args.resume and args.output.exists():
        print(f"{args.output}: it existed")
        return 0
    _print(args.output, segment_slide(slide, args.output, options, overwrite=args.overwrite))
    return 0


def _print(output: Path, result: "SlideNuclei") -> None:
    for note in result.notes:
        print(f"{result.path.name}: {note}", file=sys.stderr)
    print(f"{output}: {len(result.nuclei)} nuclei, {result.computed.sum()} of {result.computed.size} tiles computed")
