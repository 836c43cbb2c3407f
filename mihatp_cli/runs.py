"""`mihatp runs`: a table of the experiments in a folder, read without torch."""

import argparse
import json
import math
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from datasets_prep.common.errors import UserError, reason_of
from datasets_prep.common.text import markdown_table

SUMMARY = "List experiments: iteration, best results, size."


@dataclass(frozen=True)
class Run:
    """One experiment; a number is None where the experiment does not have it.

    Attributes:
        name: of the experiment and its folder.
        total: iterations of the training that its options ask for.
        state: iteration of the newest training state.
        best: the best value of each data set and metric, with its iteration; may be empty.
        size: bytes of all files.
    """

    name: str
    total: int | None
    state: int | None
    best: str
    size: int


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.add_argument("folder", type=Path, nargs="?", default=Path("experiments"), metavar="DIR", help="experiments")


def run(args: argparse.Namespace) -> int:
    """Print the table, and the experiments that cannot be read; 0, or 3 where there are such experiments.

    Raises:
        UserError: as `list_runs`, or the only experiment cannot be read.
    """
    runs, damaged = list_runs(args.folder)
    if damaged and not runs:
        raise UserError(damaged[0])
    print(table(runs))
    if damaged:
        print(f"{len(damaged)} of {len(runs) + len(damaged)} experiments cannot be read:", file=sys.stderr)
    for reason in damaged:
        print(f"  {' '.join(reason.split())}", file=sys.stderr)
    return 3 if damaged else 0


def list_runs(folder: Path) -> tuple[list[Run], list[str]]:
    """The experiments below `folder`, by name, and the reasons why others cannot be read.

    Raises:
        UserError: there is no such folder, or it cannot be read.
    """
    if not folder.is_dir():
        raise UserError(f"there is no folder '{folder}': name the one that basicsr has written experiments into")
    runs, damaged = [], []
    try:
        folders = sorted(path for path in folder.iterdir() if (path / f"{path.name}.yml").is_file())
    except OSError as error:
        raise UserError(f"the folder '{folder}' cannot be read: {reason_of(error)}") from error
    for path in folders:
        try:
            runs.append(_run(path))
        except UserError as error:
            damaged.append(str(error))
        except OSError as error:
            damaged.append(f"'{path}' cannot be read: {reason_of(error)}")
    return runs, damaged


def table(runs: list[Run]) -> str:
    """A Markdown table of the runs."""
    rows = [
        [run.name, _thousands(run.state), _thousands(run.total), run.best, f"{run.size / 2**20:.1f}"] for run in runs
    ]
    return markdown_table(["run", "newest state", "iterations", "best", "MiB"], rows)


def _run(path: Path) -> Run:
    states = [int(file.stem) for file in (path / "training_states").glob("*.state") if file.stem.isdecimal()]
    size = sum(file.stat().st_size for file in path.rglob("*") if file.is_file())
    train = _options(path / f"{path.name}.yml").get("train")
    total = train.get("total_iter") if isinstance(train, dict) else None
    total = int(total) if isinstance(total, (int, float)) else None
    return Run(path.name, total, max(states, default=None), "; ".join(_best(path / "training_states")), size)


def _options(file: Path) -> dict[str, Any]:
    try:
        options = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise UserError(f"'{file}' cannot be read ({error}): name the folder of an experiment") from error
    if not isinstance(options, dict):
        raise UserError(f"'{file}' holds no options: move the folder of this experiment away")
    return options


def _best(states: Path) -> Iterator[str]:
    for dataset, metrics in _checked(_best_results(states), states).items():
        finite = {
            metric: result
            for metric, result in metrics.items()
            if result["val"] is not None and math.isfinite(result["val"])
        }
        values = ", ".join(f"{metric} {result['val']:.4f} @ {result['iter']}" for metric, result in finite.items())
        if finite:
            yield f"{dataset}: {values}"


def _checked(results: dict[str, Any], states: Path) -> dict[str, dict[str, Any]]:
    """The results. Raises `UserError` where they have another form than `mihatp_arch.training` gives them."""
    for metrics in results.values():
        values = list(metrics.values()) if isinstance(metrics, dict) else [None]
        for result in values:
            value = result.get("val", "") if isinstance(result, dict) and "iter" in result else ""
            if not isinstance(value, (int, float, type(None))):
                raise UserError(f"the best results in '{states}' are damaged: delete best_metric_results.json there")
    return results


def _best_results(states: Path) -> dict[str, dict[str, Any]]:
    """The best results of each data set and metric, as mihatp_arch.training.resuming writes them."""
    file = states / "best_metric_results.json"
    if not file.is_file():
        older = file.with_suffix(".pth")
        if not older.is_file():
            return {}
        from mihatp_arch.checkpoints import load_tensors  # it imports torch, which alone reads the older format

        return load_tensors(older)
    try:
        results = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(f"'{file}' is damaged ({error}): delete it") from error
    if not isinstance(results, dict):
        raise UserError(f"'{file}' is damaged (it holds no mapping): delete it")
    return results


def _thousands(number: int | None) -> str:
    return format(number, ",").replace(",", " ") if number else ""
