"""Writes options/schema.json, by which an editor checks and completes option files.

`python -m mihatp_arch.config.make_schema`. One JSON Schema serves training files, test files and overlays of every
model: no key is required, and a section has the keys of all models.
"""

import inspect
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
from msgspec import UNSET

from datasets_prep.common.files import write_file
from mihatp_arch.config.catalogue import arguments, catalogue, descriptions
from mihatp_arch.config.checks.sections import Described, nested
from mihatp_arch.config.schema import DATASETS, MODELS, Constructor, Dataset, Network

FILE = Path(__file__).resolve().parents[2] / "options" / "schema.json"
_DATA_SET_NAMES = r"^(train|val(_.*)?|test(_.*)?)$"
Json = dict[str, Any]


def json_schema() -> Json:
    """The JSON Schema of an option file."""
    title = {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "Options of MiHATP and BasicSR"}
    definitions: Json = {}
    return title | _section(list(dict.fromkeys(MODELS.values())), definitions) | {"$defs": definitions}


def schema_text() -> str:
    """The text of options/schema.json."""
    return json.dumps(json_schema(), indent=1, ensure_ascii=False) + "\n"


def _section(schemas: Sequence[Described], definitions: Json) -> Json:
    """A section that has the keys of all these classes; a constructor stands in `definitions`, once."""
    types: dict[str, list[Any]] = {}
    defaults: dict[str, Any] = {}
    for schema in schemas:
        for field in msgspec.structs.fields(schema):
            types.setdefault(field.name, []).append(field.type)
            defaults[field.name] = field.default
    properties = {name: _option(fields, defaults[name], definitions) for name, fields in types.items()}
    if not issubclass(schemas[0], Constructor):
        return {"type": "object", "properties": properties, "additionalProperties": False}
    definitions.setdefault(schemas[0].__name__, _constructor(schemas[0], properties))
    return {"$ref": f"#/$defs/{schemas[0].__name__}"}


def _option(types: Sequence[Any], default: Any, definitions: Json) -> Json:
    described = msgspec.inspect.type_info(types[0])
    assert isinstance(described, msgspec.inspect.Metadata), "every option has a description"
    text = {"description": (described.extra_json_schema or {})["description"]}
    inner = list(dict.fromkeys(schema for schema, _ in map(nested, types) if schema is not None))
    if not inner:
        known = {"default": default} if default not in (UNSET, msgspec.NODEFAULT) else {}
        return _plain(types[0]) | text | known
    names: Json = {}
    if issubclass(inner[0], Dataset):
        inner, names = [*dict.fromkeys(DATASETS.values())], {"propertyNames": {"pattern": _DATA_SET_NAMES}}
    section: Json = {"anyOf": [_section(inner, definitions), {"type": "null"}]}
    _, many = nested(types[0])
    if many:
        section = {"anyOf": [{"type": "object", "additionalProperties": section, **names}, {"type": "null"}]}
    return text | section


def _constructor(schema: type[Constructor], properties: Json) -> Json:
    """A mapping with a `type`: for each known type, its arguments and no others."""
    choices: list[Json] = []
    for kind, targets in catalogue().items():
        if not issubclass(schema, kind):
            continue
        # ContrastiveLoss is a class of the schema of its own, for one loss
        own_name = {schema.__name__: targets[schema.__name__]} if schema.__name__ in targets else targets
        for name, target in own_name.items():
            texts = descriptions(target)
            own = {
                key: _argument(parameter, removable=kind is Network)
                | ({"description": texts[key]} if key in texts else {})
                | properties.get(key, {})
                for key, parameter in arguments(kind, target).items()
            }
            then = {"properties": properties | own, "additionalProperties": False}
            choices.append({"if": {"properties": {"type": {"const": name}}, "required": ["type"]}, "then": then})
    if not choices:
        return {"type": "object", "properties": properties}
    names = [choice["if"]["properties"]["type"]["const"] for choice in choices]
    return {
        "type": "object",
        "properties": properties | {"type": properties["type"] | {"examples": names}},
        "allOf": choices,
    }


def _argument(parameter: inspect.Parameter, *, removable: bool) -> Json:
    """The type of an argument by its annotation, else by its default; null in an overlay removes it."""
    try:
        if parameter.annotation is parameter.empty:
            raise TypeError("no annotation")
        schema = _plain(parameter.annotation)
    except TypeError:
        schema = _like(parameter)
    return {"anyOf": [schema, {"type": "null"}]} if removable and schema else schema


def _like(parameter: inspect.Parameter) -> Json:
    default = parameter.default
    if isinstance(default, bool):
        return {"type": "boolean"}
    if isinstance(default, (int, float)):
        return {"type": ["number", "array"]} if parameter.name.endswith("_size") else {"type": "number"}
    if isinstance(default, str):
        return {"type": "string"}
    return {"type": "array"} if isinstance(default, (list, tuple)) else {}


def _plain(annotation: Any) -> Json:
    return msgspec.json.schema(annotation)


if __name__ == "__main__":
    write_file(FILE, schema_text().encode())
