"""Warnings, one line each, where a slide is unlike the images of the training: its output may be worth less.

The ranges are those of the 33 tiles of MoNuSeg (TCGA, 40x, seven organs), of which the bundled weights were trained.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from datasets_prep.common.text import told_apart
from datasets_prep.slides.protocol import Levels
from datasets_prep.tissue.optical_density import optical_density
from mihatp_arch.inference.slides.plan import Plan
from mihatp_arch.inference.slides.tissue import SlideTissue
from mihatp_arch.inference.tiling import Tiling

_MPP_OFF = 1.10  # ratio of the resolution to that of the training
_SAMPLES = 16  # tiles
_PEN, _BLACK = 0.001, 0.01  # shares of the slide
_STAINED = 0.3  # sum of the three optical densities of a stained pixel
# Share of an image's fine detail (see `sharpness`), by scale. In training it is 0.228, 0.305 and 0.330 at least, after
# JPEG of quality 30 0.228, 0.275 and 0.300. After a Gaussian blur of 1 LR px it is 0.198, 0.212 and 0.255 at most.
_SHARPEST_BLUR = {2: 0.20, 4: 0.25, 8: 0.28}
# Shares of red, green and blue in the optical density of stained pixels. Training: 0.12 to 0.32, 0.42 to 0.65 and 0.22
# to 0.32; two slides of other laboratories: 0.10 to 0.28, 0.46 to 0.60 and 0.26 to 0.31.
_STAIN = {"red": (0.09, 0.36), "green": (0.39, 0.68), "blue": (0.19, 0.36)}


@dataclass(frozen=True)
class Appearance:
    """The look of some tiles with tissue; medians over the tiles.

    Attributes:
        sharpness: share of fine detail; None where no tile has any detail.
        stain: shares of red, green and blue in the optical density; None where no tile is stained.
    """

    sharpness: float | None
    stain: tuple[float, float, float] | None


def warnings(
    slide: Levels, plan: Plan, tiling: Tiling, tissue: SlideTissue, *, trained_mpp: float | None
) -> Iterator[str]:
    """Yields a line for each respect in which the slide is unlike the training.

    Args:
        slide: the open slide.
        plan: the level that is computed.
        tiling: its tiles.
        tissue: its tissue.
        trained_mpp: µm per px of the output in the training; None where nobody knows.
    """
    off = plan.output_mpp / trained_mpp if trained_mpp and not plan.notes else 1.0
    if not 1 / _MPP_OFF <= off <= _MPP_OFF:
        yield f"the output has {plan.output_mpp:.4g} µm/px, the weights were trained for {trained_mpp:.4g}"
    if tissue.pen_share > _PEN:
        yield f"pen marks on {tissue.pen_share:.1%} of the slide: they count as glass"
    if tissue.black_share > _BLACK:
        yield f"{tissue.black_share:.1%} of the slide is black: that counts as glass"
    look = appearance(_sample(slide, plan, tiling, tissue))
    least = _SHARPEST_BLUR.get(plan.scale, min(_SHARPEST_BLUR.values()))
    if look.sharpness is not None and look.sharpness < least:
        own, usual = told_apart(look.sharpness, least)
        yield (
            f"it looks blurred, or enlarged: {own} of its contrast is in fine detail, "
            f"and {usual} or more is usual; is the resolution right?"
        )
    for share, (colour, (low, high)) in zip(look.stain or (), _STAIN.items(), strict=False):
        if not low <= share <= high:
            own, least_usual, most_usual = told_apart(100 * share, 100 * low, 100 * high, digits=2)
            yield (
                f"its stain is unlike the training's: {colour} has {own} % of the optical density, "
                f"{least_usual} to {most_usual} % is usual for H&E"
            )


def appearance(tiles: Iterator[NDArray[np.uint8]]) -> Appearance:
    """Measure tiles with tissue, [H, W, 3] uint8 RGB each."""
    sharp: list[float] = []
    stains: list[NDArray[np.float64]] = []
    for tile in tiles:
        sharp += [value for value in [sharpness(tile)] if value is not None]
        stains += [value for value in [stain(tile)] if value is not None]
    red, green, blue = np.median(stains, axis=0) if stains else (0.0, 0.0, 0.0)
    return Appearance(
        float(np.median(sharp)) if sharp else None, (float(red), float(green), float(blue)) if stains else None
    )


def sharpness(rgb: NDArray[np.uint8]) -> float | None:
    """Share of fine detail: the variance of detail finer than a Gaussian of 1 px, relative to that of 2 px.

    Unlike the variance of the Laplacian it does not depend on contrast and stain. None for a flat image.
    """
    grey = cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY).astype(np.float32)
    fine, coarse = (float(np.var(grey - cv2.GaussianBlur(grey, (0, 0), sigma))) for sigma in (1.0, 2.0))
    return fine / coarse if coarse > 0.25 else None


def stain(rgb: NDArray[np.uint8]) -> NDArray[np.float64] | None:
    """Shares of red, green and blue in the mean optical density of the stained pixels, [3]; None without stain."""
    density = optical_density(rgb)
    stained = density.sum(-1) > _STAINED
    if stained.mean() < 0.05:
        return None
    mean = density[stained].mean(axis=0, dtype=np.float64)
    return mean / mean.sum()


def _sample(slide: Levels, plan: Plan, tiling: Tiling, tissue: SlideTissue) -> Iterator[NDArray[np.uint8]]:
    """Yields tiles with tissue from all over the slide, always the same ones."""
    positions = np.argwhere(tissue.tiles)
    chosen = np.unique(np.linspace(0, len(positions) - 1, min(_SAMPLES, len(positions))).round().astype(int))
    for row, column in positions[chosen].tolist():
        x, y = column * tiling.core, row * tiling.core
        width, height = min(tiling.core, plan.width - x), min(tiling.core, plan.height - y)
        yield slide.read(x, y, width, height, level=plan.level)
