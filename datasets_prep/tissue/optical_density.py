"""The optical density of the pixels of a slide: how much light the tissue absorbs, by the natural logarithm."""

import numpy as np
from numpy.typing import NDArray

_GLASS = 245.0  # code of bare glass, the reference
_OF_CODE = np.log(_GLASS / np.arange(1, 257)).clip(0).astype(np.float32)  # 1 is added to a code to avoid log 0


def optical_density(rgb: NDArray[np.uint8]) -> NDArray[np.float32]:
    """log(glass / code) of each channel of [H, W, 3] uint8 RGB, at least 0: [H, W, 3]."""
    return _OF_CODE[rgb]
