"""Shape, stain and texture of each nucleus."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from mihatp_arch.metrics.stain import hematoxylin
from mihatp_arch.nuclei.outlines import outline
from mihatp_arch.nuclei.postprocess import types_of

FEATURES = {  # feature -> unit; "" where it has none
    "area": "µm²",
    "perimeter": "µm",
    "eccentricity": "",
    "solidity": "",
    "hematoxylin": "OD",
    "texture": "OD",
}


@dataclass(frozen=True)
class Nuclei:
    """The nuclei of an image or of a slide.

    Attributes:
        centres: centres of mass, [N, 2] x and y, µm from the upper left corner.
        types: [N] int64; 0 where the network does not classify.
        features: name in `FEATURES` -> [N] float64. `perimeter` is the length of the outline, `eccentricity` that of
            the ellipse with the same second moments (0: a circle), `solidity` the share of the convex hull,
            `hematoxylin` the mean optical density of hematoxylin in the nucleus, and `texture` the standard deviation
            of this density in the nucleus.
        outlines: [P, 2] (x, y) of each nucleus, µm from the upper left corner.
    """

    centres: NDArray[np.float64]
    types: NDArray[np.int64]
    features: Mapping[str, NDArray[np.float64]]
    outlines: Sequence[NDArray[np.float32]]

    def __len__(self) -> int:
        return len(self.centres)

    def chosen(self, index: NDArray[np.intp] | NDArray[np.bool_]) -> "Nuclei":
        """Some of the nuclei, by positions or by a mask."""
        positions = np.arange(len(self))[index]
        features = {name: values[positions] for name, values in self.features.items()}
        return Nuclei(self.centres[positions], self.types[positions], features, [self.outlines[i] for i in positions])


def joined(parts: Sequence[Nuclei]) -> Nuclei:
    """The nuclei of all parts, in their order; the parts have the same upper left corner."""
    return Nuclei(
        np.concatenate([np.empty((0, 2)), *(part.centres for part in parts)]),
        np.concatenate([np.empty(0, np.int64), *(part.types for part in parts)]),
        {name: np.concatenate([np.empty(0), *(part.features[name] for part in parts)]) for name in FEATURES},
        [points for part in parts for points in part.outlines],
    )


def measure(
    labels: NDArray[np.int32],
    rgb: NDArray[np.uint8],
    *,
    mpp: float,
    types: NDArray[np.uint8] | None = None,
    corner: tuple[float, float] = (0, 0),
) -> Nuclei:
    """Measure the nuclei of a label map.

    Args:
        labels: label map, [H, W].
        rgb: the image, [H, W, 3].
        mpp: µm per pixel.
        types: type of each pixel, [H, W]; None: not known.
        corner: (x, y) of the upper left corner of the image, µm.

    Raises:
        ValueError: the sizes differ.
    """
    if labels.shape != rgb.shape[:2]:
        raise ValueError(f"a label map of {labels.shape} px and an image of {rgb.shape[:2]} px")
    if not labels.any():
        return joined([])
    inside = labels > 0
    numbers = np.flatnonzero(np.bincount(labels[inside]))
    nucleus = np.searchsorted(numbers, labels[inside])
    areas, centres, eccentricity = _moments(nucleus, *np.nonzero(inside))
    density, deviation = _mean_and_deviation(nucleus, areas, hematoxylin(rgb[..., ::-1])[inside])
    outlines = _outlines(labels, numbers)
    features = {
        "area": areas * mpp**2,
        "perimeter": np.array([cv2.arcLength(points, True) for points in outlines]) * mpp,
        "eccentricity": eccentricity,
        "solidity": np.array(
            [cv2.contourArea(points) / cv2.contourArea(cv2.convexHull(points)) for points in outlines]
        ),
        "hematoxylin": density,
        "texture": deviation,
    }
    of_nucleus = np.zeros(len(numbers), np.int64) if types is None else types_of(labels, types)[1]
    offset = np.array(corner, np.float32)
    placed = [points * np.float32(mpp) + offset for points in outlines]
    return Nuclei((centres + 0.5) * mpp + corner, of_nucleus, features, placed)


def _moments(
    nucleus: NDArray[np.intp], rows: NDArray[np.intp], columns: NDArray[np.intp]
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Areas [N], centres [N, 2] (x, y) in px, and eccentricities [N] of the ellipses with the same second moments."""
    areas = np.bincount(nucleus).astype(float)
    x, y = (np.bincount(nucleus, at) / areas for at in (columns, rows))
    dx, dy = columns - x[nucleus], rows - y[nucleus]
    xx, yy, xy = (np.bincount(nucleus, product) / areas for product in (dx * dx, dy * dy, dx * dy))
    half, spread = (xx + yy) / 2, np.hypot((xx - yy) / 2, xy)
    largest = np.where(half > 0, half + spread, 1)  # a nucleus of one pixel is a circle
    return areas, np.stack([x, y], axis=1), np.sqrt(2 * spread / largest)


def _mean_and_deviation(
    nucleus: NDArray[np.intp], areas: NDArray[np.float64], values: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean and standard deviation of the values in each nucleus, [N] each."""
    mean = np.bincount(nucleus, values) / areas
    return mean, np.sqrt(np.bincount(nucleus, (values - mean[nucleus]) ** 2) / areas)


def _outlines(labels: NDArray[np.int32], numbers: NDArray[np.intp]) -> list[NDArray[np.float32]]:
    """The outline of each nucleus, px."""
    boxes = ndimage.find_objects(labels)
    outlines = []
    for number in numbers.tolist():
        rows, columns = boxes[number - 1]
        points = outline(labels[rows, columns] == number)
        outlines.append(points + np.array([columns.start, rows.start], np.float32))
    return outlines
