"""Whether a mapping of options fits what a class or a function takes: names, missing ones, types."""

import ast
import inspect
import textwrap
import typing
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any

import msgspec

from mihatp_arch.config.read import KeyPath, Options, nearest
from mihatp_arch.config.yaml_files import kind

Target = Callable[..., Any]
_VARIADIC = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
_TYPE_NAMES = {"array": "a list", "object": "a mapping", "bool": "true or false", "null": "null"}


def named_parameters(target: Target) -> dict[str, inspect.Parameter]:
    """The parameters of a function, or of a class's constructor, that have a name.

    `**kwargs` swallows typos and so counts for nothing, unless the constructor hands it on to its base class's.
    """
    if not isinstance(target, type):
        return _named(target)
    found: dict[str, inspect.Parameter] = {}
    for cls in inspect.getmro(target):
        if "__init__" not in vars(cls):
            continue
        found = {name: value for name, value in _named(cls.__init__).items() if name != "self"} | found
        if not _hands_on(cls.__init__):
            break
    return found


def _named(function: Target) -> dict[str, inspect.Parameter]:
    """The named parameters, each with its annotation resolved where that is possible."""
    try:
        hints = typing.get_type_hints(function, include_extras=True)
    except (NameError, TypeError, AttributeError):
        hints = {}
    parameters = inspect.signature(function).parameters.values()
    return {
        value.name: value.replace(annotation=hints.get(value.name, inspect.Parameter.empty))
        for value in parameters
        if value.kind not in _VARIADIC and not value.name.startswith("_")  # private: a class's own affair
    }


def _hands_on(function: Target) -> bool:
    """Whether `super().__init__(…, **kwargs)` stands in the constructor."""
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(function)))
    except (OSError, TypeError, SyntaxError):
        return False
    return any(
        isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr == "__init__"
        and any(keyword.arg is None for keyword in node.keywords)
        for node in ast.walk(tree)
    )


def check_arguments(
    options: Options,
    path: KeyPath,
    target: Target,
    *,
    given: Collection[str] = (),
    beside: Collection[str] = (),
    name: str | None = None,
) -> Iterator[str]:
    """Lines about the mapping at `path` as arguments of `target`, which its `type` names, else `name`.

    `given` are the arguments that do not come from the mapping, `beside` the keys in it that are no arguments.
    """
    beside = [*beside, "type"] if name is None else beside
    name = name or options.get(*path, "type")
    arguments = {key: value for key, value in options.section(*path).items() if key not in beside}
    parameters = {key: value for key, value in named_parameters(target).items() if key not in given}
    for key in arguments.keys() - parameters.keys():
        yield options.problem(path, f"'{key}' is not an option of {name}{nearest(key, parameters)}", key=str(key))
    for key, parameter in parameters.items():
        if key not in arguments:
            if parameter.default is parameter.empty:
                yield options.problem(path, f"{name} needs '{key}'")
            continue
        mistake = type_mistake(arguments[key], parameter)
        if mistake:
            yield options.problem((*path, key), mistake)


def type_mistake(value: Any, parameter: inspect.Parameter) -> str | None:
    """What is wrong with the type of `value`, by the annotation, else by the default; None if nothing is."""
    if parameter.annotation is not parameter.empty:
        try:
            return annotation_mistake(value, parameter.annotation)
        except TypeError:  # msgspec does not know the type (a Tensor, say)
            pass
    default = parameter.default
    if default is parameter.empty or default is None or value == default:
        return None
    if isinstance(default, bool):
        fits, wanted = isinstance(value, bool), "true or false"
    elif isinstance(default, (int, float)):
        # sizes may be pairs, as in torch's own layers
        sizes = isinstance(value, list) and parameter.name.endswith("_size") and all(map(_is_number, value))
        fits, wanted = _is_number(value) or sizes, "a number"
    elif isinstance(default, str):
        fits, wanted = isinstance(value, str), "a word"
    elif isinstance(default, (list, tuple)):
        numbers = all(map(_is_number, default))
        fits = isinstance(value, list) and (not numbers or all(map(_is_number, value)))
        wanted = "a list of numbers" if numbers else "a list"
    elif isinstance(default, Mapping):
        fits, wanted = isinstance(value, dict), "a mapping"
    else:
        return None
    return None if fits else f"expected {wanted}, got {kind_of(value)}"


def annotation_mistake(value: Any, annotation: Any) -> str | None:
    """What msgspec has against `value` as an `annotation`; an int is a float, a list a tuple, a word never a number.

    Raises:
        TypeError: msgspec does not know the annotation.
    """
    try:
        msgspec.convert(value, annotation)
    except msgspec.ValidationError as error:
        choices = [repr(choice) for choice in _choices(annotation)]
        if choices and not _other_types(annotation):
            return f"expected one of {', '.join(choices)}, got {kind_of(value)}"
        reason, _, place = str(error).partition(" - at `$")
        wanted = reason.removeprefix("Expected ").partition(", got")[0].replace("`", "").replace(" | ", " or ")
        wanted = " ".join(_TYPE_NAMES.get(word, word) for word in wanted.split(" "))
        where = f" (at {place.rstrip('`')})" if place else ""
        return f"expected {wanted}{where}, got {kind_of(value)}"
    return None


def _choices(annotation: Any) -> list[Any]:
    if typing.get_origin(annotation) is typing.Literal:
        return list(typing.get_args(annotation))
    return [choice for inner in typing.get_args(annotation) for choice in _choices(inner)]


def _other_types(annotation: Any) -> bool:
    members = typing.get_args(annotation)
    if typing.get_origin(annotation) is typing.Literal:
        return False
    return any(member is not type(None) and typing.get_origin(member) is not typing.Literal for member in members)


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def kind_of(value: Any) -> str:
    """What a value is, short: lists in full where they fit."""
    return str(value) if isinstance(value, list) and len(str(value)) < 60 else kind(value)
