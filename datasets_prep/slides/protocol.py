"""What a slide reader gives: the ONE interface behind which every file format is read.

A new reader is a class with these members in a file of its own, and one line in `slides/open.py`.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import ClassVar, NoReturn, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

T = TypeVar("T")


@dataclass(frozen=True)
class SlideFacts:
    """What a file says of its scan; a reader of a format that says nothing gives `SlideFacts()`.

    Attributes:
        icc: colour profile of level 0.
        scanner: make, model or serial number of the scanner.
        origin: (x, y) of the part of level 0 that viewers such as QuPath show, level-0 px. Their coordinates begin
            there (`openslide.bounds-x` and `-y`, as MRXS and SCN have them).
    """

    icc: bytes | None = None
    scanner: str = ""
    origin: tuple[int, int] = (0, 0)


class OpenFile(ABC):
    """A reader whose file is open until `close` is called or its `with` block ends."""

    @abstractmethod
    def close(self) -> None:
        """Close the file."""

    def __enter__(self: T) -> T:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __reduce__(self) -> NoReturn:
        raise TypeError("an open slide cannot be pickled: send its path, and open it where it is read")


class Levels(Protocol):
    """The pixels of a slide at several resolutions. Level 0 is the finest, the others are reduced copies of it."""

    @property
    def level_sizes(self) -> Sequence[tuple[int, int]]:
        """(width, height) of each level in pixels, finest first."""
        ...

    def read(self, x: int, y: int, width: int, height: int, *, level: int = 0) -> NDArray[np.uint8]:
        """Pixels of a rectangle, [height, width, 3] uint8 RGB; white outside the slide.

        Args:
            x, y: upper left corner, in pixels of `level`.
            width, height: size, in pixels of `level`.
            level: index into `level_sizes`.

        Raises:
            UserError: the pixels cannot be decoded.
            ValueError: the level does not exist, or the size is negative.
        """
        ...


class Pyramid(Levels, Protocol):
    """Levels, and the choice of one for a reduced view."""

    def best_level_for_downsample(self, downsample: float) -> int:
        """The coarsest level that is reduced at most `downsample` times against level 0."""
        ...


class SlideReader(Pyramid, Protocol):
    """One open slide or image tile; `close` or a `with` block closes it. One thread at a time may use it."""

    suffixes: ClassVar[tuple[str, ...]]
    """Endings of the file names that this reader opens, in lower case and with the dot."""

    def __init__(self, path: Path, *, assume_mpp: float | None = None) -> None:
        """Open the file at `path`; `assume_mpp` is its µm per pixel where the file states none. Raises `UserError`."""
        ...

    @classmethod
    def recognises(cls, path: Path) -> bool:
        """Whether this reader, and not a later one in the list, should open the file at `path`."""
        ...

    @property
    def path(self) -> Path:
        """The file, as it was given."""
        ...

    @property
    def vendor(self) -> str:
        """Name of the file format, such as `aperio`."""
        ...

    @property
    def mpp(self) -> float | None:
        """µm per level-0 pixel; None when it is unknown, which only an image tile may be."""
        ...

    @property
    def mpp_source(self) -> str:
        """Where `mpp` comes from: `slide`, `objective` (10 / magnification), `assumed`, or empty."""
        ...

    @property
    def facts(self) -> SlideFacts:
        """Colour profile, scanner and origin of the slide."""
        ...

    def close(self) -> None:
        """Close the file."""
        ...

    def __enter__(self) -> "SlideReader": ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...
