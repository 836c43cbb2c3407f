"""Pen and black on the picture of a slide: what is coloured or dark, and yet no tissue.

H&E takes away green first, then red, then blue, and hardly any of it is black. What is averaged over 4 µm or more and
is otherwise was drawn on the glass, inked on the specimen, or not scanned.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

_CELL = 16  # px of level 0 that are averaged at least: single nuclei are as dark and as blue as ink
_WHITE = 245.0  # of the glass, for optical densities
_DENSITY = np.log(_WHITE / np.arange(1, 257)).clip(0).astype(np.float32)  # of each code, one added against log 0
# Over 16×16 px of 33 TCGA tiles at 40x green was never less than 0.88 as dense as red, nor blue more than 42 codes over
# red, nor the chroma plus a quarter of the lightest channel under 40, nor that channel under 47.
_COOL, _COOL_DENSITY = 0.9, 0.25  # density of green to red at most, of red at least; paler ink looks like tinted glass
_BLUE = 50  # codes of blue over red
_DARK = 40  # the blacker, the more chroma may be noise
_BLACKEST = 58  # of the lightest channel; single cells of tissue are darker, patches of them are pigment or folds
# Blood reaches 0.9; ink of the colour of blood cannot be told from it.
_WARM = 0.95  # density of blue to green
_OVER_GREEN, _MOST_GREEN, _LEAST_RED = 80, 120, 140  # codes: pigment is darker or paler


@dataclass(frozen=True)
class Marks:
    """What is on the glass and no tissue; H×W bool each, they may overlap.

    Attributes:
        pen: blue, green, cyan, violet, pure red and orange ink.
        black: black ink, canvas that was not scanned, opaque dirt and pigment.
    """

    pen: NDArray[np.bool_]
    black: NDArray[np.bool_]

    @property
    def either(self) -> NDArray[np.bool_]:
        """H×W bool: pen or black."""
        return self.pen | self.black


def find_marks(rgb: NDArray[np.uint8], *, scale: tuple[float, float]) -> Marks:
    """Find pen and black on an H×W×3 uint8 RGB picture of a slide.

    What is thinner than 3 pixels, or 48 px of level 0, is left; what is found is widened by 1 pixel, or 16 px, for its
    soft edges. Blood stays tissue, thus red ink is found only where it takes away blue like green. Pale and violet ink
    is found on glass, but hardly over tissue.

    Args:
        rgb: the picture.
        scale: (sx, sy), level-0 px per pixel; a picture finer than 16 is averaged to about 16 first.
    """
    height, width, _ = rgb.shape
    if not rgb.size:
        return Marks(np.zeros((height, width), bool), np.zeros((height, width), bool))
    n = max(1, round(_CELL / max(scale)))
    cells = _averaged(rgb, n)
    pen, black = (_widened(found).repeat(n, 0).repeat(n, 1)[:height, :width] for found in (_pen(cells), _black(cells)))
    return Marks(pen, black)


def _averaged(rgb: NDArray[np.uint8], n: int) -> NDArray[np.uint8]:
    """The mean over n×n pixels; the last ones are repeated to fill the last cells."""
    if n == 1:
        return rgb
    height, width, _ = rgb.shape
    rows, columns = -(-height // n), -(-width // n)
    filled = cv2.copyMakeBorder(rgb, 0, rows * n - height, 0, columns * n - width, cv2.BORDER_REPLICATE)
    return np.asarray(cv2.resize(filled, (columns, rows), interpolation=cv2.INTER_AREA), np.uint8)


def _pen(rgb: NDArray[np.uint8]) -> NDArray[np.bool_]:
    red, green, blue = (rgb[..., channel].astype(np.int16) for channel in range(3))
    density_red, density_green, density_blue = (_DENSITY[rgb[..., channel]] for channel in range(3))
    cool = (density_red > _COOL_DENSITY) & (density_green < _COOL * density_red)
    warm = (red - green >= _OVER_GREEN) & (green <= _MOST_GREEN) & (red >= _LEAST_RED)
    return cool | (blue - red > _BLUE) | (warm & (density_blue > _WARM * density_green))


def _black(rgb: NDArray[np.uint8]) -> NDArray[np.bool_]:
    lightest, darkest = (pick(rgb, axis=-1).astype(np.int16) for pick in (np.max, np.min))
    return (4 * (lightest - darkest) + lightest < 4 * _DARK) | (lightest < _BLACKEST)


def _widened(found: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Without specks and hairlines, and 1 px wider."""
    square = np.ones((3, 3), np.uint8)
    return cv2.dilate(cv2.morphologyEx(found.astype(np.uint8), cv2.MORPH_OPEN, square), square).astype(bool)
