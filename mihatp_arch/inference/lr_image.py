"""An LR image of any size that is read part by part."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray


class ReadLR(Protocol):
    """Reads the pixels of a rectangle that lies within the image: [height, width, 3] uint8, or float32 in [0, 1]."""

    def __call__(self, x: int, y: int, width: int, height: int) -> NDArray[np.uint8] | NDArray[np.float32]: ...


@dataclass(frozen=True)
class Image:
    """An LR image that is read part by part.

    Attributes:
        width, height: px.
        read: its pixels.
        computed: whether the network computes the tile at (row, column); the others are interpolated.
    """

    width: int
    height: int
    read: ReadLR
    computed: Callable[[int, int], bool] = lambda row, column: True

    def window(self, x: int, y: int, width: int, height: int) -> NDArray[np.float32]:
        """The pixels of any rectangle, [height, width, 3] float32 in [0, 1], mirrored beyond the image's border."""
        left, top = max(x, 0), max(y, 0)
        right, bottom = min(x + width, self.width), min(y + height, self.height)
        pixels = as_float(self.read(left, top, right - left, bottom - top))
        padding = ((top - y, y + height - bottom), (left - x, x + width - right), (0, 0))
        return np.pad(pixels, padding, mode="symmetric" if min(pixels.shape[:2]) == 1 else "reflect")


def as_float(pixels: NDArray[np.uint8] | NDArray[np.float32]) -> NDArray[np.float32]:
    """uint8 or float pixels as float32 in [0, 1]."""
    values = pixels.astype(np.float32)
    if pixels.dtype == np.uint8:
        values /= 255
    return values
