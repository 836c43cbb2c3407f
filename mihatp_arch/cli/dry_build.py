"""Build once, before anything is written, what basicsr would build after it has made folders: the exact last check."""

import logging
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from copy import deepcopy
from typing import Any

import torch
from basicsr.utils import logger as basicsr_logger
from basicsr.utils.registry import ARCH_REGISTRY, LOSS_REGISTRY, MODEL_REGISTRY

from mihatp_arch.cli.options import KeyPath, Options
from mihatp_arch.cli.registered import find
from mihatp_arch.cli.training_checks import SCHEDULERS
from mihatp_arch.cli.weights_check import check_weights
from mihatp_arch.errors import UserError

# What constructors raise over their arguments, and over weights that they cannot find or fetch.
_COMPLAINTS = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    ImportError,
    LookupError,
    OSError,
    RuntimeError,
    TypeError,
    UserError,
    ValueError,
)


def check_build(options: Options, command: str) -> list[str]:
    """One line for each network, loss, optimizer and schedule that cannot be built from its options.

    The random state of torch and basicsr's logger are as they were afterwards.
    """
    lines: list[str] = []
    with torch.random.fork_rng(devices=[]), _logger_untouched(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # they come again when basicsr builds
        for key, value in options.values.items():
            if str(key).startswith("network_") and isinstance(value, dict):
                network = _build(lines, options, (key,), find(ARCH_REGISTRY, value["type"]))
                if key == "network_g" and command == "test" and network is not None:
                    lines += check_weights(options, network)
        if command == "train":
            _build_training(lines, options)
    return lines or [*_ask_model(options, command)]


def _build_training(lines: list[str], options: Options) -> None:
    optimizer = None
    for key, value in options.section("train").items():
        path = ("train", key)
        if not isinstance(value, dict):
            continue
        if key.startswith("optim_") and hasattr(torch.optim, str(value.get("type"))):
            parameters = [torch.nn.Parameter(torch.zeros(1))]
            optimizer = _build(lines, options, path, getattr(torch.optim, value["type"]), parameters)
        elif key.endswith("_opt") and "type" in value:
            _build(lines, options, path, find(LOSS_REGISTRY, value["type"]))
    schedule = options.get("train", "scheduler", "type")
    if optimizer is not None and schedule in SCHEDULERS:
        _build(lines, options, ("train", "scheduler"), SCHEDULERS[schedule], optimizer)


def _build(
    lines: list[str], options: Options, path: KeyPath, target: Callable[..., Any] | None, *given: Any
) -> Any | None:
    """What `target` builds from the options at `path`; None, and a line, where it does not."""
    if target is None:
        return None
    arguments = {key: value for key, value in options.section(*path).items() if key != "type"}
    try:
        return target(*given, **arguments)
    except _COMPLAINTS as error:
        reason = str(error) or type(error).__name__
        lines.append(options.problem(path, reason if isinstance(error, UserError) else f"cannot be built: {reason}"))
        return None


def _ask_model(options: Options, command: str) -> Iterator[str]:
    """What the model itself has against its training options: a static `check_options(opt)` that raises UserError."""
    ask = getattr(find(MODEL_REGISTRY, options.values["model_type"]), "check_options", None)
    if ask is None or command != "train":
        return
    try:
        ask(deepcopy(options.values))
    except UserError as error:
        yield options.problem((), str(error))


@contextmanager
def _logger_untouched() -> Iterator[None]:
    """A constructor that logs would set basicsr's logger up before it has its file, and say everything twice."""
    before, disabled = dict(basicsr_logger.initialized_logger), logging.root.manager.disable
    logging.disable()
    try:
        yield
    finally:
        logging.disable(disabled)
        for name in basicsr_logger.initialized_logger.keys() - before.keys():
            logger = logging.getLogger(name)
            for handler in list(logger.handlers):
                logger.removeHandler(handler)
            del basicsr_logger.initialized_logger[name]
