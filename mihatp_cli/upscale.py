"""`mihatp upscale`."""

import argparse
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from datasets_prep.common.errors import UserError, reason_of
from mihatp_cli import slide_arguments

if TYPE_CHECKING:
    from mihatp_arch.inference.choose_network import ChooseNetwork
    from mihatp_arch.inference.folders import Outcome, Plan
    from mihatp_arch.inference.inputs import Inputs
    from mihatp_arch.inference.slides.command import SlidesRun
    from mihatp_arch.inference.upscale import Upscaler

SUMMARY = "Super-resolve pictures, folders of pictures, and whole slides."

_PICTURE_FORMATS = ("png", "jpg", "tiff")
_SLIDE_FORMATS = ("tiff", "svs", "ome")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.add_argument(
        "inputs", type=Path, nargs="+", metavar="IN", help="PNG, JPEG and TIFF pictures, slides, folders of them"
    )
    parser.add_argument(
        "-o", "--output", type=Path, required=True, metavar="OUT", help="file for one input, folder for more of them"
    )
    size = parser.add_mutually_exclusive_group()
    size.add_argument("--scale", type=int, metavar="K", help="enlarge K times; 2, 4 and 8 have bundled weights")
    size.add_argument("--to-mpp", type=float, metavar="UM", help="enlarge to this many µm per pixel, such as 0.25")
    parser.add_argument(
        "--assume-mpp", type=float, metavar="UM", help="µm per pixel of inputs that state none, or 72 dpi and the like"
    )
    parser.add_argument(
        "--override-mpp", type=float, metavar="UM", help="µm per pixel of all inputs, whatever they state"
    )
    files = parser.add_argument_group("output")
    files.add_argument(
        "--format",
        choices=sorted({*_PICTURE_FORMATS, *_SLIDE_FORMATS}),
        help="of the files in a folder; pictures: png, jpg, tiff (default: as the input); "
        "slides: tiff, svs, ome (default: tiff)",
    )
    existing = files.add_mutually_exclusive_group()
    existing.add_argument("--resume", action="store_true", help="leave outputs that exist, and write the others")
    existing.add_argument("--overwrite", action="store_true", help="replace outputs that exist")
    files.add_argument("--view", action="store_true", help="then show input and output in the browser (`mihatp view`)")
    network = parser.add_argument_group("network")
    network.add_argument(
        "--weights",
        metavar="NAME|FILE",
        help="he-light-x2, -x4, -x8, a file of `mihatp export`, the folder of an experiment, or any file that spandrel "
        "knows (default: the bundled weights of the scale)",
    )
    network.add_argument("--ensemble", action="store_true", help="average over eight symmetries: better, 8x the time")
    network.add_argument(
        "--consistent",
        action=argparse.BooleanOptionalAction,
        help="change SR as little as possible so that its reduction is exactly the input",
    )
    network.add_argument("--tile", type=int, metavar="PX", help="largest side of the network's input (default: 160)")
    network.add_argument(
        "--batch",
        type=int,
        metavar="N",
        help="tiles at the same time (default: one a core; on a GPU by its memory)",
    )
    network.add_argument("--device", default="auto", metavar="NAME", help="cpu, cuda, cuda:1, … (default: auto)")
    network.add_argument("--precision", choices=["fp32", "bf16"], default="fp32", help="default: fp32")
    slide_arguments.add_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Upscale the inputs; 0, or 3 where some of them failed, or 2 where all of them failed."""
    from datasets_prep.slides.resolution import refuse_absurd
    from mihatp_arch.inference.inputs import find_inputs

    if args.to_mpp is not None and not 0.01 < args.to_mpp < 100:
        raise UserError(f"--to-mpp {args.to_mpp:g}: give µm per pixel, such as 0.25")
    refuse_absurd("--assume-mpp", args.assume_mpp)
    refuse_absurd("--override-mpp", args.override_mpp)
    if args.view and (len(args.inputs) > 1 or args.inputs[0].is_dir()):
        raise UserError("--view shows one picture or slide: leave it out, and give `mihatp view` two of the files")
    inputs = find_inputs(args.inputs)
    for note in inputs.notes:
        _say(note)
    try:
        pictures, slides = _plan(args, inputs)
    except PermissionError as error:
        raise UserError(f"{error.filename or args.output}: {reason_of(error)}: give another output") from error
    if pictures is not None and slides is not None:
        slides.batch.check_network()  # before the first picture
    codes = set()
    outputs: dict[Path, Path] = {}
    if pictures is not None:
        codes.add(_upscale_pictures(args, pictures, inputs))
        outputs |= {job.source: job.target for job in pictures.jobs}
    if slides is not None:
        from mihatp_arch.inference.slides.command import run_slides

        codes.add(run_slides(slides, args.output))
        outputs |= slides.outputs
    code = codes.pop() if len(codes) == 1 else 3
    if args.view and code == 0:
        for source, output in outputs.items():
            _view(source, output, args)
    return code


def _plan(args: argparse.Namespace, inputs: "Inputs") -> "tuple[Plan | None, SlidesRun | None]":
    """Decide which picture and which slide goes to which file, and refuse mistakes, before anything is computed."""
    from mihatp_arch.inference.folders import plan
    from mihatp_arch.inference.outputs import refuse_clashes, refuse_inside

    _check_format(args.format, pictures=bool(inputs.pictures), slides=bool(inputs.slides))
    if not inputs.slides and (for_slides := slide_arguments.given(args)):
        raise UserError(f"{', '.join(for_slides)}: for slides alone, and no slide is among the inputs: leave it out")
    refuse_inside(args.inputs, args.output)
    pictures, slides = None, None
    if inputs.pictures:
        existing = "skip" if args.resume else "overwrite" if args.overwrite else "refuse"
        suffix = f".{args.format}" if args.format else None
        pictures = plan(inputs, args.inputs, args.output, suffix=suffix, existing=existing)
    if inputs.slides:
        from mihatp_arch.inference.slides.command import plan_slides

        slides = plan_slides(inputs.slides, args)
    if pictures is not None and slides is not None:
        refuse_clashes(pictures.targets | slides.outputs, beside=slides.beside)
    return pictures, slides


def _view(source: Path, output: Path, args: argparse.Namespace) -> None:
    from mihatp_viewer.scene import open_scene
    from mihatp_viewer.show import show

    mpp = {} if args.override_mpp is None else {source: args.override_mpp}
    with open_scene([source, output], assume_mpp=args.assume_mpp, mpp=mpp) as scene:
        show(scene)


def _check_format(format: str | None, *, pictures: bool, slides: bool) -> None:
    for there_are, kind, formats in ((pictures, "picture", _PICTURE_FORMATS), (slides, "slide", _SLIDE_FORMATS)):
        if there_are and format is not None and format not in formats:
            raise UserError(f"--format {format}: a {kind} is written as {', '.join(formats)}")


def _upscale_pictures(args: argparse.Namespace, planned: "Plan", inputs: "Inputs") -> int:
    from mihatp_arch.inference.folders import upscale_pictures

    outcome = None
    if planned.jobs:
        networks = _networks(args)
        outcome = upscale_pictures(planned.jobs, networks, settle=networks.settled)
    if outcome is not None and outcome.failed and len(inputs.pictures) == 1 and not inputs.slides:
        raise UserError(outcome.failed[0])
    _print(args.output, planned, outcome, skipped=inputs.skipped)
    if outcome is None or not outcome.failed:
        return 0
    return 3 if outcome.written or planned.finished else 2


def _networks(args: argparse.Namespace) -> "ChooseNetwork":
    """The choice of networks; weights that are given are loaded now, so that a mistake in them shows at once."""
    from mihatp_arch.inference.choose_network import ChooseNetwork
    from mihatp_arch.inference.load import bundled_scales

    stated = {"assume_mpp": args.assume_mpp, "override_mpp": args.override_mpp, "say": _say}
    if args.weights is None and args.scale is None:
        if args.to_mpp is None:
            raise UserError(f"give --scale ({', '.join(map(str, bundled_scales()))}), or --weights")
        _load(args, bundled_scales()[0])  # a mistake in the device or the tile shows before the first picture
        return ChooseNetwork(partial(_load, args), bundled_scales(), args.to_mpp, **stated)
    upscaler = _load(args, args.scale)
    return ChooseNetwork(lambda scale: upscaler, [upscaler.scale], args.to_mpp, **stated)


def _say(line: str) -> None:
    print(f"note: {line}", file=sys.stderr)


def _load(args: argparse.Namespace, scale: int | None) -> "Upscaler":
    from mihatp_arch import load

    return load(
        args.weights,
        scale=scale,
        device=args.device,
        precision=args.precision,
        tile=args.tile,
        batch=args.batch,
        ensemble=args.ensemble,
        consistent=bool(args.consistent),
    )


def _print(output: Path, planned: "Plan", outcome: "Outcome | None", *, skipped: int) -> None:
    parts = []
    if outcome is not None:
        how = f" x{', x'.join(map(str, sorted(outcome.scales)))} by {', '.join(sorted(outcome.names))}"
        parts.append(f"{outcome.written} of {len(planned.jobs)} pictures upscaled{how if outcome.written else ''}")
        if outcome.converted:
            parts.append(f"{outcome.converted} grey or palette pictures became RGB")
    if planned.finished:
        parts.append(f"{planned.finished} existed")
    if skipped:
        parts.append(f"{skipped} hidden or other files skipped")
    print(f"{output}: {'; '.join(parts)}")
    if outcome is not None and outcome.failed:
        print(f"{len(outcome.failed)} of {len(planned.jobs)} could not be upscaled:", file=sys.stderr)
        print("\n".join(f"  {line}" for line in outcome.failed), file=sys.stderr)
