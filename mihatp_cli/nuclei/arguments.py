"""The arguments of the commands that segment slides."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from datasets_prep.common.errors import UserError

if TYPE_CHECKING:
    from mihatp_arch.inference.nuclei.options import NucleiOptions


def add_arguments(parser: argparse.ArgumentParser, *, overwritten: str) -> None:
    """Add the arguments; `overwritten` is what --overwrite replaces."""
    parser.add_argument("--overwrite", action="store_true", help=f"replace {overwritten}")
    parser.add_argument(
        "--weights",
        default="nuclei-light",
        metavar="NAME|FILE",
        help="a HoVer-Net: bundled weights, a file of `mihatp export`, the folder of an experiment, or an official "
        "checkpoint (default: nuclei-light)",
    )
    parser.add_argument("--assume-mpp", type=float, metavar="UM", help="µm per pixel of slides that do not state it")
    parser.add_argument(
        "--override-mpp", type=float, metavar="UM", help="µm per pixel of all slides, whatever they state"
    )
    parser.add_argument(
        "--force", action="store_true", help="enlarge slides coarser than 0.31 µm/px, instead of refusing them"
    )
    parser.add_argument("--whole", action="store_true", help="compute the glass too")
    execution = parser.add_argument_group("execution")
    execution.add_argument("--device", default="auto", metavar="NAME", help="cpu, cuda, cuda:1, … (default: auto)")
    execution.add_argument(
        "--workers", type=int, metavar="N", help="processes of the post-processing (default: cores minus 1, at most 8)"
    )
    execution.add_argument("--batch", type=int, default=1, metavar="N", help="windows at the same time (default: 1)")
    execution.add_argument("--window", type=int, metavar="PX", help="side of the network's input (default: about 560)")
    execution.add_argument(
        "--tile", type=int, default=1400, metavar="PX", help="side of what is post-processed at once (default: 1400)"
    )


def options_of(args: argparse.Namespace, *, tissue: Path | None = None) -> "NucleiOptions":
    """The options. Raises `UserError` for a value out of its range."""
    from datasets_prep.slides.resolution import refuse_absurd

    refuse_absurd("--assume-mpp", args.assume_mpp)
    refuse_absurd("--override-mpp", args.override_mpp)
    for name in ("batch", "workers", "tile"):
        value = getattr(args, name)
        if value is not None and value < 1:
            raise UserError(f"--{name} {value}: at least 1 is needed")
    if args.whole and tissue is not None:
        raise UserError("--whole computes everything, --tissue only its outlines: give one of them")
    from mihatp_arch.inference.nuclei.options import NucleiOptions

    return NucleiOptions(
        weights=args.weights,
        device=args.device,
        assume_mpp=args.assume_mpp,
        override_mpp=args.override_mpp,
        force=args.force,
        tissue=tissue,
        whole=args.whole,
        workers=args.workers,
        batch=args.batch,
        window=args.window,
        tile=args.tile,
    )
