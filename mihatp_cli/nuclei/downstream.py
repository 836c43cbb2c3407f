"""`mihatp downstream`."""

import argparse
import sys
from pathlib import Path

SUMMARY = "Table 2: nuclei that a segmentation network finds on HR, bicubic interpolation and super-resolution."


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.add_argument("-opt", type=Path, metavar="YAML", help="a file with the options below, by their names")
    parser.add_argument(
        "-o", "--output", type=Path, required=True, metavar="DIR", help="folder for tables and pictures"
    )
    parser.add_argument(
        "--data", type=Path, metavar="DIR", help="a split of `mihatp nuclei prepare`: images and labels"
    )
    parser.add_argument(
        "--segmenter", metavar="NAME|FILE", help="a HoVer-Net: bundled, an experiment or a file (default: nuclei-light)"
    )
    parser.add_argument("--scales", type=int, nargs="+", metavar="K", help="of the tables (default: 2 4 8)")
    parser.add_argument(
        "--weights",
        nargs="+",
        metavar="NAME|FILE",
        help="networks for super-resolution, as `mihatp upscale` takes them",
    )
    parser.add_argument(
        "--benchmarks", type=Path, nargs="+", metavar="DIR", help="output folders of `mihatp benchmark`: all networks"
    )
    parser.add_argument("--kernel", choices=["area", "bicubic"], help="how LR is made for bicubic (default: area)")
    parser.add_argument(
        "--window", type=int, metavar="PX", help="side of the segmenter's windows (default: 256 or 270)"
    )
    parser.add_argument(
        "--radius", type=float, metavar="PX", help="largest distance of paired centres in F_d and ACC (default: 12)"
    )


def run(args: argparse.Namespace) -> int:
    """Make the tables, print the Markdown; 0."""
    from mihatp_arch.evaluation.nuclei.downstream import run_downstream
    from mihatp_arch.evaluation.nuclei.downstream_options import read_options

    names = ("data", "segmenter", "scales", "weights", "benchmarks", "kernel", "window", "radius")
    options = read_options(args.opt, {name: getattr(args, name) for name in names})
    table = run_downstream(options, args.output, lambda line: print(line, file=sys.stderr))
    print(table.read_text(encoding="utf-8"))
    return 0
