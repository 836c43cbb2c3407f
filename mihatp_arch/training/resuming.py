"""Resuming a training: its state, optimizers, best results, random generators, and an unfinished validation."""

import json
import math
from pathlib import Path
from typing import Any

from basicsr.models.base_model import BaseModel
from basicsr.utils import get_root_logger
from basicsr.utils.misc import check_resume

from datasets_prep.common.files import write_file
from mihatp_arch.checkpoints import find_training_state, load_tensors
from mihatp_arch.errors import UserError
from mihatp_arch.training.data.loaders import validation_loader
from mihatp_arch.training.ema import start_ema_at
from mihatp_arch.training.random_state import restore_generators
from mihatp_arch.training.resumed.optimizer_state import refuse_misfit
from mihatp_arch.training.saving import save_network, saving

BEST_RESULTS = "best_metric_results.json"
BestResults = dict[str, dict[str, dict[str, Any]]]  # data set -> metric -> better, val, iter

_update_best = BaseModel._update_best_metric_result


def load_resume_state(opt: dict[str, Any]) -> dict[str, Any] | None:
    """Stands in for `basicsr.train.load_resume_state`: the training state to resume from, or None for a new training.

    `opt["path"]["resume_state"]` becomes the file of the state.

    Raises:
        UserError: the state, or a network saved with it, is missing or damaged.
    """
    folder = Path(opt["path"]["training_states"]).parent
    state, report = find_training_state(opt, folder, newest=opt["auto_resume"])
    if opt["auto_resume"] and opt.get("rank", 0) == 0:
        print(f"--auto_resume: {report}", flush=True)
    if state is None:
        return None
    opt["path"]["resume_state"] = str(state.path)
    check_resume(opt, state.values["iter"])
    return state.values


def resume_training(self: BaseModel, resume_state: dict[str, Any]) -> None:
    """Restore optimizers, schedules, average, best results and generators, and finish the validation of that iteration.

    Raises:
        UserError: the saved optimizers or schedules are not those of this model.
    """
    for kind, ours in (("optimizers", self.optimizers), ("schedulers", self.schedulers)):
        try:
            for target, state in zip(ours, resume_state[kind], strict=True):
                if kind == "optimizers":
                    refuse_misfit(target, state)
                target.load_state_dict(state)
        except (AttributeError, KeyError, RuntimeError, TypeError, ValueError) as error:
            raise UserError(
                f"'{self.opt['path']['resume_state']}': its {kind} are not those of these options ({error}); resume "
                "with the options that it was trained with"
            ) from error
    start_ema_at(self, resume_state["iter"])
    self.best_metric_results = _best_until(self, resume_state)
    _finish_validation(self, resume_state["iter"])
    _restore_generators(self.opt, resume_state.get("generators", []))


def _restore_generators(opt: dict[str, Any], generators: list[Any]) -> None:
    """Set the random generators of this process. Raises `UserError` where their states are damaged."""
    if len(generators) != opt.get("world_size", 1):
        get_root_logger().warning("The state has no generators for these processes: random draws start anew.")
        return
    try:
        restore_generators(generators[opt.get("rank", 0)])
    except (AttributeError, KeyError, RuntimeError, TypeError, ValueError) as error:
        raise UserError(
            f"'{opt['path']['resume_state']}' has no sound states of the random generators ({error}): name another "
            "as path.resume_state"
        ) from error


def _finish_validation(model: BaseModel, iteration: int) -> None:
    """Validate the sets that were not validated when the training ended between its state and its validation."""
    val = model.opt.get("val")
    if not val or not val.get("metrics") or iteration % val["val_freq"]:
        return
    done = Path(model.opt["path"]["experiments_root"]) / "metrics"
    for phase, options in model.opt["datasets"].items():
        if (
            phase.startswith("val")
            and "dataroot_gt" in options
            and not (done / f"{options['name']}_{iteration}.csv").is_file()
        ):
            model.validation(validation_loader(model.opt, options), iteration, None, val["save_img"])


def update_best_metric_result(self: Any, dataset_name: str, metric: str, val: float, current_iter: int) -> None:
    """BasicSR's, and the best results go into a file: the state of this iteration was saved before the validation.

    `val.keep_best` names a metric: the network with the best value of it on the first validation set is
    `net_g_best.pth`.
    """
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
    """The best results in `folder`; also those that an older version left in `best_metric_results.pth`."""
    path = folder / BEST_RESULTS
    if not path.is_file():
        older = path.with_suffix(".pth")
        return load_tensors(older) if older.is_file() else {}
    try:
        best: BestResults = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise UserError(f"'{path}' is damaged ({error}): delete it, then resume") from error
    for result in (result for metrics in best.values() for result in metrics.values()):
        if result["val"] is None:
            result["val"] = -math.inf if result["better"] == "higher" else math.inf  # where BasicSR begins
    return best


def _best_until(model: BaseModel, state: dict[str, Any]) -> BestResults:
    """The best results up to the iteration of a state: the state's own, updated by those of the file up to there."""
    best = state.get("best_metric_results", {})
    for dataset, metrics in read_best_results(Path(model.opt["path"]["training_states"])).items():
        for metric, result in metrics.items():
            if result["iter"] <= state["iter"]:
                best.setdefault(dataset, {})[metric] = result
    return best
