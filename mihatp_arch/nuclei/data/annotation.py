"""The nuclei of an image as its label file has them, and the options by which label files are read."""

import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mihatp_arch.errors import UserError

# What readers of pictures and of .mat files raise for a damaged file.
DAMAGED = (
    *(OSError, EOFError, ValueError, TypeError, LookupError, ArithmeticError, AttributeError, AssertionError),
    *(RuntimeError, struct.error, zlib.error),
)

RADIUS = 6.0  # px, of the disc of a point


@dataclass(frozen=True)
class ReadOptions:
    """How label files are read.

    Attributes:
        classes: names of the types 1, 2, …; None: types are whole numbers.
        typed: whether types are read.
        raw_types: whether the seven types of CoNSeP stay; else they are merged to four.
        radius: of the disc of a point without an outline, px.
    """

    classes: Sequence[str] | None = None
    typed: bool = True
    raw_types: bool = False
    radius: float = RADIUS

    def type_of(self, name: str, where: str) -> int:
        """The type of a class: its number, 1 to 255, or 0 for no class.

        Raises:
            UserError: the class has no number; `where` says where it stands.
        """
        name = name.strip()
        if not self.typed or not name:
            return 0
        if self.classes is not None:
            if name in self.classes:
                return list(self.classes).index(name) + 1
            raise UserError(f"{where}: class '{name}' is none of --classes {' '.join(self.classes)}")
        if name.isdecimal() and 0 < int(name) < 256:
            return int(name)
        raise UserError(
            f"{where}: class '{name}' has no number: give all names in the order of their numbers (--classes A B …), "
            "or --no-classes"
        )


@dataclass(frozen=True)
class Annotation:
    """The nuclei of an image.

    Attributes:
        labels: label map, [H, W] int32.
        types: type of each pixel, [H, W] uint8; 0 in the background, and where the type is not known.
        notes: lines that the user should read.
    """

    labels: NDArray[np.int32]
    types: NDArray[np.uint8]
    notes: list[str] = field(default_factory=list)


def whole_numbers(values: NDArray[np.generic], where: str) -> NDArray[np.int64]:
    """A map of whole numbers that are not negative, of an array that may have floats.

    Raises:
        UserError: the array has other values, or no two dimensions; `where` names it.
    """
    if values.ndim != 2 or not np.issubdtype(values.dtype, np.number) or np.iscomplexobj(values):
        raise UserError(f"{where} is no map of numbers: it is {values.dtype} of {values.ndim} dimensions")
    real = values.astype(np.float64)
    if not (np.isfinite(real).all() and (real == np.floor(real)).all() and (real >= 0).all() and (real < 2**31).all()):
        raise UserError(f"{where} has values that are no numbers of nuclei: 0, 1, 2, … are needed")
    return real.astype(np.int64)


def refuse_outside(path: Path, outside: int, objects: str, size: tuple[int, ...]) -> None:
    """Raise `UserError` if objects of a file, such as `12 points`, lie outside the image of (height, width)."""
    if outside:
        raise UserError(
            f"{path}: {outside} of {objects} lie outside the image of {size[1]}×{size[0]} px: give them in px of this "
            "image"
        )


def types_by_number(labels: NDArray[np.int32], of_number: NDArray[np.integer]) -> NDArray[np.uint8]:
    """The type of each pixel, [H, W], from the type of each number of a label map; entry 0 is the background's, 0."""
    return of_number.astype(np.uint8)[labels]
