"""Red ink, told from blood and eosin by colour, and where the colour leaves a doubt, by the shape of a pen stroke.

Red ink lets red light pass, and absorbs green and blue about equally. Eosin absorbs green, and half as much blue. Dense
blood absorbs blue as ink does, but also red. The purity, the density of blue minus twice that of red, is therefore
high for ink alone. Measured on the 16×16 px means of 33 TCGA tiles at 40x, it is at most 0.5 in 99.9 % of the tissue,
and at most 0.95 in pure blood; common markers have 0.5 to 1.5. Over tissue the redness, the density of blue minus that
of red, says more, because stained tissue adds to both. A stroke is long, has one width all along, and its redness ends
at its borders. Blood and fibres are irregular.
"""

from collections.abc import Iterator

import cv2
import numpy as np
from numpy.typing import NDArray

Mask = NDArray[np.bool_]

_SURE = 1.1  # purity: ink of any shape
# Redness at which strokes are looked for, one after another.
_LEVELS = (1.5, 1.3, 1.15, 1.0, 0.9, 0.8, 0.7, 0.6, 0.5, 0.42, 0.35)
_LEAST_GREEN = 0.4  # density; paler ink looks like tinted glass
_LEAST_BLUE = 0.5  # ratio of the densities blue / green
_MARGIN = 0.15  # a stroke is redder than what surrounds it, by this
_LONG, _LONG_OF_INK = 5.0, 3.5  # length of a stroke in widths; less where its colour is hardly that of blood
_PALE, _LONG_OF_PALE = 0.6, 7.0  # median redness of paler ink, which eosin reaches, and its length in widths
_PURE = 0.75  # median purity, from which this holds
_EVEN, _TOLERANCE = 0.75, 0.25  # share of a stroke whose width is within the tolerance of its median
_SOLID = (0.75, 1.3)  # area of a stroke relative to length × width
_OUTLINE = (0.8, 1.3)  # length of its outline relative to that of a smooth stroke


def find_red_ink(density: NDArray[np.float32], *, least_width: float) -> Mask:
    """Red ink, [H, W] bool.

    Args:
        density: optical densities of red, green and blue, [H, W, 3]. It is overwritten.
        least_width: smallest width of a stroke, px.
    """
    sure = _is_red(density) & (density[..., 2] - 2 * density[..., 0] > _SURE)
    smooth = density
    cv2.GaussianBlur(density, (0, 0), float(np.clip(least_width / 4, 0.6, 2)), dst=smooth)
    redness = smooth[..., 2] - smooth[..., 0]
    ink, coloured = sure, _is_red(smooth)
    for level in _LEVELS:
        for stroke in _strokes(coloured & (redness > level) | ink, ink, smooth, least_width=least_width):
            ink = ink | stroke
    return ink


def _is_red(density: NDArray[np.float32]) -> Mask:
    red, green, blue = (density[..., channel] for channel in range(3))
    return (green > _LEAST_GREEN) & (blue > _LEAST_BLUE * green) & (blue > red)


def _strokes(mask: Mask, ink: Mask, smooth: NDArray[np.float32], *, least_width: float) -> Iterator[Mask]:
    """Yields the parts of a mask that have the shape of a stroke and are not ink already."""
    square = np.ones((3, 3), np.uint8)
    closed = cv2.morphologyEx(mask.astype(np.uint8), cv2.MORPH_CLOSE, square)
    opened = cv2.morphologyEx(closed, cv2.MORPH_OPEN, square)
    count, labels, boxes, _ = cv2.connectedComponentsWithStats(opened, connectivity=8)
    for label in range(1, count):
        x, y, width, height, area = boxes[label].tolist()
        if area < _LONG_OF_INK * least_width**2:
            continue
        window = np.s_[max(0, y - 4) : y + height + 4, max(0, x - 4) : x + width + 4]
        own = np.asarray(labels[window] == label)
        red, blue = smooth[window][..., 0], smooth[window][..., 2]
        if not (own & ~ink[window]).any() or not _ends_at_border(own, blue - red):
            continue
        long = _LONG_OF_INK if np.median((blue - 2 * red)[own]) > _PURE else _LONG
        long = long if np.median((blue - red)[own]) > _PALE else _LONG_OF_PALE
        if _is_stroke(own, area, least_width=least_width, long=long):
            stroke = np.zeros(mask.shape, bool)
            stroke[window] = own
            yield stroke


def _is_stroke(own: Mask, area: float, *, least_width: float, long: float) -> bool:
    """Whether a connected area is `long` times as long as wide, has one width all along, and a smooth outline."""
    from skimage.morphology import skeletonize  # SciPy takes half a second to import

    own = _without_holes(own)
    padded = np.pad(own.astype(np.uint8), 1)
    radius = cv2.distanceTransform(padded, cv2.DIST_L2, 5)[1:-1, 1:-1]
    line = skeletonize(own)
    widths = 2 * radius[line] - 1
    if not len(widths):
        return False
    width, length = float(np.median(widths)), _length(line)
    if width < least_width or length < long * width * max(1, _ends(line) / 2):
        return False
    even = np.abs(widths - width) <= max(1.0, _TOLERANCE * width)
    contours, _ = cv2.findContours(padded, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
    outline = sum(cv2.arcLength(cv2.approxPolyDP(contour, 1, True), True) for contour in contours)
    return bool(
        even.mean() >= _EVEN
        and _SOLID[0] <= area / (length * width) <= _SOLID[1]
        and _OUTLINE[0] <= outline / (2 * length) <= _OUTLINE[1]
    )


def _ends(line: Mask) -> int:
    """Number of ends of a line of one pixel's width: 2 for a stroke, 0 for a ring, more for every branch."""
    padded = line.astype(np.uint8)
    neighbours = cv2.filter2D(padded, -1, np.ones((3, 3), np.float32), borderType=cv2.BORDER_CONSTANT) - padded
    return int(np.count_nonzero(line & (neighbours == 1)))


def _without_holes(own: Mask) -> Mask:
    """The area without its small holes, which are nuclei below the ink."""
    count, labels, boxes, _ = cv2.connectedComponentsWithStats((~own).astype(np.uint8), connectivity=4)
    small = boxes[:count, cv2.CC_STAT_AREA] < 0.02 * own.sum()
    return own | small[labels]


def _length(line: Mask) -> float:
    """Length of a line of one pixel's width, px; a diagonal step counts √2."""
    straight = np.count_nonzero(line[1:] & line[:-1]) + np.count_nonzero(line[:, 1:] & line[:, :-1])
    falling = line[1:, 1:] & line[:-1, :-1] & ~line[1:, :-1] & ~line[:-1, 1:]
    rising = line[1:, :-1] & line[:-1, 1:] & ~line[1:, 1:] & ~line[:-1, :-1]
    return straight + 2**0.5 * (np.count_nonzero(falling) + np.count_nonzero(rising))


def _ends_at_border(own: Mask, redness: NDArray[np.float32]) -> bool:
    """Whether nearly all of the border separates ink from something less red."""
    square = np.ones((3, 3), np.uint8)
    shape = own.astype(np.uint8)
    outside = (cv2.dilate(shape, square, iterations=3) > 0) & (cv2.dilate(shape, square, iterations=2) == 0)
    inside = float(np.median(redness[own]))
    return not outside.any() or float(np.mean(redness[outside] < inside - _MARGIN)) > 0.75
