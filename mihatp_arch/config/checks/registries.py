"""The names of classes in an option file: registered classes, and classes out of a short list."""

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from basicsr.utils.registry import Registry

from datasets_prep.common.text import did_you_mean
from mihatp_arch.config.read import KeyPath, Options
from mihatp_arch.config.yaml_files import kind


def find(registry: Registry, name: Any) -> Callable[..., Any] | None:
    """The class or function registered as `name`, or as `<name>_basicsr` (a rule of BasicSR); None if there is none."""
    if not isinstance(name, str):
        return None
    entries = dict(iter(registry))
    return entries.get(name) or entries.get(f"{name}_basicsr")


def known_names(registry: Registry) -> list[str]:
    """The names that an option file can give as `type`."""
    return [name.removesuffix("_basicsr") for name, _ in registry]


def check_type(options: Options, path: KeyPath, registry: Registry, noun: str) -> Iterator[str]:
    """Lines about `type` at `path`: it must be given and registered."""
    section = options.get(*path)
    if not isinstance(section, dict):
        yield options.problem(path, f"expected the options of a {noun} (a mapping with its type), got {kind(section)}")
    elif "type" not in section:
        yield options.problem(path, f"'type' is missing: the name of the {noun}")
    elif find(registry, section["type"]) is None:
        hint = did_you_mean(section["type"], known_names(registry))
        yield options.problem(path, f"there is no {noun} '{section['type']}'", key="type", hint=hint)


def check_named(options: Options, path: KeyPath, noun: str, known: Iterable[str], owner: str) -> Iterator[str]:
    """Lines about `type` at `path`: it must be one of the names in `known`, which `owner` accepts."""
    known = list(known)
    section = options.get(*path)
    if not isinstance(section, dict):
        yield options.problem(
            path, f"expected the options of the {noun} (a mapping with its type), got {kind(section)}"
        )
    elif section.get("type") is None:
        yield options.problem(path, f"'type' is missing: the name of the {noun}", key="type")
    elif section["type"] not in known:
        name = section["type"]
        hint = did_you_mean(name, known) or f"it knows {', '.join(known)}"
        yield options.problem(path, f"there is no {noun} '{name}' for {owner}", key="type", hint=hint)
