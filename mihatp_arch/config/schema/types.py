"""The types that the sections of an option file are made of."""

from typing import Annotated, Any

from msgspec import UNSET, Meta, Struct

Positive = Annotated[int, Meta(ge=1)]
Count = Annotated[int, Meta(ge=0)]
Weight = Annotated[float, Meta(ge=0)]

# The default of an option that has none: a file that leaves it out says nothing about it.
NONE: Any = UNSET


def about(description: str, *, default: str = "") -> Meta:
    """The description of an option, and its default in words where the default is no constant."""
    return Meta(description=description, extra={"default": default} if default else None)


class Section(Struct, kw_only=True, forbid_unknown_fields=True):
    """A mapping of an option file whose keys are all listed here."""


class Constructor(Struct, kw_only=True):
    """A mapping that names a class or function in `type` and holds its arguments.

    The arguments are checked against the signature of that class or function. A field here states the type or the
    range of an argument more exactly than the signature.
    """
