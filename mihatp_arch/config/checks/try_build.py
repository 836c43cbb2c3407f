"""The last check: build every network, loss, optimizer and schedule once, before BasicSR makes folders."""

import logging
import re
import warnings
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from copy import deepcopy
from typing import Any

import torch
from basicsr.utils import logger as basicsr_logger
from basicsr.utils.registry import ARCH_REGISTRY, LOSS_REGISTRY, MODEL_REGISTRY

from mihatp_arch.archs.dat_arch import DAT
from mihatp_arch.archs.spandrel_arch import Spandrel
from mihatp_arch.checkpoints import TrainingState
from mihatp_arch.config.checks.constructors import SCHEDULERS
from mihatp_arch.config.checks.registries import find
from mihatp_arch.config.checks.training import check_batch_norm
from mihatp_arch.config.checks.weights import check_resumed, check_weights
from mihatp_arch.config.read import KeyPath, Options
from mihatp_arch.errors import UserError

# Exceptions of constructors: about their arguments, and about weights that they cannot find or download.
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


def check_build(options: Options, command: str, resumed: TrainingState | None = None) -> list[str]:
    """One line for each network, loss, optimizer and schedule that cannot be built from its options.

    The networks are compared with the weights that they start from: the weights that were saved with the training
    state `resumed`, else `path.pretrain_network_*`. Afterwards the random state of torch and the logger of BasicSR are
    as before.
    """
    lines: list[str] = []
    networks: dict[str, Any] = {}
    with torch.random.fork_rng(devices=[]), _logger_untouched(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the same warnings appear again when BasicSR builds
        for key, value in options.values.items():
            if str(key).startswith("network_") and isinstance(value, dict):
                target = find(ARCH_REGISTRY, value["type"])
                with _shapes_alone(target) if command == "train" else nullcontext():
                    networks[key] = _build(lines, options, (key,), target)
        if not lines:
            lines += _check_weights(options, command, networks, resumed)
        if command == "train":
            _build_training(lines, options)
        network = networks.get("network_g")
        if command == "train" and not lines and isinstance(network, (DAT, Spandrel)):
            lines += check_batch_norm(options, network)
        return lines or [*_ask_model(options, command)]


def _shapes_alone(target: Any) -> AbstractContextManager[Any]:
    """Where a network of ours is built: on `meta`, without values, for names and shapes are all that is compared.

    Those of others may read values in their constructors; DAT and Spandrel load weights, and `check_batch_norm` runs
    them. In a test it does not pay: the meta device imports what otherwise the optimizers of a training import.
    """
    ours = isinstance(target, type) and target.__module__.startswith("mihatp_arch.")
    return torch.device("meta") if ours and not issubclass(target, (DAT, Spandrel)) else nullcontext()


def _check_weights(
    options: Options, command: str, networks: dict[str, Any], resumed: TrainingState | None
) -> Iterator[str]:
    named = {
        f"network_{key.removeprefix('pretrain_network_')}" for key in options.section("path") if "pretrain_" in key
    }
    saved = {f"network_{label}" for label in resumed.networks} if resumed else set()
    ema = command == "train" and (options.get("train", "ema_decay") or 0) > 0
    for key in sorted(networks.keys() | named | saved):
        label = key.removeprefix("network_")
        whole = networks.get("network_g")
        # Without options of its own it is a part of network_g, or a branch with the options of network_g.
        network = networks.get(key, getattr(whole, label, whole))
        if network is None:
            continue
        if resumed and key in saved:
            lines = [*check_resumed(resumed, network, label)]
        else:
            lines = [*check_weights(options, network, label, averaged=ema and label == "g")]
        yield from lines
        if lines:  # the other networks mostly have the same mistake
            return


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
    """The object that `target` builds from the options at `path`; None and a line in `lines` if it fails."""
    if target is None:
        return None
    arguments = {key: value for key, value in options.section(*path).items() if key != "type"}
    try:
        return target(*given, **arguments)
    except _COMPLAINTS as error:
        reason = (str(error) or type(error).__name__).removeprefix("network: ")
        # Where the message names an argument, the line names the file of that argument alone.
        words = re.split(r"\W+", reason)
        named = next((str(key) for key in arguments if key in words), None)
        source = options.sources(path) if named is None else options.origin((*path, named))
        complaint = reason if isinstance(error, UserError) else f"cannot be built: {reason}"
        lines.append(f"{source}: {'.'.join(path)}: {complaint}")
        return None


def _ask_model(options: Options, command: str) -> Iterator[str]:
    """The mistakes that the model itself finds: its static `check_options(opt)`, which raises UserError."""
    ask = getattr(find(MODEL_REGISTRY, options.values["model_type"]), "check_options", None)
    if ask is None or command != "train":
        return
    try:
        ask(deepcopy(options.values))
    except _COMPLAINTS as error:
        complaint = (
            str(error) if isinstance(error, UserError) else f"cannot be trained: {error or type(error).__name__}"
        )
        yield options.problem((), complaint)


@contextmanager
def _logger_untouched() -> Iterator[None]:
    """Without this, a constructor that logs would set up the logger of BasicSR before its log file is known."""
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
