"""The sections that name a class or function and hold its arguments: networks, losses, optimizers, metrics …"""

import inspect
from collections.abc import Callable, Iterator
from typing import Any

import torch
from basicsr.models import lr_scheduler
from basicsr.models.base_model import BaseModel
from basicsr.utils.file_client import FileClient
from basicsr.utils.registry import ARCH_REGISTRY, LOSS_REGISTRY, METRIC_REGISTRY, MODEL_REGISTRY, Registry

from mihatp_arch.config.checks.arguments import check_arguments, named_parameters
from mihatp_arch.config.checks.registries import check_named, check_type, find
from mihatp_arch.config.checks.sections import sections
from mihatp_arch.config.read import KeyPath, Options
from mihatp_arch.config.schema import Backend, Constructor, DistParams, Loss, Metric, Network, Optimizer, Scheduler

Lines = Iterator[str]

# The schedules that BaseModel.setup_schedulers knows, by the names that it gives them.
SCHEDULERS: dict[str, type] = {
    "MultiStepLR": lr_scheduler.MultiStepRestartLR,
    "MultiStepRestartLR": lr_scheduler.MultiStepRestartLR,
    "CosineAnnealingRestartLR": lr_scheduler.CosineAnnealingRestartLR,
}


def check_constructors(options: Options) -> Lines:
    """Lines about every section that names a class or function: an unknown name, unknown or missing arguments."""
    for path, schema in sections(options):
        if not issubclass(schema, Constructor):
            continue
        kind = next(kind for kind in _CHECKS if issubclass(schema, kind))
        yield from _CHECKS[kind](options, path)


def _check_network(options: Options, path: KeyPath) -> Lines:
    yield from _check_registered(options, path, ARCH_REGISTRY, "network")
    network = find(ARCH_REGISTRY, options.get(*path, "type"))
    if network is not None:
        yield from _check_scale(options, path, network)


def _check_scale(options: Options, path: KeyPath, network: Callable[..., Any]) -> Lines:
    """Every network that enlarges does so by `scale`, also by its default."""
    scale, parameters = options.get("scale"), named_parameters(network)
    name = next((name for name in ("upscale", "scale") if name in parameters), None)
    if name is None or not isinstance(scale, int):
        return
    value = options.section(*path).get(name, parameters[name].default)
    if isinstance(value, int) and value != scale:
        yield options.problem(path, f"{name} is {value}, but scale is {scale}; they must be equal", key=name)


def _check_loss(options: Options, path: KeyPath) -> Lines:
    yield from _check_registered(options, path, LOSS_REGISTRY, "loss")


def _check_metric(options: Options, path: KeyPath) -> Lines:
    metric = find(METRIC_REGISTRY, options.get(*path, "type"))
    # The model reads `better`; BasicSR passes it on to the metric all the same.
    others = ["better"] if metric is not None and _takes_any(metric) else []
    yield from _check_registered(options, path, METRIC_REGISTRY, "metric", given=["img", "img2"], others=others)


def _check_registered(options: Options, path: KeyPath, registry: Registry, noun: str, **more: list[str]) -> Lines:
    mistakes = [*check_type(options, path, registry, noun)]
    yield from mistakes
    target = None if mistakes else find(registry, options.get(*path, "type"))
    if target is not None:
        yield from check_arguments(options, path, target, **more)


def _check_optimizer(options: Options, path: KeyPath) -> Lines:
    model = _model(options)
    stock = model.get_optimizer.__module__.startswith("basicsr.")  # type: ignore[attr-defined]
    known = ["Adam"] if stock else [name for name, cls in vars(torch.optim).items() if inspect.isclass(cls)]
    yield from check_named(options, path, "optimizer", known, options.values["model_type"])
    name = options.section(*path).get("type")
    if name in known:
        yield from check_arguments(options, path, getattr(torch.optim, name), given=["params"])
        if "lr" not in options.section(*path):
            yield options.problem(path, f"{name} needs 'lr'")


def _check_scheduler(options: Options, path: KeyPath) -> Lines:
    known = dict(SCHEDULERS)
    if getattr(_model(options), "setup_schedulers", None) is not BaseModel.setup_schedulers:
        known = {name: cls for name, cls in vars(torch.optim.lr_scheduler).items() if inspect.isclass(cls)} | known
    yield from check_named(options, path, "scheduler", known, options.values["model_type"])
    section = options.section(*path)
    if section.get("type") not in known:
        return
    yield from check_arguments(options, path, known[section["type"]], given=["optimizer"])
    periods, total = section.get("periods"), options.get("train", "total_iter")
    if section["type"] != "CosineAnnealingRestartLR" or not isinstance(periods, list) or not isinstance(total, int):
        return
    end = sum(period for period in periods if isinstance(period, int))
    if end < total - 1:  # basicsr would stop with an error there
        yield options.problem((*path, "periods"), f"they end at {end}, before total_iter {total}; lengthen the last")


def _check_backend(options: Options, path: KeyPath) -> Lines:
    known = FileClient._backends
    yield from check_named(options, path, "io_backend", known, "basicsr")
    backend = known.get(str(options.get(*path, "type")))
    if backend is not None:
        yield from check_arguments(options, path, backend, given=["db_paths", "client_keys"])


def _check_processes(options: Options, path: KeyPath) -> Lines:
    if isinstance(options.get(*path), dict):
        target = torch.distributed.init_process_group
        yield from check_arguments(options, path, target, others=["port"])


_CHECKS: dict[type, Callable[[Options, KeyPath], Lines]] = {
    Network: _check_network,
    Loss: _check_loss,
    Metric: _check_metric,
    Optimizer: _check_optimizer,
    Scheduler: _check_scheduler,
    Backend: _check_backend,
    DistParams: _check_processes,
}


def _model(options: Options) -> Callable[..., Any]:
    model = find(MODEL_REGISTRY, options.values["model_type"])
    assert model is not None, "the frame of the options is checked first"
    return model


def _takes_any(function: Callable[..., Any]) -> bool:
    return any(value.kind is value.VAR_KEYWORD for value in inspect.signature(function).parameters.values())
