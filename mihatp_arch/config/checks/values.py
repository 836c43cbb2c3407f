"""Whether a value fits a type, and the words for what was expected: `expected int >= 1, got 0`."""

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec
from msgspec import inspect as types

from mihatp_arch.config.yaml_files import kind

_NAMES: dict[type[types.Type], str] = {
    types.AnyType: "any value",
    types.BoolType: "true or false",
    types.IntType: "int",
    types.FloatType: "float",
    types.StrType: "str",
    types.NoneType: "null",
    types.ListType: "a list",
    types.TupleType: "a list",
    types.VarTupleType: "a list",
    types.SetType: "a list",
    types.FrozenSetType: "a list",
    types.DictType: "a mapping",
    types.StructType: "a mapping",
}
_BOUNDS = (("gt", ">"), ("ge", ">="), ("lt", "<"), ("le", "<="))


def value_mistake(value: Any, wanted: Any) -> str | None:
    """`expected …, got …` where `value` is no `wanted` (a type with msgspec's constraints); None where it fits.

    An int is a float and a list is a tuple; a word is never a number.

    Raises:
        TypeError: msgspec does not know the type.
    """
    info = types.type_info(wanted)
    if _fits(value, wanted):
        return None
    if isinstance(info, types.Metadata):
        info = info.type
    return f"{_expected_where(value, info)}, got {shown(value)}"


def _expected_where(value: Any, info: types.Type, item_path: str = "") -> str:
    """`expected …` about `value`, or about the first wrong item in it and its place."""
    for container in info.types if isinstance(info, types.UnionType) else (info,):
        for key, item, item_info in _items(value, container):
            if not _info_fits(item, item_info):
                return _expected_where(item, item_info, f"{item_path}[{key!r}]")
    return f"expected {_expected(value, info)}" + (f" (at {item_path})" if item_path else "")


def _items(value: Any, info: types.Type) -> Iterator[tuple[Any, Any, types.Type]]:
    """The place, the value and the type of each item of a list or mapping; none where `info` is neither."""
    if isinstance(info, types.Metadata):
        info = info.type
    if isinstance(value, list) and isinstance(info, (types.ListType, types.VarTupleType)):
        yield from ((index, item, info.item_type) for index, item in enumerate(value))
    elif isinstance(value, dict) and isinstance(info, types.DictType):
        yield from ((key, item, info.value_type) for key, item in value.items())


def words(info: types.Type) -> str:
    """A type in the words of a table: `int >= 1`, `` `fp32`, `bf16` ``, `a list of float, or null`."""
    if isinstance(info, types.Metadata):
        return words(info.type)
    if isinstance(info, types.UnionType):
        members = [words(member) for member in info.types if not isinstance(member, types.NoneType)]
        optional = len(members) < len(info.types)
        return " or ".join(members) + (", or null" if optional else "")
    if isinstance(info, types.LiteralType):
        return ", ".join(f"`{value}`" for value in info.values)
    if isinstance(info, (types.ListType, types.VarTupleType)) and not isinstance(info.item_type, types.AnyType):
        return f"a list of {words(info.item_type)}"
    bounds = " and ".join(_bounds(info))
    return f"{_name(info)} {bounds}" if bounds else _name(info)


def shown(value: Any) -> str:
    """A value in a message: a short list in full, else its kind."""
    return str(value) if isinstance(value, list) and len(str(value)) < 60 else kind(value)


def _fits(value: Any, wanted: Any) -> bool:
    try:
        msgspec.convert(value, wanted)
    except msgspec.ValidationError:
        return False
    return True


def _info_fits(value: Any, info: types.Type) -> bool:
    """As `_fits`, for a type of which only the description is at hand: items of lists, members of unions."""
    if isinstance(info, types.Metadata):
        return _info_fits(value, info.type)
    if isinstance(info, types.UnionType):
        return any(_info_fits(value, member) for member in info.types)
    if isinstance(info, types.LiteralType):
        return value in info.values and not isinstance(value, bool)
    if isinstance(info, types.AnyType):
        return True
    items_fit = all(_info_fits(item, item_info) for _, item, item_info in _items(value, info))
    return _is_kind(value, info) and items_fit and not _broken_bound(value, info)


def _is_kind(value: Any, info: types.Type) -> bool:
    match info:
        case types.BoolType():
            return isinstance(value, bool)
        case types.IntType():
            return isinstance(value, int) and not isinstance(value, bool)
        case types.FloatType():
            return isinstance(value, (int, float)) and not isinstance(value, bool)
        case types.StrType():
            return isinstance(value, str)
        case types.NoneType():
            return value is None
        case types.DictType() | types.StructType():
            return isinstance(value, Mapping)
    return isinstance(value, list)


def _expected(value: Any, info: types.Type) -> str:
    """What `value` should have been: the bound that it breaks where its kind is right, else the kind."""
    if isinstance(info, types.Metadata):
        return _expected(value, info.type)
    if isinstance(info, types.UnionType):
        choices = [choice for member in info.types for choice in _choices(member)]
        others = [member for member in info.types if not isinstance(member, (types.LiteralType, types.NoneType))]
        if choices and not others:
            return f"one of {', '.join(map(repr, choices))}"
        right = [member for member in others if _is_kind(value, member)]
        if right:
            return _expected(value, right[0])
        return " or ".join(_expected(value, member) for member in info.types)
    if isinstance(info, types.LiteralType):
        return f"one of {', '.join(map(repr, info.values))}"
    bound = _broken_bound(value, info) if _is_kind(value, info) else None
    return f"{_name(info)} {bound}" if bound else _name(info)


def _choices(info: types.Type) -> tuple[Any, ...]:
    return info.values if isinstance(info, types.LiteralType) else ()


def _name(info: types.Type) -> str:
    return _NAMES.get(type(info), "another value")


def _bounds(info: types.Type) -> Iterator[str]:
    for attribute, sign in _BOUNDS:
        bound = getattr(info, attribute, None)
        if bound is not None:
            yield f"{sign} {float(bound) if isinstance(info, types.FloatType) else bound}"


def _broken_bound(value: Any, info: types.Type) -> str | None:
    """The first bound of a number type that `value` breaks. nan breaks every one."""
    for text in _bounds(info):
        sign, _, number = text.partition(" ")
        bound = float(number)
        holds = {">": value > bound, ">=": value >= bound, "<": value < bound, "<=": value <= bound}[sign]
        if not holds:
            return text
    return None
