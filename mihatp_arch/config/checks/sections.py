"""The sections that the options of a run have, each with the class of the schema that describes it."""

import re
import typing
from collections.abc import Iterator
from functools import cache
from types import UnionType
from typing import Annotated, Any

import msgspec
from basicsr.utils.registry import MODEL_REGISTRY

from mihatp_arch.config.checks.registries import find
from mihatp_arch.config.read import KeyPath, Options
from mihatp_arch.config.schema import CONVENTIONS, DATASETS, MODELS, Constructor, Dataset, OptionFile, Section

Described = type[Section] | type[Constructor]


def model_schema(model_type: Any) -> tuple[type[OptionFile], bool]:
    """The schema of the files of a model, and whether it lists every key.

    For a model that the schema does not list, it is the schema of its nearest base class, and may lack keys.
    """
    model = find(MODEL_REGISTRY, model_type)
    if not isinstance(model, type):
        return OptionFile, False
    for cls in model.__mro__:
        if cls.__name__ in MODELS:
            return MODELS[cls.__name__], cls is model
    return OptionFile, False


def dataset_schema(dataset_type: Any) -> tuple[type[Dataset], bool]:
    """The schema of a type of data set, and whether it lists every key."""
    return (DATASETS[dataset_type], True) if dataset_type in DATASETS else (Dataset, False)


def sections(options: Options) -> Iterator[tuple[KeyPath, Described]]:
    """Every section of the options: the whole file first, then the sections in it, then those in these.

    A value that should be a section and is no mapping is left out, except in the place of a `Constructor`.
    """
    schema, _ = model_schema(options.values.get("model_type"))
    yield from sorted(_below(options, (), schema), key=lambda section: len(section[0]))


def _below(options: Options, path: KeyPath, schema: Described) -> Iterator[tuple[KeyPath, Described]]:
    yield path, schema
    section = options.section(*path)
    described = {field.name: field.type for field in msgspec.structs.fields(schema)}
    for key, value in section.items():
        here = (*path, str(key))
        inner, many = nested(described.get(str(key)) or _by_convention(options, path, str(key)))
        if inner is None:
            continue
        if many:
            for name in options.section(*here):
                yield from _section(options, (*here, str(name)), inner)
        elif value is not None or here == ("network_g",):
            yield from _section(options, here, inner)


def _section(options: Options, path: KeyPath, schema: Described) -> Iterator[tuple[KeyPath, Described]]:
    if issubclass(schema, Dataset):
        schema, _ = dataset_schema(options.get(*path, "type"))
    if isinstance(options.get(*path), dict):
        yield from _below(options, path, schema)
    elif issubclass(schema, Constructor):
        yield path, schema


def _by_convention(options: Options, path: KeyPath, key: str) -> Any:
    """The type of a key that a model of others has, by the names that BasicSR gives; None for no such name."""
    _, complete = model_schema(options.values.get("model_type"))
    if complete or len(path) > 1:
        return None
    wanted = conventional_type(".".join(path), key)
    value = options.get(*path, key)
    if nested(wanted)[0] is not None and not (isinstance(value, dict) and "type" in value):
        return None  # `*_opt` of a plugin may hold anything
    return wanted


def conventional_type(section: str, key: str) -> Any:
    """The type of `key` in a section of a model of others, by its name; None where the name says nothing."""
    patterns = CONVENTIONS.get(section, {})
    return next((wanted for pattern, wanted in patterns.items() if re.fullmatch(pattern, key)), None)


@cache
def nested(annotation: Any) -> tuple[Described | None, bool]:
    """The section that a field holds, None for a plain value; and whether it holds several, by name."""
    if typing.get_origin(annotation) is Annotated:
        annotation = typing.get_args(annotation)[0]
    if isinstance(annotation, type) and issubclass(annotation, (Section, Constructor)):
        return annotation, False
    if typing.get_origin(annotation) is dict:
        inner, _ = nested(typing.get_args(annotation)[1])
        return inner, True
    if isinstance(annotation, UnionType):
        for member in typing.get_args(annotation):
            inner, many = nested(member)
            if inner is not None:
                return inner, many
    return None, False
