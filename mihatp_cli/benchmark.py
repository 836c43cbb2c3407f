"""`mihatp benchmark`."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from datasets_prep.common.errors import UserError
from mihatp_cli import command_line

if TYPE_CHECKING:
    from mihatp_arch.evaluation.run.plan import Plan

SUMMARY = "Train and test methods on the same data and budget; tables, pictures and a report."


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    command_line.add_opt(
        parser,
        help="the benchmark file, then overlays over the options of every method; also names of `mihatp options`",
    )
    parser.add_argument("-o", "--output", type=Path, metavar="DIR", help="default: the name of the benchmark")
    command_line.add_data(parser)
    parser.add_argument("--methods", nargs="+", metavar="NAME", help="of the benchmark file; default: all")
    parser.add_argument("--iterations", type=int, metavar="N", help="the same iterations for every method")
    parser.add_argument("--seconds", type=float, metavar="S", help="the same time of training for every method")
    parser.add_argument("--seeds", type=int, nargs="+", metavar="N", help="train each method with each seed")
    parser.add_argument(
        "--no-consistency", action="store_true", help="no rows with the consistency projection (METHOD*)"
    )
    parser.add_argument("--cohort", choices=["COAD", "BRCA"], help="of the data: the paper's numbers stand beside ours")
    parser.add_argument(
        "--force_yml", nargs="+", action="extend", default=[], metavar="KEY:KEY=VALUE", help="for every method"
    )
    lists = parser.add_mutually_exclusive_group()
    lists.add_argument(
        "--freeze",
        type=Path,
        metavar="CSV",
        help="train nothing: write the patients, images and hashes of the test sets as a frozen list",
    )
    lists.add_argument(
        "--against", type=Path, metavar="CSV", help="refuse test sets that are not those of this frozen list"
    )
    parser.add_argument("--workers", type=int, default=1, metavar="N", help="trainings at once on this machine")
    parser.add_argument("--scheduler", metavar="ADDRESS", help="a Dask scheduler, tcp://host:8786")
    kinds = parser.add_mutually_exclusive_group()
    kinds.add_argument("--ablation", action="store_true", help="the lines of Table 3 instead of the methods")
    kinds.add_argument(
        "--sweep", nargs="+", metavar="NAME=V,V,…", help="tau, beta, lambda, one at a time, instead of the methods"
    )
    parser.add_argument("--storage", metavar="URL", help="where machines share a sweep (default: OUTPUT/sweep.db)")


def run(args: argparse.Namespace) -> int:
    """Run the benchmark, the ablation or the sweep; 0, or 3 where trainings failed."""
    if args.workers < 1:
        raise UserError(f"--workers {args.workers}: at least 1 is needed")
    if args.sweep and (args.workers > 1 or args.scheduler):
        option = "--scheduler" if args.scheduler else "--workers"
        raise UserError(f"{option}: a sweep trains one after another; start this command again to train two at once")
    if args.storage is not None and args.sweep is None:
        raise UserError("--storage: only a sweep has one; give --sweep too")
    from mihatp_arch.evaluation.ablation import run_ablation
    from mihatp_arch.evaluation.benchmark import run_benchmark
    from mihatp_arch.evaluation.frozen_list import check_against
    from mihatp_arch.evaluation.run.benchmark_file import read_plan
    from mihatp_arch.evaluation.run.execute import Setup
    from mihatp_cli.data_root import data_root

    changes = {
        "total_iter": args.iterations,
        "seconds": args.seconds,
        "seeds": args.seeds,
        "cohort": args.cohort,
        "consistency": False if args.no_consistency else None,
    }
    data = None if args.data is None else data_root(args.data)
    plan = read_plan(args.opt, data=data, forced=args.force_yml, methods=args.methods, changes=changes)
    if args.freeze is not None:
        return _freeze(plan, args.freeze)
    if args.against is not None and (args.ablation or args.sweep):
        check_against(plan, args.against)
    output = (args.output or Path(plan.name)).absolute()
    setup = Setup(output, workers=args.workers, scheduler=args.scheduler)
    if args.ablation:
        return run_ablation(plan, setup)
    if args.sweep:
        from mihatp_arch.evaluation.sweep import run_sweep  # it needs optuna, which is optional

        return run_sweep(plan, setup, args.sweep, storage=args.storage)
    return run_benchmark(plan, setup, against=args.against)


def _freeze(plan: "Plan", file: Path) -> int:
    from mihatp_arch.evaluation.frozen_list import freeze, today

    images = freeze(plan, file, date=today())
    print(f"{file}: {images} images")
    return 0
