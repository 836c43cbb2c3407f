"""The `mihatp` command: what surrounds BasicSR's training and testing."""

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from datasets_prep import command as arguments
from mihatp_cli import benchmark
from mihatp_cli import command_line as report

PROG = "mihatp"


def _check(args: argparse.Namespace) -> int:
    from datasets_prep.check.check import check_dataset

    report_ = check_dataset(args.folder)
    print(report_.text())
    return 2 if report_.faults else 0


def _demo(args: argparse.Namespace) -> int:
    from mihatp_arch.config.check import training_mistakes
    from mihatp_arch.evaluation.demo import run_demo  # matplotlib, which `prepare` does without

    options = {} if args.iterations is None else {"iterations": args.iterations}
    return run_demo(output=args.output, check=training_mistakes, **options)


def _runs(args: argparse.Namespace) -> int:
    from mihatp_arch import experiments

    print(experiments.table(experiments.list_runs(args.folder)))
    return 0


def _export(args: argparse.Namespace) -> int:
    from mihatp_arch import experiments

    source = experiments.export(args.experiment, args.output, weights=args.weights)
    print(f"{args.output}: the averaged weights of {source}, or its plain ones where it has no average")
    return 0


def _parser() -> report.Parser:
    parser = report.Parser(prog=PROG, description="Pathology super-resolution beside BasicSR.")
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")

    def add(name: str, body: Callable[[argparse.Namespace], int], summary: str) -> argparse.ArgumentParser:
        command = commands.add_parser(name, help=summary, description=summary)
        command.add_argument("--debug", action="store_true", help="show the traceback of an error")
        command.set_defaults(body=body)
        return command

    arguments.add_arguments(add("prepare", arguments.run, arguments.SUMMARY))

    check = add("check", _check, "Look a prepared data set over: pairs, sizes, pixels, leakage.")
    check.add_argument("folder", type=Path, metavar="DATASET", help="what `mihatp prepare` wrote, or LMDBs like it")

    runs = add("runs", _runs, "List experiments: iteration, best results, size.")
    runs.add_argument("folder", type=Path, nargs="?", default=Path("experiments"), metavar="DIR", help="experiments")

    export = add("export", _export, "Write a trained network as one safetensors file that says what it is.")
    export.add_argument("experiment", type=Path, metavar="EXPERIMENT", help="its folder, experiments/<name>")
    export.add_argument("-o", "--output", type=Path, required=True, metavar="FILE", help="new .safetensors file")
    export.add_argument("--weights", type=Path, metavar="PTH", help="one of its net_g (default: the best, else newest)")

    benchmark.add_arguments(add("benchmark", benchmark.run, benchmark.SUMMARY))

    demo = add("demo", _demo, "Train and compare small networks on the embedded data, on the CPU.")
    demo.add_argument("-o", "--output", type=Path, default=Path("demo"), metavar="OUT", help="default: demo")
    demo.add_argument("--iterations", type=int, metavar="N", help="training iterations of each network")
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run one `mihatp` command; 0 done, 2 a mistake (one line on stderr), 3 done in part, 130 interrupted."""
    given = list(sys.argv[1:] if argv is None else argv)
    return report.run(PROG, lambda: _main(given), debug="--debug" in given)


def _main(argv: list[str]) -> int:
    args = _parser().parse_args(argv)
    return args.body(args)
