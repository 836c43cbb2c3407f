"""The checks of the `train` section: losses, optimizers, the schedule."""

import inspect
from collections.abc import Iterator

import torch
from basicsr.models import lr_scheduler
from basicsr.models.base_model import BaseModel
from basicsr.models.sr_model import SRModel
from basicsr.utils.registry import LOSS_REGISTRY

from mihatp_arch.config.arguments import check_arguments
from mihatp_arch.config.option_keys import OptionKeys
from mihatp_arch.config.read import KeyPath, Options
from mihatp_arch.config.registries import check_named, check_type, find
from mihatp_arch.config.yaml_files import kind

# The schedules that BaseModel.setup_schedulers knows, by the names that it gives them.
SCHEDULERS: dict[str, type] = {
    "MultiStepLR": lr_scheduler.MultiStepRestartLR,
    "MultiStepRestartLR": lr_scheduler.MultiStepRestartLR,
    "CosineAnnealingRestartLR": lr_scheduler.CosineAnnealingRestartLR,
}


def check_training(options: Options, model: type, keys: OptionKeys) -> Iterator[str]:
    """Lines about the losses, optimizers and schedule of `model`, which reads `keys`."""
    train = options.section("train")
    if issubclass(model, SRModel):
        for key in ("optim_g", "scheduler"):
            if train.get(key) is None:
                yield options.problem(("train",), f"'{key}' is missing")
        if model.init_training_settings is SRModel.init_training_settings and not (
            train.get("pixel_opt") or train.get("perceptual_opt")
        ):
            yield options.problem(("train",), "there is no loss: give pixel_opt or perceptual_opt")
    if train.get("total_iter") is None:
        yield options.problem(("train",), "'total_iter' is missing: how many iterations to train")
    for key, value in train.items():
        path = ("train", str(key))
        if value is None or path not in keys.read:
            continue
        if str(key).startswith("optim_"):
            yield from _check_optimizer(options, path, model)
        elif key == "scheduler":
            yield from _check_scheduler(options, model)
        elif (*path, "type") in keys.read:
            mistakes = [*check_type(options, path, LOSS_REGISTRY, "loss")]
            yield from mistakes
            if not mistakes:
                loss = find(LOSS_REGISTRY, value["type"])
                assert loss is not None
                yield from check_arguments(options, path, loss)
    yield from _check_targets(options, model)


def _check_targets(options: Options, model: type) -> Iterator[str]:
    """The sections of `train` that a model hands to callables of its own, by its `option_targets`."""
    for keys, target in getattr(model, "option_targets", {}).items():
        path = ("train", *keys)
        value = options.get(*path)
        if isinstance(value, dict):
            name = getattr(target, "__name__", keys[-1]).strip("_")
            yield from check_arguments(options, path, target, given={"scale"}, name=name)
        elif value is not None and len(keys) == 1:  # what lies deeper is an argument, checked with its owner's
            yield options.problem(path, f"expected a mapping, or null, got {kind(value)}")


def _check_optimizer(options: Options, path: KeyPath, model: type) -> Iterator[str]:
    stock = model.get_optimizer.__module__.startswith("basicsr.")
    known = ["Adam"] if stock else [name for name, cls in vars(torch.optim).items() if inspect.isclass(cls)]
    yield from check_named(options, path, "optimizer", known, options.values["model_type"])
    name = options.section(*path).get("type")
    if name in known:
        yield from check_arguments(options, path, getattr(torch.optim, name), given={"params"})
        if "lr" not in options.section(*path):
            yield options.problem(path, f"{name} needs 'lr'")


def _check_scheduler(options: Options, model: type) -> Iterator[str]:
    path = ("train", "scheduler")
    known = dict(SCHEDULERS)
    if model.setup_schedulers is not BaseModel.setup_schedulers:
        known = {name: cls for name, cls in vars(torch.optim.lr_scheduler).items() if inspect.isclass(cls)} | known
    yield from check_named(options, path, "scheduler", known, options.values["model_type"])
    section = options.section(*path)
    if section.get("type") not in known:
        return
    yield from check_arguments(options, path, known[section["type"]], given={"optimizer"})
    periods, total = section.get("periods"), options.get("train", "total_iter")
    if section["type"] != "CosineAnnealingRestartLR" or not isinstance(periods, list) or not isinstance(total, int):
        return
    end = sum(period for period in periods if isinstance(period, int))
    if end < total - 1:  # basicsr would stop with an error there
        yield options.problem((*path, "periods"), f"they end at {end}, before total_iter {total}; lengthen the last")
