"""Outlines of the nuclei of a label map."""

import cv2
import numpy as np
from numpy.typing import NDArray

_TOLERANCE = 0.35  # px, how far a simplified outline may be from the exact one


def outline(mask: NDArray[np.bool_]) -> NDArray[np.float32]:
    """The outline of a nucleus, [P, 2] (x, y), P ≥ 3; (0, 0) is the upper left corner of the mask.

    It runs between the pixels of the nucleus and the others, so that it encloses the area of the nucleus. It is
    simplified by up to 0.35 px, and the first point is not repeated at the end. Only the largest part of a nucleus has
    an outline, and holes have none.

    Args:
        mask: [H, W], true in the nucleus; one pixel at least.
    """
    from skimage.measure import find_contours  # heavy

    contours = find_contours(np.pad(mask, 1).astype(np.float32), 0.5)
    # By area: a ragged hole can have more points than the outline around it.
    rings = [contour[:-1, ::-1].astype(np.float32) - 0.5 for contour in contours]  # a pixel of padding; centres at 0.5
    points = max(rings, key=lambda ring: cv2.contourArea(np.ascontiguousarray(ring)))
    simple = np.reshape(cv2.approxPolyDP(np.ascontiguousarray(points)[:, None], _TOLERANCE, True), (-1, 2))
    return np.asarray(simple if len(simple) >= 3 else points, np.float32)
