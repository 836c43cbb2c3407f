"""Artefacts on a slide: pen marks and black, which are coloured or dark and yet no tissue.

H&E stain absorbs green most, then red, then blue, and almost no stained tissue is black. An area of 4 µm or more whose
mean colour differs from this was drawn on the glass, inked on the specimen, or not scanned.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from datasets_prep.tissue.optical_density import optical_density
from datasets_prep.tissue.red_ink import find_red_ink

_CELL = 16  # px of level 0, smallest side of the averaged cells: a single nucleus is as dark and as blue as ink
# Measured on the 16×16 px means of 33 TCGA tiles at 40x: the density of green is at least 0.88 times that of red, blue
# is at most 42 codes above red, chroma plus a quarter of the lightest channel is at least 40, and the lightest channel
# is at least 47.
# Cool ink: largest ratio of the densities green / red, and smallest density of red. Paler ink looks like tinted glass.
_COOL, _COOL_DENSITY = 0.9, 0.25
_BLUE = 50  # codes, blue minus red
_DARK = 40  # the darker the cell, the more chroma is allowed: it may be noise
_BLACKEST = 58  # code of the lightest channel; a single dark cell is tissue, an area of them is pigment or a fold
_STROKE = 96  # px of level 0, smallest width of a stroke of red ink: capillaries and fibres are thinner


@dataclass(frozen=True)
class Artefacts:
    """Artefacts on an overview of H×W pixels. A pixel may be in both masks.

    Attributes:
        pen: [H, W] bool, blue, green, cyan, violet, pure red and orange ink.
        black: [H, W] bool, black ink, unscanned black area, opaque dirt and pigment.
    """

    pen: NDArray[np.bool_]
    black: NDArray[np.bool_]

    @property
    def either(self) -> NDArray[np.bool_]:
        """[H, W] bool: pen or black."""
        return self.pen | self.black


def find_artefacts(rgb: NDArray[np.uint8], *, scale: tuple[float, float]) -> Artefacts:
    """Find pen marks and black on the overview of a slide.

    Artefacts thinner than 3 pixels of the overview, or 48 px of level 0, are not found. Each found area is widened by
    1 pixel, or 16 px of level 0, to cover its soft edge. Red ink is found by colour and by the shape of a stroke
    (`red_ink.py`): blood counts as tissue. Pale and violet ink is found on glass, but rarely over tissue.

    Args:
        rgb: overview of the whole slide, [H, W, 3] uint8.
        scale: (sx, sy), level-0 px per pixel. A finer overview is first averaged to about 16 px of level 0 per pixel.
    """
    height, width, _ = rgb.shape
    if not rgb.size:
        return Artefacts(np.zeros((height, width), bool), np.zeros((height, width), bool))
    n = max(1, round(_CELL / max(scale)))
    cells = _averaged(rgb, n)
    pen = _pen(cells, least_width=max(3.0, _STROKE / (n * max(scale))))
    pen, black = (_widened(mask).repeat(n, 0).repeat(n, 1)[:height, :width] for mask in (pen, _black(cells)))
    return Artefacts(pen, black)


def _averaged(rgb: NDArray[np.uint8], n: int) -> NDArray[np.uint8]:
    """The mean over cells of n×n pixels; the last pixels are repeated to fill the last cells."""
    if n == 1:
        return rgb
    height, width, _ = rgb.shape
    rows, columns = -(-height // n), -(-width // n)
    filled = cv2.copyMakeBorder(rgb, 0, rows * n - height, 0, columns * n - width, cv2.BORDER_REPLICATE)
    return np.asarray(cv2.resize(filled, (columns, rows), interpolation=cv2.INTER_AREA), np.uint8)


def _pen(rgb: NDArray[np.uint8], *, least_width: float) -> NDArray[np.bool_]:
    density = optical_density(rgb)
    cool = (density[..., 0] > _COOL_DENSITY) & (density[..., 1] < _COOL * density[..., 0])
    bluish = rgb[..., 2].astype(np.int16) - rgb[..., 0] > _BLUE
    return cool | bluish | find_red_ink(density, least_width=least_width)


def _black(rgb: NDArray[np.uint8]) -> NDArray[np.bool_]:
    lightest, darkest = (pick(rgb, axis=-1).astype(np.int16) for pick in (np.max, np.min))
    return (4 * (lightest - darkest) + lightest < 4 * _DARK) | (lightest < _BLACKEST)


def _widened(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The mask without specks and thin lines, and 1 px wider."""
    square = np.ones((3, 3), np.uint8)
    return cv2.dilate(cv2.morphologyEx(mask.astype(np.uint8), cv2.MORPH_OPEN, square), square).astype(bool)
