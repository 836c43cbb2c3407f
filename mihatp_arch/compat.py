"""The one file that knows what BasicSR 1.4.2 and torchvision need on today's stack.

It runs on import, at module level, so that DataLoader workers started by `spawn` get it too. Nothing is replaced that
works; each workaround says what breaks, in which version, and when it can go. `MIHATP_NO_PATCH=1` leaves the functions
of basicsr as they are (what it needs to be imported at all is mended even so).
"""

import importlib
import inspect
import os
import sys
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from mihatp_arch.checkpoints import find_training_state

_kept_alive: list[torch.library.Library] = []  # a Library that is collected takes its operators with it


def _mend_torchvision_ops() -> None:
    """A CUDA or mismatched torchvision beside another torch build lacks its compiled operators.

    torchvision (all versions) then dies on import with `operator torchvision::nms does not exist`, because it registers
    meta kernels for them. Declaring the schemas is enough to import it; calling one still fails. Goes when torchvision
    imports without its library.
    """
    try:
        importlib.import_module("torchvision")
    except RuntimeError as error:
        if "torchvision::" not in str(error):
            raise
    else:
        return
    for name in [name for name in sys.modules if name.partition(".")[0] == "torchvision"]:
        del sys.modules[name]  # the failed import left them half built
    library = torch.library.Library("torchvision", "FRAGMENT")
    _kept_alive.append(library)
    for name, schema in (
        ("nms", "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"),
        ("qnms", "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"),
    ):
        if not hasattr(torch.ops.torchvision, name):
            library.define(schema)
    importlib.import_module("torchvision")


def _alias(missing: str, target: str, *names: str) -> None:
    """Put a module `missing` in place, with `names` of `target`, unless there is a real one."""
    try:
        importlib.import_module(missing)
    except ModuleNotFoundError:
        module = types.ModuleType(missing)
        source = importlib.import_module(target)
        for name in names:
            setattr(module, name, getattr(source, name))
        sys.modules[missing] = module


_mend_torchvision_ops()
# torchvision 0.17 removed the module that basicsr 1.4.2 takes rgb_to_grayscale from; goes with basicsr's next release.
_alias("torchvision.transforms.functional_tensor", "torchvision.transforms.functional", "rgb_to_grayscale")
# SciPy 2 removes scipy.ndimage.filters, where basicsr 1.4.2 finds convolve; goes with basicsr's next release.
_alias("scipy.ndimage.filters", "scipy.ndimage", "convolve")

# Only now can basicsr be imported; it binds names at import, so the module that uses a function is the one to mend.
import basicsr.train as basicsr_train  # noqa: E402
import basicsr.utils.options as basicsr_options  # noqa: E402
from basicsr.metrics import psnr_ssim  # noqa: E402
from basicsr.models import base_model  # noqa: E402
from basicsr.models.sr_model import SRModel  # noqa: E402
from basicsr.utils import misc  # noqa: E402


def _expect(function: Callable[..., Any], *parameters: str) -> None:
    """Fail loudly where a later basicsr has changed what is replaced below."""
    found = tuple(inspect.signature(function).parameters)
    if found != parameters:
        raise RuntimeError(
            f"{function.__module__}.{function.__qualname__} takes {found}, not {parameters}: "
            "mihatp_arch.compat knows basicsr 1.4.2; set MIHATP_NO_PATCH=1 to leave basicsr as it is"
        )


def load_resume_state(opt: dict[str, Any]) -> dict[str, Any] | None:
    """Stands in for `basicsr.train.load_resume_state`: finds and loads the state to resume from, or None to start anew.

    basicsr 1.4.2 asks for the current GPU even on a machine without one, and `--auto_resume` looks below the current
    folder instead of the experiment's own, and at the newest state alone. Goes with a basicsr that does none of it.

    Raises:
        UserError: the state, or a network saved with it, is missing or damaged.
    """
    folder = Path(opt["path"]["training_states"]).parent
    state, what = find_training_state(opt, folder, newest=opt["auto_resume"])
    if opt["auto_resume"] and opt.get("rank", 0) == 0:
        print(f"--auto_resume: {what}", flush=True)
    if state is None:
        return None
    opt["path"]["resume_state"] = str(state.path)
    opt["resumed"] = {key: state.values.get(key) for key in ("iter", "epoch", "served", "per_epoch")}
    basicsr_train.check_resume(opt, state.values["iter"])
    return state.values


