"""A validator for the keywords of JSON Schema that options/schema.json uses."""

import re
from collections.abc import Iterator
from typing import Any

_SILENT = {"$schema", "$defs", "title", "description", "default", "examples"}
_TYPES = {
    "object": lambda value: isinstance(value, dict),
    "array": lambda value: isinstance(value, list),
    "string": lambda value: isinstance(value, str),
    "boolean": lambda value: isinstance(value, bool),
    "null": lambda value: value is None,
    "number": lambda value: isinstance(value, (int, float)) and not isinstance(value, bool),
    "integer": lambda value: not isinstance(value, bool) and (isinstance(value, int) or value == int(value)),
}
_BOUNDS = {
    "minimum": lambda value, bound: value >= bound,
    "exclusiveMinimum": lambda value, bound: value > bound,
    "maximum": lambda value, bound: value <= bound,
    "exclusiveMaximum": lambda value, bound: value < bound,
}


def errors(value: Any, schema: dict[str, Any] | bool, root: dict[str, Any], path: str = "") -> Iterator[str]:
    """The paths in `value` that do not fit `schema`, each with the keyword. A keyword that is not known raises."""
    if isinstance(schema, bool):
        if not schema:
            yield f"{path}: nothing may stand here"
        return
    for keyword, given in schema.items():
        if keyword not in _SILENT and keyword not in ("then", "additionalProperties"):
            yield from _keyword(value, keyword, given, schema, root, path)
    if isinstance(value, dict) and "additionalProperties" in schema:
        for key in value.keys() - schema.get("properties", {}).keys():
            yield from errors(value[key], schema["additionalProperties"], root, f"{path}.{key}")


def _keyword(
    value: Any, keyword: str, given: Any, schema: dict[str, Any], root: dict[str, Any], path: str
) -> Iterator[str]:
    fits = True
    match keyword:
        case "$ref":
            yield from errors(value, root["$defs"][given.removeprefix("#/$defs/")], root, path)
        case "type":
            fits = any(_is_type(value, name) for name in ([given] if isinstance(given, str) else given))
        case "enum":
            fits = value in given
        case "const":
            fits = value == given
        case "anyOf":
            fits = any(not [*errors(value, one, root, path)] for one in given)
        case "allOf":
            for one in given:
                yield from errors(value, one, root, path)
        case "if":
            if not [*errors(value, given, root, path)]:
                yield from errors(value, schema["then"], root, path)
        case "required":
            fits = not isinstance(value, dict) or set(given) <= value.keys()
        case "properties":
            for key in given.keys() & (value.keys() if isinstance(value, dict) else set()):
                yield from errors(value[key], given[key], root, f"{path}.{key}")
        case "propertyNames":
            fits = not isinstance(value, dict) or all(re.search(given["pattern"], key) for key in value)
        case "items":
            for index, item in enumerate(value if isinstance(value, list) else ()):
                yield from errors(item, given, root, f"{path}[{index}]")
        case _:
            fits = not _is_type(value, "number") or _BOUNDS[keyword](value, given)
    if not fits:
        yield f"{path}: {keyword}"


def _is_type(value: Any, name: str) -> bool:
    if name == "integer" and not isinstance(value, (int, float)):
        return False
    return _TYPES[name](value)
