"""Whether a mapping of options fits what a class or a function takes: names, missing arguments, types."""

import ast
import inspect
import textwrap
import typing
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any

from datasets_prep.common.text import did_you_mean
from mihatp_arch.config.checks.values import shown, value_mistake
from mihatp_arch.config.read import KeyPath, Options

Target = Callable[..., Any]
_VARIADIC = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)


def named_parameters(target: Target) -> dict[str, inspect.Parameter]:
    """The parameters of a function, or of a class's constructor, that have a name.

    `**kwargs` add the parameters of the base class if the constructor passes them to `super().__init__`. Other
    `**kwargs` add nothing: they would swallow a misspelt name.
    """
    if not isinstance(target, type):
        return _named(target)
    parameters: dict[str, inspect.Parameter] = {}
    for cls in inspect.getmro(target):
        if "__init__" not in vars(cls):
            continue
        parameters = {name: value for name, value in _named(cls.__init__).items() if name != "self"} | parameters
        if not _passes_on(cls.__init__):
            break
    return parameters


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
        if value.kind not in _VARIADIC and not value.name.startswith("_")  # a leading underscore: not an option
    }


def _passes_on(function: Target) -> bool:
    """Whether `super().__init__(…, **kwargs)` stands in the constructor; its signature does not say so."""
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
    others: Collection[str] = (),
) -> Iterator[str]:
    """Lines about the mapping at `path` as arguments of `target`, which its `type` names.

    Args:
        given: arguments that do not come from the mapping.
        others: keys of the mapping that are no arguments, besides `type`.
    """
    name = options.get(*path, "type") or getattr(target, "__name__", "it")
    arguments = {key: value for key, value in options.section(*path).items() if key not in ("type", *others)}
    parameters = {key: value for key, value in named_parameters(target).items() if key not in given}
    for key in arguments.keys() - parameters.keys():
        hint = did_you_mean(key, [*parameters, *others])
        yield options.problem(path, f"'{key}' is not an option of {name}", key=str(key), hint=hint)
    for key, parameter in parameters.items():
        if key not in arguments:
            if parameter.default is parameter.empty:
                yield options.problem(path, f"{name} needs '{key}'")
        else:
            mistake = argument_mistake(arguments[key], parameter)
            if mistake:
                yield options.problem((*path, key), mistake)


def argument_mistake(value: Any, parameter: inspect.Parameter) -> str | None:
    """The mistake in the type of an argument, by its annotation, else by its default; None if it fits."""
    if parameter.annotation is not parameter.empty:
        try:
            return value_mistake(value, parameter.annotation)
        except TypeError:  # msgspec does not know the type (a Tensor, for example)
            pass
    default = parameter.default
    if default is parameter.empty or default is None or value == default:
        return None
    fits, wanted = _like_default(value, parameter)
    return None if fits else f"expected {wanted}, got {shown(value)}"


def _like_default(value: Any, parameter: inspect.Parameter) -> tuple[bool, str]:
    """Whether `value` is of the kind of the default, and that kind in words."""
    default = parameter.default
    if isinstance(default, bool):
        return isinstance(value, bool), "true or false"
    if isinstance(default, (int, float)):
        # a size may be [height, width], as in torch's own layers
        sizes = isinstance(value, list) and parameter.name.endswith("_size") and all(map(_is_number, value))
        return _is_number(value) or sizes, "a number"
    if isinstance(default, str):
        return isinstance(value, str), "a word"
    if isinstance(default, (list, tuple)):
        numbers = all(map(_is_number, default))
        fits = isinstance(value, list) and (not numbers or all(map(_is_number, value)))
        return fits, "a list of numbers" if numbers else "a list"
    if isinstance(default, Mapping):
        return isinstance(value, dict), "a mapping"
    return True, ""


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)