_VALIDATION = ("self", "dataloader", "current_iter", "tb_logger", "save_img")


def _mend_basicsr() -> None:
    """Put our functions where basicsr 1.4.2 uses its own. Each goes with a basicsr that does what is said here."""
    if basicsr_train.load_resume_state.__module__ == __name__:
        return
    from mihatp_arch.metrics.ssim import ssim_of_channel
    from mihatp_arch.training import data_order, distributed, loop, resuming, saving, step, validation

    base = base_model.BaseModel
    for owner, name, parameters, ours in (
        (basicsr_train, "load_resume_state", ("opt",), load_resume_state),
        (basicsr_train, "check_resume", ("opt", "resume_iter"), None),
        # It draws the same crops and flips in every epoch, and others with other workers.
        (basicsr_train, "build_dataset", ("dataset_opt",), loop.build_dataset),
        (basicsr_train, "EnlargedSampler", ("dataset", "num_replicas", "rank", "ratio"), data_order.SeededSampler),
        # It counts epochs that the loader does not give and ends before, or after, total_iter.
        (basicsr_train, "create_train_val_dataloader", ("opt", "logger"), loop.create_train_val_dataloader),
        (basicsr_train, "CPUPrefetcher", ("loader",), data_order.Prefetcher),
        (basicsr_train, "CUDAPrefetcher", ("loader", "opt"), data_order.CountingCUDAPrefetcher),
        # Its last line has a day less a second to go.
        (basicsr_train, "MessageLogger", ("opt", "start_iter", "tb_logger"), loop.TrainingLogger),
        # They die where two runs of one name start in the same second.
        (basicsr_train, "mkdir_and_rename", ("path",), saving.archive),
        (misc, "mkdir_and_rename", ("path",), saving.archive),
        # It takes a two-dimensional filter where two one-dimensional ones give the same.
        (psnr_ssim, "_ssim", ("img", "img2"), ssim_of_channel),
        # They ask for the current GPU of processes that have none, and know nccl alone.
        (basicsr_options, "init_dist", ("launcher", "backend", "kwargs"), distributed.init_dist),
        (base, "model_to_device", ("self", "net"), distributed.model_to_device),
        # It takes weights below a key alone, and dies with a KeyError over others.
        (base, "load_network", ("self", "net", "load_path", "strict", "param_key"), loop.load_network),
        # It knows Adam alone.
        (base, "get_optimizer", ("self", "optim_type", "params", "lr", "kwargs"), loop.get_optimizer),
        # They write over the last file, and ignore it when that fails.
        (base, "save_network", ("self", "net", "net_label", "current_iter", "param_key"), loop.save_network),
        (base, "save_training_state", ("self", "epoch", "current_iter"), loop.save_training_state),
        # It forgets random states, and ends in an assertion where a state is not this model's.
        (base, "resume_training", ("self", "resume_state"), resuming.resume_training),
        # It leaves out buffers.
        (base, "model_ema", ("self", "decay"), loop.model_ema),
        # It is lost where a training resumes from a state that was saved before its validation.
        (
            base,
            "_update_best_metric_result",
            ("self", "dataset_name", "metric", "val", "current_iter"),
            resuming.update_best_metric_result,
        ),
        # It has neither bf16 nor parts nor clipping, and goes on with a loss that is not finite.
        (SRModel, "feed_data", ("self", "data"), step.feed_data),
        (SRModel, "optimize_parameters", ("self", "current_iter"), step.optimize_parameters),
        # They average what is infinite, die without HR, and keep all processes but one waiting.
        (SRModel, "nondist_validation", _VALIDATION, validation.validate),
        (SRModel, "dist_validation", _VALIDATION, validation.validate),
        (SRModel, "test", ("self",), validation.test),
        # A signal stops it in the middle of an iteration, and nothing is saved.
        (base, "update_learning_rate", ("self", "current_iter", "warmup_iter"), loop.update_learning_rate),
    ):
        _expect(getattr(owner, name), *parameters)
        if ours is not None:
            setattr(owner, name, ours)


if os.environ.get("MIHATP_NO_PATCH", "") in ("", "0"):
    _mend_basicsr()
