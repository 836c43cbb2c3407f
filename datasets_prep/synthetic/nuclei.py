"""Draw nuclei, one by one, into a stain map and an exact label map."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from datasets_prep.synthetic.textures import Array, smooth_noise

_MAX_OVERLAP = 0.06  # largest share of a nucleus that may lie under its neighbours


@dataclass(frozen=True)
class Kind:
    """A kind of nucleus: lengths in px at 40x, stain in natural-logarithm optical density."""

    length: tuple[float, float]  # long axis
    aspect: tuple[float, float]  # short / long axis
    stain: tuple[float, float]
    clumps: float  # contrast of the chromatin
    rim: float  # extra stain of the membrane
    ragged: float  # irregularity of the outline


EPITHELIAL = Kind((27, 42), (0.62, 0.95), (0.8, 1.35), 0.42, 0.65, 0.022)
SPINDLE = Kind((28, 45), (0.22, 0.38), (1.0, 1.6), 0.28, 0.3, 0.035)
LYMPHOCYTE = Kind((20, 25), (0.8, 1.0), (1.5, 2.3), 0.3, 0.2, 0.02)


class Nuclei:
    """Maps of H×W pixels that nuclei are drawn into.

    Attributes:
        labels: [H, W] uint16, 0 between nuclei, n inside nucleus n (1 … N).
        stain: [H, W] float32, optical density of hematoxylin inside nuclei.
        cover: [H, W] float32, share of each pixel that a nucleus covers, 0 to 1; the edge is one pixel soft.
        centres: (y, x) of nucleus 1 … N.
    """

    def __init__(self, height: int, width: int, rng: np.random.Generator) -> None:
        self.labels: NDArray[np.uint16] = np.zeros((height, width), np.uint16)
        self.stain: Array = np.zeros((height, width), np.float32)
        self.cover: Array = np.zeros((height, width), np.float32)
        self.centres: list[tuple[float, float]] = []
        self._rng = rng
        coarse, fine = smooth_noise(height, width, 5.5, rng), smooth_noise(height, width, 2.4, rng)
        net = 2 * np.exp(-((smooth_noise(height, width, 4.5, rng) / 0.3) ** 2)) - 0.6  # threads between the clumps
        self._chromatin = np.tanh(0.7 * coarse + 0.6 * fine + 0.6 * net)

    def draw(self, y: float, x: float, angle: float, kind: Kind) -> bool:
        """Draw one nucleus, unless it would overlap others too much.

        Args:
            y, x: its centre, px.
            angle: direction of its long axis, radians.
            kind: its kind.

        Returns:
            Whether it was drawn.
        """
        rng = self._rng
        long = rng.uniform(*kind.length) / 2
        short = max(long * rng.uniform(*kind.aspect), 4)
        reach = int(1.25 * long) + 2
        rows = slice(max(0, int(y) - reach), int(y) + reach + 1)
        cols = slice(max(0, int(x) - reach), int(x) + reach + 1)
        labels = self.labels[rows, cols]
        height, width = labels.shape
        dy = (np.arange(rows.start, rows.start + height, dtype=np.float32) - y)[:, None]
        dx = (np.arange(cols.start, cols.start + width, dtype=np.float32) - x)[None, :]
        u = (dx * np.cos(angle) + dy * np.sin(angle)) / long
        v = (dy * np.cos(angle) - dx * np.sin(angle)) / short
        theta = np.arctan2(v, u)
        outline = np.ones_like(theta)
        for wave in (2, 3, 4, 5):
            outline += kind.ragged * rng.standard_normal() * np.cos(wave * theta + rng.uniform(0, 2 * np.pi))
        rho = np.hypot(u, v) / outline  # 1 on the outline
        inside = rho < 1
        area = np.count_nonzero(inside)
        taken = np.count_nonzero(labels[inside])
        if area == 0 or taken > _MAX_OVERLAP * area:
            return False
        free = labels == 0
        self.centres.append((y, x))
        labels[inside & free] = len(self.centres)
        stain = 0.7 + kind.clumps * self._chromatin[rows, cols]
        stain += kind.rim * np.exp(-(((rho - 0.93) * short / 1.3) ** 2))
        for _ in range(rng.integers(0, 3)):  # nucleoli
            at, around = rng.uniform(0, 0.55), rng.uniform(0, 2 * np.pi)
            distance = ((u - at * np.cos(around)) * long) ** 2 + ((v - at * np.sin(around)) * short) ** 2
            stain += rng.uniform(0.2, 0.7) * np.exp(-distance / 5)
        cover = np.clip((1 - rho) * short + 0.5, 0, 1) * (free | inside)
        better = cover > self.cover[rows, cols]
        self.stain[rows, cols][better] = (rng.uniform(*kind.stain) * stain)[better]
        self.cover[rows, cols][better] = cover[better]
        return True
