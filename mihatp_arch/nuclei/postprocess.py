"""From HoVer-Net's maps to nuclei (section 3.2), with the constants of the official code."""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

_NUCLEUS = 0.5  # least probability of a nucleus
_BORDER = 0.4  # least strength of a border between two nuclei
_SMALLEST = 10  # px, of a blob and of a marker
_SOBEL = 21  # px, side of the kernel
_OPENING = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (5, 5))


@dataclass(frozen=True)
class Maps:
    """HoVer-Net's maps of an image.

    Attributes:
        probability: of a nucleus, [H, W] float32, 0 to 1.
        hv: horizontal and vertical distance to the centre, [2, H, W] float32.
        types: type of each pixel, [H, W] uint8; None where nuclei are not classified.
    """

    probability: NDArray[np.float32]
    hv: NDArray[np.float32]
    types: NDArray[np.uint8] | None = None


def segment(maps: Maps) -> NDArray[np.int32]:
    """The label map of the nuclei, [H, W].

    Distances are scaled to the range in the whole image, as in the official code: a part of an image may give other
    nuclei than the whole.
    """
    from skimage.segmentation import watershed  # a tenth of the time of `import mihatp_arch`

    blob = _large_components(maps.probability >= _NUCLEUS) > 0
    if not blob.any():
        return np.zeros(blob.shape, np.int32)
    edges = [_edges(plane, axis) for axis, plane in enumerate(maps.hv)]
    border = np.maximum(*edges) - ~blob
    border[border < 0] = 0
    basins = -cv2.GaussianBlur((1 - border) * blob, (3, 3), 0)
    inside = np.asarray(ndimage.binary_fill_holes(blob & ~(border >= _BORDER)))
    opened = cv2.morphologyEx(inside.astype(np.uint8), cv2.MORPH_OPEN, _OPENING)
    markers = _large_components(opened)
    return watershed(basins, markers=markers, mask=blob).astype(np.int32)


def segment_typed(maps: Maps) -> tuple[NDArray[np.int32], NDArray[np.uint8] | None]:
    """The label map of the nuclei and, where they are classified, the type of each pixel: that of its nucleus."""
    labels = segment(maps)
    if maps.types is None:
        return labels, None
    numbers, of_nucleus = types_of(labels, maps.types)
    table = np.zeros(labels.max(initial=0) + 1, np.uint8)
    table[numbers] = of_nucleus
    return labels, table[labels]


def types_of(labels: NDArray[np.int32], types: NDArray[np.uint8]) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
    """The numbers of the nuclei, [N], and the type of each, [N]: that of most of its pixels.

    The background (0) counts only where all pixels have it.
    """
    numbers, nucleus = np.unique(labels[labels > 0], return_inverse=True)
    number_of_types = int(types.max(initial=0)) + 1
    pixels = np.bincount(nucleus * number_of_types + types[labels > 0], minlength=len(numbers) * number_of_types)
    counts = pixels.reshape(len(numbers), number_of_types)
    foreground = counts[:, 1:]
    if not foreground.shape[1]:
        return numbers.astype(np.int32), np.zeros(len(numbers), np.int64)
    most = np.where(foreground.any(axis=1), foreground.argmax(axis=1) + 1, 0)
    return numbers.astype(np.int32), most


def _edges(plane: NDArray[np.float32], axis: int) -> NDArray[np.float32]:
    """1 where the distance falls steeply, at the border between two nuclei; `axis` 0 is horizontal."""
    scaled = _to_range(plane)
    return 1 - _to_range(cv2.Sobel(scaled, cv2.CV_64F, 1 - axis, axis, ksize=_SOBEL))


def _to_range(plane: cv2.typing.MatLike) -> NDArray[np.float32]:
    """Values scaled to 0 to 1 over the image."""
    scaled = np.empty(plane.shape, np.float32)
    cv2.normalize(plane, scaled, 0, 1, cv2.NORM_MINMAX, cv2.CV_32F)
    return scaled


def _large_components(mask: NDArray[np.generic]) -> NDArray[np.int32]:
    """The label map of the 4-connected components of a mask, without those of fewer than 10 px."""
    labels = np.empty(mask.shape, np.int32)
    ndimage.label(mask, output=labels)
    small = np.bincount(labels.ravel()) < _SMALLEST
    return np.where(small[labels], 0, labels)
