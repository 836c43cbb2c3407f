"""Writes docs/options.md, the page of all options: `python -m mihatp_arch.config.make_docs`."""

import inspect
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
from msgspec import UNSET

from datasets_prep.common.files import write_file
from datasets_prep.common.text import markdown_table
from mihatp_arch.config.catalogue import Target, arguments, catalogue, descriptions
from mihatp_arch.config.checks.sections import Described, nested
from mihatp_arch.config.checks.values import words
from mihatp_arch.config.schema import DATASETS, MODELS, Backend, Dataset, Loss, Metric, Network, OptionFile, Scheduler

FILE = Path(__file__).resolve().parents[2] / "docs" / "options.md"

_INTRODUCTION = """\
# Options

<!-- Written by `python -m mihatp_arch.config.make_docs`; do not edit. -->

An option file is a YAML file that BasicSR can read. Files are merged from left to right
(`basicsr train -opt FILE OVERLAY …`), and `--force_yml train:total_iter=1000` sets a single value. In a later file,
`~` (null) empties an option; below `network_*` it removes the option, so that the default of the network holds.

`basicsr` checks every option before it opens data or makes a folder: an unknown key, a wrong type or a value out of
range is one line with the file, the key and the nearest name that exists. A model that is not listed here (another
plugin, a model of BasicSR for video) may have more options: for such a model an unknown key is a warning, except a key
that differs by one letter from a known one.

"Default" is the value that holds where a file leaves the option out. An empty cell: there is none.
"""

_KINDS = {
    Network: ("Networks", "`network_g`, and `network_c` of MiHATPModel: `type` and these arguments."),
    Loss: ("Losses", "`train.pixel_opt`, `train.contrastive_opt` …: `type` and these arguments."),
    Metric: ("Metrics", "`val.metrics.<name>`: `type` and these arguments."),
    Scheduler: ("Schedules", "`train.scheduler`: `type` and these arguments, or a class of torch.optim.lr_scheduler."),
    Backend: ("Storage backends", "`io_backend` of a data set: `type` and these arguments."),
}


def options_page() -> str:
    """The text of docs/options.md."""
    parts = [_INTRODUCTION]
    parts += _section("The file", "", OptionFile, base=None)
    for schema in dict.fromkeys(MODELS.values()):
        if schema is not OptionFile:
            parts += _additions(schema)
    for kind, targets in catalogue().items():
        heading, where = _KINDS[kind]
        parts += [f"## {heading}\n", f"{where}\n"]
        for name, target in targets.items():
            parts += [f"### {name}\n", _arguments(arguments(kind, target), target)]
    return "\n".join(parts).rstrip() + "\n"


def _section(heading: str, path: str, schema: Described, *, base: Described | None) -> Iterator[str]:
    """The table of a section, without the options of `base`, and then the sections in it."""
    known = {field.name for field in msgspec.structs.fields(base)} if base else set()
    fields = [field for field in msgspec.structs.fields(schema) if field.name not in known]
    yield f"## {heading}\n"
    if schema.__doc__:
        yield f"{schema.__doc__}\n"
    yield _table([_row(field.name, field.type, field.default) for field in fields])
    for field in fields:
        inner, many = nested(field.type)
        if inner in (None, Network, Loss):  # their tables stand at the end
            continue
        name = f"{path}{field.name}" + (".<name>" if many else "")
        yield from _section(f"`{name}`", f"{name}.", inner, base=None)
        if issubclass(inner, Dataset):
            for dataset_type, own in DATASETS.items():
                yield from _section(f"`{name}` of type {dataset_type}", f"{name}.", own, base=inner)


def _additions(schema: type[OptionFile]) -> Iterator[str]:
    """What the files of a model have besides the options of every model."""
    models = " and ".join(name for name, other in MODELS.items() if other is schema)
    base = {field.name: field.type for field in msgspec.structs.fields(OptionFile)}
    own = [field for field in msgspec.structs.fields(schema) if field.name not in base]
    if own:
        yield f"## {models}\n"
        yield _table([_row(field.name, field.type, field.default) for field in own])
    for field in msgspec.structs.fields(schema):
        inner, _ = nested(field.type)
        standard, _ = nested(base[field.name]) if field.name in base else (None, False)
        if inner is not None and standard is not None and inner is not standard:
            yield from _section(f"`{field.name}` of {models}", f"{field.name}.", inner, base=standard)


def _row(name: str, annotation: Any, default: Any) -> list[str]:
    info = msgspec.inspect.type_info(annotation)
    assert isinstance(info, msgspec.inspect.Metadata), "every option has a description"
    inner, _ = nested(annotation)
    in_words = (info.extra or {}).get("default", "")
    constant = "" if default in (UNSET, msgspec.NODEFAULT) else _value(default)
    text = (info.extra_json_schema or {})["description"]
    return [f"`{name}`", "a section" if inner else words(info), in_words or constant, text]


def _arguments(parameters: dict[str, inspect.Parameter], target: Target) -> str:
    texts = descriptions(target)
    rows = []
    for name, parameter in parameters.items():
        required = parameter.default is parameter.empty
        default = "required" if required else _value(parameter.default)
        rows.append([f"`{name}`", _kind(parameter), default, texts.get(name, "")])
    return _table(rows) if rows else "It has no arguments.\n"


def _kind(parameter: inspect.Parameter) -> str:
    try:
        if parameter.annotation is not parameter.empty:
            return words(msgspec.inspect.type_info(parameter.annotation))
    except TypeError:  # msgspec does not know the type
        pass
    default = parameter.default
    if default is None or default is parameter.empty:
        return ""
    if isinstance(default, bool):
        return "true or false"
    if isinstance(default, (int, float)):
        return "a number"
    return "a list" if isinstance(default, (list, tuple)) else "str"


def _value(value: Any) -> str:
    """A default as an option file spells it."""
    if value is None:
        return "`~`"
    if isinstance(value, bool):
        return "`true`" if value else "`false`"
    if isinstance(value, tuple):
        value = list(value)
    return f"`{value}`" if value != "" else ""


def _table(rows: list[list[str]]) -> str:
    escaped = [[cell.replace("|", "\\|") for cell in row] for row in rows]
    return markdown_table(["Option", "Value", "Default", "Meaning"], escaped) + "\n"


if __name__ == "__main__":
    write_file(FILE, options_page().encode())
