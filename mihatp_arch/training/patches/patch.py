"""One row of the table of patches."""

from collections.abc import Callable
from dataclasses import dataclass
from types import ModuleType
from typing import Any


@dataclass(frozen=True, kw_only=True)
class BasicSRFunction:
    """A function of BasicSR 1.4.2.

    Attributes:
        owner: the module or class in which BasicSR looks for the function.
        name: of the function in `owner`.
        parameters: the names of its parameters in 1.4.2.
    """

    owner: ModuleType | type
    name: str
    parameters: tuple[str, ...]

    @property
    def label(self) -> str:
        """The full name of the function."""
        owner = self.owner
        where = owner.__name__ if isinstance(owner, ModuleType) else f"{owner.__module__}.{owner.__qualname__}"
        return f"{where}.{self.name}"


@dataclass(frozen=True, kw_only=True)
class Patch(BasicSRFunction):
    """A function of BasicSR 1.4.2 that is replaced.

    Attributes:
        ours: the function, or class, that takes its place.
        why: the fault of BasicSR's function.
        until: what BasicSR must do before this row can go; it continues "can go when BasicSR".
    """

    ours: Callable[..., Any]
    why: str
    until: str
