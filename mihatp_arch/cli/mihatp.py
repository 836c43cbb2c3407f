"""The `mihatp` command: what surrounds BasicSR's training and testing."""

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from datasets_prep.tiles import build_from_tiles
from mihatp_arch.cli import report

PROG = "mihatp"


def _prepare(args: argparse.Namespace) -> None:
    built = build_from_tiles(
        args.tiles,
        args.output,
        manifest=args.manifest,
        scales=args.scales,
        patch_size=args.patch_size,
        tests=args.tests,
        seed=args.seed,
        train_patches=args.train_patches,
        val_patches=args.val_patches,
        test_patches=args.test_patches,
        overwrite=args.overwrite,
    )
    for split, count in built.counts.items():
        print(f"{split:8}{count:6} patches, patients: {built.patients[split]}")
    print(f"{args.output}: {built.tiles} tiles; {built.near_empty} near-empty patches dropped, ", end="")
    print(f"{built.over_limit} over the limit left out")


def _demo(args: argparse.Namespace) -> None:
    from mihatp_arch.evaluation.demo import run_demo  # matplotlib, which `prepare` does without

    options = {} if args.iterations is None else {"iterations": args.iterations}
    run_demo(output=args.output, **options)


def _parser() -> report.Parser:
    parser = report.Parser(prog=PROG, description="Pathology super-resolution beside BasicSR.")
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")

    def add(name: str, body: Callable[[argparse.Namespace], None], summary: str) -> argparse.ArgumentParser:
        command = commands.add_parser(name, help=summary, description=summary)
        command.add_argument("--debug", action="store_true", help="show the traceback of an error")
        command.set_defaults(body=body)
        return command

    prepare = add("prepare", _prepare, "Cut image tiles into patient-disjoint BasicSR LMDBs.")
    prepare.add_argument("--tiles", type=Path, required=True, metavar="DIR", help="folder of 40x image tiles")
    prepare.add_argument("-o", "--output", type=Path, required=True, metavar="OUT", help="new data set folder")
    prepare.add_argument("--manifest", type=Path, metavar="CSV", help="columns image, patient and split (optional)")
    prepare.add_argument("--scales", type=int, nargs="+", default=[2, 4, 8], metavar="K", help="default: 2 4 8")
    prepare.add_argument("--patch-size", type=int, default=192, metavar="PX", help="HR pixels (default: 192)")
    prepare.add_argument("--tests", type=int, default=5, metavar="N", help="disjoint test sets (default: 5)")
    prepare.add_argument("--train-patches", type=int, default=2000, metavar="N", help="at most (default: 2000)")
    prepare.add_argument("--val-patches", type=int, default=100, metavar="N", help="at most (default: 100)")
    prepare.add_argument("--test-patches", type=int, default=100, metavar="N", help="at most, each set (default: 100)")
    prepare.add_argument("--seed", type=int, default=0, help="of splits and choice of patches (default: 0)")
    prepare.add_argument("--overwrite", action="store_true", help="replace a data set that is there")

    demo = add("demo", _demo, "Train and compare small networks on the embedded data, on the CPU.")
    demo.add_argument("-o", "--output", type=Path, default=Path("demo"), metavar="OUT", help="default: demo")
    demo.add_argument("--iterations", type=int, metavar="N", help="training iterations of each network")
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run one `mihatp` command; 0 done, 2 a mistake of the user (one line on stderr), 130 interrupted."""
    given = list(sys.argv[1:] if argv is None else argv)
    return report.run(PROG, lambda: _main(given), debug="--debug" in given)


def _main(argv: list[str]) -> None:
    args = _parser().parse_args(argv)
    args.body(args)
