"""The types and ranges of the values that the schema describes."""

import math
from collections.abc import Iterator
from typing import Any

import msgspec

from mihatp_arch.config.checks.sections import conventional_type, model_schema, nested, sections
from mihatp_arch.config.checks.values import value_mistake
from mihatp_arch.config.read import KeyPath, Options
from mihatp_arch.config.schema import Section
from mihatp_arch.config.yaml_files import kind


def check_values(options: Options) -> Iterator[str]:
    """Lines about values of a wrong type or out of range; no option at all may be nan or infinite."""
    named: set[KeyPath] = set()
    for path, mistake in _described(options):
        named.add(path)
        yield options.problem(path, mistake)
    for path, value in _leaves(options.values, ()):
        if path in named:
            continue
        if isinstance(value, float) and not math.isfinite(value):
            yield options.problem(path, f"expected a finite number, got {value}")
        elif isinstance(value, str) and "\0" in value:
            yield options.problem(path, "a NUL character stands in it")


def _described(options: Options) -> Iterator[tuple[KeyPath, str]]:
    _, complete = model_schema(options.values.get("model_type"))
    for path, schema in sections(options):
        described = {field.name: field.type for field in msgspec.structs.fields(schema)}
        for key, value in options.section(*path).items():
            wanted = described.get(str(key))
            if wanted is None and not complete:
                wanted = conventional_type(".".join(path), str(key))
            inner, many = (None, False) if wanted is None else nested(wanted)
            if inner is None and wanted is not None:
                mistake = value_mistake(value, wanted)
            elif inner is not None and not many and issubclass(inner, Section) and not _is_section(value):
                mistake = f"expected a mapping, or null, got {kind(value)}"
            else:
                continue
            if mistake:
                yield (*path, str(key)), mistake


def _is_section(value: Any) -> bool:
    return value is None or isinstance(value, dict)


def _leaves(value: Any, path: KeyPath) -> Iterator[tuple[KeyPath, Any]]:
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _leaves(inner, (*path, str(key)))
    elif isinstance(value, list):
        for inner in value:
            yield from _leaves(inner, path)
    else:
        yield path, value
