"""What the scripts share in front: arguments, tables on stdout, CSV files and plots."""

import argparse
import csv
import importlib.util
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from children import ALLOCATORS
from machine import describe, hardware
from matplotlib.figure import Figure

from datasets_prep.common.cores import usable_cores
from datasets_prep.common.errors import reason_of
from mihatp_arch.archs.fast.choice_file import default_file, machine_key, read_choices
from mihatp_arch.archs.fast.fast_setting import fast_setting

Row = Mapping[str, str | float | None]


@dataclass(frozen=True)
class Settings:
    """How to measure; goes to the processes that do."""

    device: str
    threads: int
    repeats: int
    groups: int
    quick: bool
    allocators: tuple[str, ...]
    output: Path

    def apply(self) -> "Settings":
        """In a process that measures."""
        torch.set_num_threads(self.threads)
        return self


def common_arguments(description: str) -> argparse.ArgumentParser:
    """The options of every script; `common_settings` reads them."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a minute: fewer sizes, two rounds")
    parser.add_argument("--repeats", type=positive, help="rounds after warm-up (default: 5, quick: 2)")
    parser.add_argument(
        "--output", type=Path, default=Path(__file__).with_name("results"), help="folder of CSV and PNG"
    )
    return parser


def arguments(description: str) -> argparse.ArgumentParser:
    """The options of every script about networks; `settings` reads them."""
    parser = common_arguments(description)
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument(
        "--threads", type=positive, default=usable_cores(), help="of torch on the CPU (default: all cores)"
    )
    parser.add_argument("--groups", type=positive, default=6, help="groups of the networks; 6 is HAT's depth")
    parser.add_argument("--allocator", choices=[*ALLOCATORS, "both"], default="both", help="of memory on the CPU")
    return parser


def positive(text: str) -> int:
    """A whole number of at least 1, for argparse."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of at least 1")
    return int(text)


def common_settings(parser: argparse.ArgumentParser, args: argparse.Namespace) -> Settings:
    """Those of a script that runs no network: one thread, on the CPU. A mistake is one line and exit code 2."""
    _make_output(parser, args)
    return Settings("cpu", 1, _repeats(args), 0, args.quick, (), args.output)


def settings(parser: argparse.ArgumentParser, args: argparse.Namespace) -> Settings:
    """Check what argparse cannot; a mistake is one line and exit code 2."""
    if args.device == "cuda" and not torch.cuda.is_available():
        parser.error("--device cuda: torch finds no GPU here")
    if importlib.util.find_spec("spandrel") is None:
        parser.error("the peer is missing: pip install spandrel")
    _make_output(parser, args)
    allocators = tuple(ALLOCATORS) if args.allocator == "both" else (args.allocator,)
    if args.device == "cuda":
        allocators = ("default",)  # they concern the CPU's memory
    return Settings(args.device, args.threads, _repeats(args), args.groups, args.quick, allocators, args.output)


def _repeats(args: argparse.Namespace) -> int:
    return args.repeats or (2 if args.quick else 5)


def _make_output(parser: argparse.ArgumentParser, args: argparse.Namespace) -> None:
    try:
        args.output.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        parser.error(f"--output {args.output}: {reason_of(error)}")


class Report:
    """Tables and plots of one script, on stdout and in the output folder."""

    def __init__(self, script: str, settings: Settings) -> None:
        self.script, self.output = script, settings.output
        self.settings = settings
        self.machine, self.processor = describe(settings.device, settings.threads), hardware(settings.device)
        print(self.machine, flush=True)

    def table(self, title: str, rows: Sequence[Row], *, part: str = "") -> None:
        """Print the rows with the processor beside each, and write them to `<script>_<part>.csv` with the machine."""
        columns = list(dict.fromkeys(key for row in rows for key in row))
        cells = [[*columns, "processor"]]
        cells += [[*(shown(row.get(column)) for column in columns), self.processor] for row in rows]
        widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
        print(f"\n{title}")
        for line in cells:
            first, *rest = (text.ljust(width) for text, width in zip(line, widths, strict=True))
            print("  ".join([first, *rest]).rstrip(), flush=True)
        with self._path(part, ".csv").open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, [*columns, "machine"], lineterminator="\n")
            writer.writeheader()
            writer.writerows([{**row, "machine": self.machine} for row in rows])

    def choices(self) -> None:
        """The ways that inference on this processor takes, as far as they were ever measured (`MIHATP_FAST`)."""
        if self.settings.device == "cpu" and fast_setting().calibrated:
            threads = f", {self.settings.threads} threads"
            stored = read_choices(default_file(), machine_key()).items()
            rows = [{"layer": key.removesuffix(threads), "way": way} for key, way in stored if key.endswith(threads)]
            self.table("Ways that calibration chose", rows, part="choices")

    def bars(self, rows: Sequence[Row], value: str, *, labels: Sequence[str], part: str = "") -> None:
        """One horizontal bar for every row that has `value`, called by the columns `labels`."""
        rows = [row for row in rows if isinstance(row.get(value), float) and not math.isnan(float(row[value] or 0))]
        if not rows:
            return
        names = [", ".join(str(row[label]) for label in labels if row.get(label)) for row in rows]
        figure = Figure(figsize=(9, 1 + 0.3 * len(rows)), layout="constrained")
        axes = figure.add_subplot()
        drawn = axes.barh(range(len(rows)), [float(row[value] or 0) for row in rows])
        axes.bar_label(drawn, [shown(row[value]) for row in rows], padding=3)
        axes.margins(x=0.1)  # for the numbers
        axes.set_yticks(range(len(rows)), names)
        axes.invert_yaxis()
        self._save(figure, value, part)

    def lines(self, rows: Sequence[Row], x: str, y: str, *, label: str, part: str = "") -> None:
        """`y` over `x`, a line for each value of the column `label`; axes that start at 0 show what is linear."""
        figure = Figure(figsize=(7, 4.5), layout="constrained")
        axes = figure.add_subplot()
        for name in dict.fromkeys(row[label] for row in rows):
            points = [(float(row[x] or 0), float(row[y] or 0)) for row in rows if row[label] == name]
            axes.plot(*zip(*points, strict=True), marker="o", label=name)
        axes.set(xlim=(0, None), ylim=(0, None), ylabel=y)
        axes.legend()
        self._save(figure, x, part)

    def _save(self, figure: Figure, label: str, part: str) -> None:
        axes = figure.axes[0]
        axes.set_xlabel(label)
        axes.set_title(self.machine, fontsize=7)
        figure.savefig(self._path(part, ".png"), dpi=120)

    def _path(self, part: str, ending: str) -> Path:
        return self.output / ("_".join(filter(None, (self.script, part))) + ending)


def shown(value: str | float | None) -> str:
    """A cell as text: three figures, whole numbers as they are, nothing for what was not measured."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return "-"
    if isinstance(value, float):
        return f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"
    return str(value)
