"""The overview of a slide without reduced levels; damaged pixels are white in it."""

import numpy as np
from numpy.typing import NDArray

from datasets_prep.common.processes.progress import progress_bar
from datasets_prep.slides.levels import overview
from datasets_prep.slides.protocol import Pyramid
from datasets_prep.slides.skipping import SkippingSlide


def tolerant_overview(slide: Pyramid, *, name: str, max_pixels: int) -> tuple[NDArray[np.uint8], list[str]]:
    """The whole slide in at most `max_pixels` pixels. It decodes the whole coarsest level, and shows its progress.

    Args:
        slide: the open slide.
        name: of the slide, for the progress bar.
        max_pixels: of the result.

    Returns:
        [H, W, 3] uint8 RGB, and a line for each damaged part, which is white.
    """
    width, height = slide.level_sizes[-1]
    damage: dict[str, None] = {}
    with progress_bar(total=round(width * height / 1e6), desc=f"overview of {name}", unit="megapixel") as progress:
        tolerant = SkippingSlide(
            slide,
            on_read=lambda pixels: progress.update(pixels / 1e6),
            on_damage=lambda line: damage.setdefault(line),
        )
        return overview(tolerant, max_downsample=float("inf"), max_pixels=max_pixels)[0], list(damage)
