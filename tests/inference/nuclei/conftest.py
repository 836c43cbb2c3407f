"""A picture of dark discs, and where they lie."""

import cv2
import numpy as np
import pytest


@pytest.fixture(scope="session")
def discs():
    """[440, 400, 3] RGB, and the centres of the discs, [N, 2] px; some of them lie on the borders of tiles."""
    random = np.random.default_rng(0)
    rgb = np.full((440, 400, 3), (235, 200, 225), np.uint8)
    centres = []
    for top in range(24, 420, 42):
        for left in range(24, 380, 42):
            x, y = left + int(random.integers(-5, 6)), top + int(random.integers(-5, 6))
            axes = tuple(random.integers(8, 14, 2).tolist())
            cv2.ellipse(rgb, (x, y), axes, float(random.integers(180)), 0, 360, (90, 60, 140), -1)
            centres.append((x, y))
    return cv2.GaussianBlur(rgb, (0, 0), 1.5), np.array(centres, float)
