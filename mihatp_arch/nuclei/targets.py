"""What HoVer-Net is trained on: nucleus or background, and the distances to the centre of the nucleus."""

import numpy as np
from numpy.typing import NDArray

_SMALLEST = 30  # px; smaller nuclei, such as those that the border cuts, have no distances


def hv_map(labels: NDArray[np.int32], *, smallest: int = _SMALLEST) -> NDArray[np.float32]:
    """Horizontal and vertical distance of each pixel to the centre of its nucleus (HoVer-Net, section 3.1).

    The centre is the centre of mass, rounded. The distances on each of its sides are divided by their largest one. As
    in the official code, pixels are counted from 1 and the centre from 0, so the centre itself is 1 px off.

    Args:
        labels: label map, [H, W].
        smallest: nuclei of fewer px have no distances.

    Returns:
        [2, H, W], -1 to 1: horizontal, then vertical; 0 in the background.
    """
    maps = np.zeros((2, *labels.shape), np.float32)
    rows, columns = np.nonzero(labels)
    if not len(rows):
        return maps
    nucleus = labels[rows, columns]
    areas = np.bincount(nucleus)
    large = areas[nucleus] >= smallest
    for axis, positions in enumerate((columns, rows)):
        # The first pixel of each nucleus is subtracted first: sums then stay exact, and rounding is the official one.
        start = np.full(len(areas), np.iinfo(np.int64).max)
        np.minimum.at(start, nucleus, positions)
        local = positions - start[nucleus]
        centre = np.floor(np.bincount(nucleus, local) / areas + 0.5)
        offset = local + 1 - centre[nucleus]
        lowest, highest = np.zeros(len(areas)), np.zeros(len(areas))
        np.minimum.at(lowest, nucleus, offset)
        np.maximum.at(highest, nucleus, offset)
        largest = np.where(offset < 0, -lowest[nucleus], highest[nucleus])
        maps[axis, rows, columns] = np.where(large, offset / np.where(largest > 0, largest, 1), 0)
    return maps
