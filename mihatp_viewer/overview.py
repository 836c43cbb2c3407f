"""The overview of a slide without reduced levels; damaged pixels are white in it."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from datasets_prep.common.errors import UserError
from datasets_prep.common.processes.progress import progress_bar
from datasets_prep.slides.levels import overview
from datasets_prep.slides.protocol import Pyramid

_SMALLEST = 512  # px; a damaged block is divided until its sides are at most this long


def tolerant_overview(slide: Pyramid, *, name: str, max_pixels: int) -> tuple[NDArray[np.uint8], list[str]]:
    """The whole slide in at most `max_pixels` pixels. It decodes the whole coarsest level, and shows its progress.

    Args:
        slide: the open slide.
        name: of the slide, for the progress bar.
        max_pixels: of the result.

    Returns:
        [H, W, 3] uint8 RGB, and a line for each damaged block, which is white.
    """
    width, height = slide.level_sizes[-1]
    with progress_bar(total=round(width * height / 1e6), desc=f"overview of {name}", unit="megapixel") as progress:
        tolerant = _Tolerant(slide, progress)
        return overview(tolerant, max_downsample=float("inf"), max_pixels=max_pixels)[0], tolerant.damage


@dataclass
class _Tolerant:
    """A slide whose damaged pixels are white."""

    slide: Pyramid
    progress: "tqdm[Any]"
    damage: list[str] = field(default_factory=list)

    @property
    def level_sizes(self) -> Sequence[tuple[int, int]]:
        return self.slide.level_sizes

    def best_level_for_downsample(self, downsample: float) -> int:
        return self.slide.best_level_for_downsample(downsample)

    def read(self, x: int, y: int, width: int, height: int, *, level: int = 0) -> NDArray[np.uint8]:
        rgb = self._read(x, y, width, height, level)
        self.progress.update(width * height / 1e6)
        return rgb

    def _read(self, x: int, y: int, width: int, height: int, level: int) -> NDArray[np.uint8]:
        try:
            return self.slide.read(x, y, width, height, level=level)
        except UserError as error:
            if max(width, height) <= _SMALLEST:
                self.damage.append(str(error))
                return np.full((height, width, 3), 255, np.uint8)
        left, top = -(-width // 2), -(-height // 2)
        columns = [(x, left), (x + left, width - left)]
        rows = [(y, top), (y + top, height - top)]
        blocks = [
            [self._read(at, down, wide, high, level) for at, wide in columns if wide] for down, high in rows if high
        ]
        return np.concatenate([np.concatenate(row, 1) for row in blocks])
