"""Resuming a training: its state, optimizers, best results, random generators, and an unfinished validation."""

from collections.abc import Callable, Mapping
from contextvars import ContextVar
from pathlib import Path
from types import MappingProxyType
from typing import Any

from basicsr.models.base_model import BaseModel
from basicsr.utils import get_root_logger
from basicsr.utils.misc import check_resume

from datasets_prep.common.files import remove_dead_partials
from mihatp_arch.checkpoints import find_training_state
from mihatp_arch.errors import UserError
from mihatp_arch.training.data.loaders import validation_loader
from mihatp_arch.training.ema import start_ema_at
from mihatp_arch.training.random_state import restore_generators
from mihatp_arch.training.resumed.best_results import best_until
from mihatp_arch.training.resumed.changed_options import changed_options
from mihatp_arch.training.resumed.optimizer_state import resume_optimizers
from mihatp_arch.training.training_logger import has_points, tensorboard_writer
from mihatp_arch.training.validation import validated_sets

_NONE: Mapping[Path, str] = MappingProxyType({})
_unfit: ContextVar[Mapping[Path, str]] = ContextVar("unfit", default=_NONE)  # states that are passed over, and why


class UnfitStateError(UserError):
    """A training state whose content does not fit the model, although both have the same options.

    Attributes:
        path: its file.
    """

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(f"'{path}'{reason}")
        self.path = path


def passing_over_unfit_states(train: Callable[[], None]) -> None:
    """Call `train`, and again without a state that turns out not to fit, where `--auto_resume` chooses the state."""
    unfit: dict[Path, str] = {}
    token = _unfit.set(unfit)
    try:
        while True:
            try:
                return train()
            except UnfitStateError as error:
                unfit[error.path] = str(error)
    finally:
        _unfit.reset(token)


def load_resume_state(opt: dict[str, Any]) -> dict[str, Any] | None:
    """Stands in for `basicsr.train.load_resume_state`: the training state to resume from, or None for a new training.

    `opt["path"]["resume_state"]` becomes the file of the state.

    Raises:
        UserError: the state, or a network saved with it, is missing or damaged.
    """
    folder = Path(opt["path"]["training_states"]).parent
    if opt.get("rank", 0) == 0:
        for name in ("", "models", "training_states", "metrics"):
            remove_dead_partials(folder / name)
    state, report = find_training_state(opt, folder, newest=opt["auto_resume"], unfit=_unfit.get())
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
    try:
        resume_optimizers(self, resume_state)
    except (AttributeError, KeyError, RuntimeError, TypeError, ValueError) as error:
        reason = f": its optimizers are not those of these options ({error})"
        raise _misfit(self.opt, resume_state, reason, "resume with the options that it was trained with") from error
    start_ema_at(self, resume_state["iter"])
    self.best_metric_results = best_until(self.opt, resume_state)
    _restore_generators(self.opt, resume_state)  # a stop in the validation saves them again
    _finish_validation(self, resume_state["iter"])
    _restore_generators(self.opt, resume_state)  # the loaders of a validation draw a seed


def _misfit(opt: Mapping[str, Any], state: Mapping[str, Any], reason: str, remedy: str) -> UserError:
    """The error about a state; `UnfitStateError` where `--auto_resume` chose it, and no option has changed since.

    A group of processes cannot begin again: it would have to meet anew.
    """
    path = Path(opt["path"]["resume_state"])
    is_chosen = opt.get("auto_resume") and path.parent == Path(opt["path"]["training_states"])
    if is_chosen and opt["world_size"] == 1:
        changes = changed_options(state, opt["trained_with"])
        if not any(key.startswith(("network_", "train.")) for key in changes):
            return UnfitStateError(path, reason)
    return UserError(f"'{path}'{reason}; {remedy}")


def _restore_generators(opt: Mapping[str, Any], state: Mapping[str, Any]) -> None:
    """Set the random generators of this process. Raises `UserError` where their states are damaged."""
    generators = state.get("generators", [])
    if not isinstance(generators, list) or len(generators) != opt.get("world_size", 1):
        get_root_logger().warning("The state has no generators for these processes: random draws start anew.")
        return
    try:
        restore_generators(generators[opt.get("rank", 0)])
    except (AttributeError, KeyError, RuntimeError, TypeError, ValueError) as error:
        reason = f" has no sound states of the random generators ({error})"
        raise _misfit(opt, state, reason, "name another as path.resume_state") from error


def _finish_validation(model: BaseModel, iteration: int) -> None:
    """Validate the sets that were not validated when the training ended between its state and its validation.

    Sets that were validated after this iteration are not validated again, should it be the last one.
    """
    val = model.opt.get("val")
    if not val or not val.get("metrics"):
        return
    done = Path(model.opt["path"]["experiments_root"]) / "metrics"
    for phase, options in model.opt["datasets"].items():
        if not phase.startswith("val") or "dataroot_gt" not in options:
            continue
        name = options["name"]
        if (done / f"{name}_{iteration}.csv").is_file():
            validated_sets(model)[name] = iteration
        elif iteration % val["val_freq"] == 0:
            writer = tensorboard_writer.get()
            if writer is not None and has_points(writer, name, iteration):
                writer = None
            model.validation(validation_loader(model.opt, options), iteration, writer, val["save_img"])
