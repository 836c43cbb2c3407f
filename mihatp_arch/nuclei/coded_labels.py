"""Label maps as 8-bit pictures, so that BasicSR loads, flips, crops and writes them like any HR image.

Red is the low byte of a nucleus' number, green the high byte, blue its type. PNG keeps them exactly.
"""

import numpy as np
from numpy.typing import NDArray

from mihatp_arch.errors import UserError

LARGEST = 2**16 - 1  # number of a nucleus


def encode(labels: NDArray[np.integer], types: NDArray[np.integer] | None = None) -> NDArray[np.uint8]:
    """The picture of a label map.

    Args:
        labels: [H, W], numbers up to 65 535.
        types: type of each pixel, [H, W], 0 to 255; None: 0.

    Returns:
        [H, W, 3] RGB.

    Raises:
        UserError: a number is too large.
    """
    if labels.max(initial=0) > LARGEST:
        raise UserError(f"a label map has number {labels.max()}: {LARGEST} is the largest one that a picture holds")
    planes = [labels & 255, labels >> 8, np.zeros_like(labels) if types is None else types]
    return np.stack(planes, axis=-1).astype(np.uint8)


def decode(rgb: NDArray[np.uint8]) -> tuple[NDArray[np.int32], NDArray[np.uint8]]:
    """The label map and the types of a picture, [H, W] each; the picture is [H, W, 3] RGB."""
    return rgb[..., 0].astype(np.int32) | rgb[..., 1].astype(np.int32) << 8, rgb[..., 2]
