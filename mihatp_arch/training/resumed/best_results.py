"""The best results of a training: in a file beside the states, and recomputed from the tables of its validations."""

import csv
import json
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from statistics import mean
from typing import Any

from basicsr.models.base_model import BaseModel
from basicsr.utils import get_root_logger

from datasets_prep.common.files import write_file
from mihatp_arch.checkpoints import load_tensors
from mihatp_arch.errors import UserError
from mihatp_arch.training.saving import save_network, saving

BEST_RESULTS = "best_metric_results.json"
BestResults = dict[str, dict[str, dict[str, Any]]]  # data set -> metric -> better, val, iter

_update_best = BaseModel._update_best_metric_result


def update_best_metric_result(self: Any, dataset_name: str, metric: str, val: float, current_iter: int) -> None:
    """BasicSR's, and the best results go into a file: the state of this iteration was saved before the validation.

    `val.keep_best` names a metric: the network with the best value of it on the first validation set is
    `net_g_best.pth`.
    """
    known = self.best_metric_results.setdefault(dataset_name, {})
    if metric not in known:  # it was not measured before the training was resumed
        better = self.opt["val"]["metrics"][metric].get("better", "higher")
        known[metric] = {"better": better, "val": -math.inf if better == "higher" else math.inf, "iter": -1}
    _update_best(self, dataset_name, metric, float(val), current_iter)  # a numpy number is no plain data
    if not self.is_train:
        return
    write_best_results(Path(self.opt["path"]["training_states"]), self.best_metric_results)
    if metric != self.opt["val"].get("keep_best"):
        return
    first = next(options["name"] for phase, options in self.opt["datasets"].items() if phase.startswith("val"))
    if dataset_name == first and self.best_metric_results[dataset_name][metric]["iter"] == current_iter:
        nets = {"params": self.net_g} | ({"params_ema": self.net_g_ema} if hasattr(self, "net_g_ema") else {})
        save_network(self, list(nets.values()), "net_g", "best", list(nets))


def write_best_results(folder: Path, best: BestResults) -> None:
    """Write `best_metric_results.json` into `folder`: `{data set: {metric: {"better", "val", "iter"}}}`.

    `val` is null where no value was finite so far. Raises `UserError` when the file cannot be written.
    """
    plain = {
        dataset: {
            metric: {**result, "val": result["val"] if math.isfinite(result["val"]) else None}
            for metric, result in metrics.items()
        }
        for dataset, metrics in best.items()
    }
    path = folder / BEST_RESULTS
    with saving(path):
        write_file(path, json.dumps(plain, indent=2).encode() + b"\n")


def read_best_results(folder: Path) -> BestResults:
    """The best results in `folder`; also those that an older version left in `best_metric_results.pth`.

    A damaged file is a warning in the log, and has no results.
    """
    path = folder / BEST_RESULTS
    try:
        if not path.is_file():
            older = path.with_suffix(".pth")
            return _checked(load_tensors(older)) if older.is_file() else {}
        return _checked(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, UserError, ValueError, AttributeError, KeyError, TypeError) as error:
        get_root_logger().warning(
            f"'{path}' is damaged ({type(error).__name__}: {error}): the best results are those of the training state "
            "and of the tables in metrics/."
        )
        return {}


def _checked(best: Any) -> BestResults:
    """The content of a file of best results, with the value at which BasicSR begins where there is none."""
    checked: BestResults = {}
    for dataset, metrics in best.items():
        for metric, result in metrics.items():
            better, value = str(result["better"]), result["val"]
            begin = -math.inf if better == "higher" else math.inf
            value = begin if value is None else float(value)
            checked.setdefault(dataset, {})[metric] = {"better": better, "val": value, "iter": int(result["iter"])}
    return checked


def best_until(opt: Mapping[str, Any], state: Mapping[str, Any]) -> BestResults:
    """The best results up to the iteration of a training state.

    They are the best of the state's own, of the file, and of the tables in `metrics/`: the state is saved before the
    validation of its iteration, and the file may know a later iteration alone.
    """
    best: BestResults = {}
    sources = [
        _of_state(state),
        read_best_results(Path(opt["path"]["training_states"])),
        *_tables(opt, state["iter"]),
    ]
    for source in sources:
        for dataset, metrics in source.items():
            for metric, result in metrics.items():
                known = best.get(dataset, {}).get(metric)
                if result["iter"] <= state["iter"] and (known is None or _is_better(result, known)):
                    best.setdefault(dataset, {})[metric] = dict(result)
    return best


def _of_state(state: Mapping[str, Any]) -> BestResults:
    try:
        return _checked(state.get("best_metric_results", {}))
    except (AttributeError, KeyError, TypeError, ValueError):
        get_root_logger().warning("The training state has no sound best results.")
        return {}


def _is_better(result: Mapping[str, Any], known: Mapping[str, Any]) -> bool:
    """As BasicSR judges it: of two equal values, the later one is the best."""
    if result["val"] == known["val"]:
        return bool(result["iter"] > known["iter"])
    return bool(result["val"] > known["val"] if known["better"] == "higher" else result["val"] < known["val"])


def _tables(opt: Mapping[str, Any], until: int) -> Iterator[BestResults]:
    """The means of each table of this training, up to an iteration, in the form of best results."""
    metrics: Mapping[str, Any] = (opt.get("val") or {}).get("metrics") or {}
    folder = Path(opt["path"].get("experiments_root", "")) / "metrics"
    names = [options["name"] for phase, options in opt.get("datasets", {}).items() if phase.startswith("val")]
    for name in names if metrics else []:
        for file in sorted(folder.glob("*.csv")):
            iteration = file.stem.removeprefix(f"{name}_")
            if file.stem == iteration or not iteration.isdecimal() or int(iteration) > until:
                continue
            yield {name: _means(file, metrics, int(iteration))}


def _means(file: Path, metrics: Mapping[str, Any], iteration: int) -> dict[str, dict[str, Any]]:
    try:
        with file.open(newline="", encoding="utf-8") as lines:
            rows = list(csv.DictReader(lines))
        columns = {metric: [float(row[metric]) for row in rows] for metric in metrics if rows and metric in rows[0]}
    except (OSError, ValueError, KeyError, TypeError) as error:
        get_root_logger().warning(f"'{file}' is no table of these metrics ({type(error).__name__}: {error}).")
        return {}
    return {
        metric: {"better": (metrics[metric] or {}).get("better", "higher"), "val": mean(finite), "iter": iteration}
        for metric, values in columns.items()
        if (finite := [value for value in values if math.isfinite(value)])
    }
