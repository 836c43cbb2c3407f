"""The classes and functions whose arguments docs/options.md and options/schema.json list."""

import inspect
import re
from collections.abc import Callable
from typing import Any

from basicsr.utils.file_client import FileClient
from basicsr.utils.registry import ARCH_REGISTRY, LOSS_REGISTRY, METRIC_REGISTRY

import mihatp_arch  # noqa: F401  it registers what is listed here
from mihatp_arch.config.checks.arguments import named_parameters
from mihatp_arch.config.checks.constructors import SCHEDULERS
from mihatp_arch.config.schema import Backend, Constructor, Loss, Metric, Network, Scheduler

Target = Callable[..., Any]
_GIVEN = {Metric: {"img", "img2"}, Scheduler: {"optimizer"}, Backend: {"db_paths", "client_keys"}}


def catalogue() -> dict[type[Constructor], dict[str, Target]]:
    """For each kind of constructor: name -> class or function, of this package and of BasicSR.

    Of BasicSR's networks only SwinIR is listed, with which the methods are compared. Optimizers are torch's, and
    differ from version to version.
    """
    networks = {name: target for name, target in ARCH_REGISTRY if _is_ours(target) or name == "SwinIR"}
    losses = {name: target for name, target in LOSS_REGISTRY if isinstance(target, type)}
    return {
        Network: _sorted(networks),
        Loss: _sorted(losses),
        Metric: _sorted(dict(iter(METRIC_REGISTRY))),
        Scheduler: _sorted(SCHEDULERS),
        Backend: _sorted(FileClient._backends),
    }


def arguments(kind: type[Constructor], target: Target) -> dict[str, inspect.Parameter]:
    """The arguments of `target` that an option file gives."""
    given = _GIVEN.get(kind, set())
    return {name: parameter for name, parameter in named_parameters(target).items() if name not in given}


def descriptions(target: Target) -> dict[str, str]:
    """Argument -> its text below `Args:` in the docstring of the function, or of the class and its base classes."""
    texts: dict[str, str] = {}
    for owner in inspect.getmro(target) if isinstance(target, type) else (target,):
        for name, text in _arguments_of(inspect.cleandoc(owner.__doc__ or "")):
            texts.setdefault(name, text)
    return texts


def _arguments_of(docstring: str) -> list[tuple[str, str]]:
    texts: list[tuple[str, str]] = []
    inside = False
    for line in docstring.splitlines():
        entry = re.match(r"    (\w+(?:, \w+)*)(?: \(.*?\))?: (.*)", line)
        if not line.startswith(" "):
            inside = line == "Args:"
        elif inside and entry:
            texts += [(name, entry[2]) for name in entry[1].split(", ")]
        elif inside and texts and line.startswith("        "):
            same = texts[-1][1]
            texts = [(name, f"{text} {line.strip()}" if text == same else text) for name, text in texts]
    return texts


def _is_ours(target: Target) -> bool:
    return target.__module__.startswith("mihatp_arch.")


def _sorted(targets: dict[str, Target]) -> dict[str, Target]:
    return {name.removesuffix("_basicsr"): targets[name] for name in sorted(targets)}
