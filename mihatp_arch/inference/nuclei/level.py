"""The pixels of a slide at the resolution of HoVer-Net, 0.25 µm/px, and the tiles that they are segmented in."""

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from datasets_prep.common.errors import UserError
from datasets_prep.common.text import with_hint
from datasets_prep.slides.levels import Box
from datasets_prep.slides.open import open_for_reading, open_source
from datasets_prep.slides.protocol import Levels, SlideReader
from datasets_prep.slides.resolution import Resolution
from mihatp_arch.inference.slides.pixels import damaged_cells, describe, jpeg_flaws
from mihatp_arch.inference.slides.plan import MPP, Plan, plan_slide

_LARGEST = 1.25  # ratio of the resolution of a level to 0.25 µm/px up to which its pixels are taken as they are
_BORDER = 3  # px around the pixels that are interpolated
_PICTURES = (".png", ".jpg", ".jpeg", ".bmp")
OVERLAP = 64  # px, 16 µm: a nucleus whose centre lies in the core of a tile ends inside the tile
SIDE = 1400  # px, about the side of a tile


def open_image(path: Path, *, assume_mpp: float | None) -> SlideReader:
    """Open a slide, or a picture. Raises `UserError`."""
    if path.suffix.lower() in _PICTURES:
        return open_source(path, "tile", assume_mpp=assume_mpp)
    return open_for_reading(path, assume_mpp=assume_mpp)


@dataclass(frozen=True)
class NucleiLevel:
    """A slide as HoVer-Net sees it.

    Attributes:
        plan: the level; its sizes, `mpp` and `downsample` are those of the px of HoVer-Net.
        zoom: px of HoVer-Net per px of the level; 1 where they are the same.
        mpp: µm per level-0 px.
    """

    plan: Plan
    zoom: float
    mpp: float

    def read(self, slide: Levels, box: Box) -> NDArray[np.uint8]:
        """Pixels of a rectangle in px of HoVer-Net, [height, width, 3] RGB; white outside the slide."""
        x, y, width, height = box
        if self.zoom == 1:
            return slide.read(x, y, width, height, level=self.plan.level)
        left, top = (math.floor(start / self.zoom) - _BORDER for start in (x, y))
        columns, rows = (math.ceil(side / self.zoom) + 2 * _BORDER + 1 for side in (width, height))
        pixels = slide.read(left, top, columns, rows, level=self.plan.level)
        step = 1 / self.zoom
        to_level = np.array([[step, 0, (x + 0.5) * step - 0.5 - left], [0, step, (y + 0.5) * step - 0.5 - top]])
        how = cv2.INTER_CUBIC if self.zoom > 1 else cv2.INTER_LINEAR
        return np.asarray(cv2.warpAffine(pixels, to_level, (width, height), flags=how | cv2.WARP_INVERSE_MAP), np.uint8)


def nuclei_level(slide: SlideReader, *, force: bool = False, resolution: Resolution | None = None) -> NucleiLevel:
    """The level that is nearest to 0.25 µm/px. A finer one is reduced to it.

    Args:
        slide: an open slide.
        force: enlarge a level of coarser pixels, by bicubic interpolation.
        resolution: of level 0; None: that of the slide.

    Raises:
        UserError: the resolution of the slide is not known, or its pixels are more than 25 % too large.
    """
    resolution = resolution or Resolution(slide.mpp, slide.mpp_source)
    if resolution.mpp is None:
        raise UserError(f"{slide.path} does not state its µm per pixel: give --assume-mpp (0.25 at 40x)")
    plan = plan_slide(slide, scales=(1,), to_mpp=MPP, force=True, resolution=resolution)
    ratio = plan.mpp / MPP
    said = tuple(filter(None, (resolution.note,)))
    mpp = plan.mpp / plan.downsample
    if 1 / _LARGEST <= ratio <= _LARGEST:
        return NucleiLevel(replace(plan, notes=said), 1, mpp)
    if ratio > 1 and not force:
        coarse = (
            f"{slide.path}: its finest pixels are {plan.mpp:.4g} µm, nuclei are segmented at {MPP} µm/px: "
            f"super-resolve it first (mihatp upscale --to-mpp {MPP}), or give --force to enlarge it"
        )
        raise UserError(with_hint(coarse, resolution.note))
    how = "enlarged" if ratio > 1 else "reduced"
    note = f"level {plan.level} has {plan.mpp:.4g} µm/px and is {how} to {MPP} µm/px"
    width, height = (max(1, round(side * ratio)) for side in (plan.width, plan.height))
    plan = Plan(plan.level, plan.downsample / ratio, width, height, MPP, 1, (*said, note))
    return NucleiLevel(plan, ratio, mpp)


def refuse_damage(slide: SlideReader, level: NucleiLevel) -> None:
    """Decode the level once, and raise `UserError` where that fails: before the work, and not in the middle of it."""
    cells = list(damaged_cells(slide, level.plan.level))
    if cells:
        raise UserError(
            f"{slide.path} cannot be decoded in {describe(cells)} of level {level.plan.level}: fetch it again"
        )
    flaws = jpeg_flaws(slide, level.plan.level)
    if flaws:
        raise UserError(f"{slide.path}: {flaws}: fetch it again")


@dataclass(frozen=True)
class NucleiTile:
    """A tile of a slide, in px of HoVer-Net.

    Attributes:
        row, column: its number.
        box: the pixels that are segmented: the core, and up to 64 px around it.
        core: x, y, width and height of the part whose nuclei are its own; the cores cover the slide.
    """

    row: int
    column: int
    box: Box
    core: Box


@dataclass(frozen=True)
class NucleiTiling:
    """Sizes of tiles, px of HoVer-Net.

    Attributes:
        core: side of a core.
        window: side of the input of the network.
    """

    core: int
    window: int

    def tile(self, row: int, column: int, plan: Plan) -> NucleiTile:
        """A tile of a slide."""
        left, top = column * self.core, row * self.core
        right, bottom = min(left + self.core, plan.width), min(top + self.core, plan.height)
        x, y = max(0, left - OVERLAP), max(0, top - OVERLAP)
        width, height = min(right + OVERLAP, plan.width) - x, min(bottom + OVERLAP, plan.height) - y
        return NucleiTile(row, column, (x, y, width, height), (left, top, right - left, bottom - top))

    def tiles(self, computed: NDArray[np.bool_], plan: Plan) -> Iterator[NucleiTile]:
        """Yields the tiles of a slide that are computed, [rows, columns]."""
        yield from (self.tile(row, column, plan) for row, column in np.argwhere(computed).tolist())

    def windows(self, tile: NucleiTile, *, margin: int) -> int:
        """Number of windows of a tile."""
        step = self.window - 2 * margin
        return math.prod(-(-side // step) for side in tile.box[2:])


def nuclei_tiling(*, margin: int, window: int, side: int = SIDE) -> NucleiTiling:
    """Tiles that whole windows fill.

    Args:
        margin: of the network.
        window: side of its input, px.
        side: of a tile with its overlap, about, px.

    Raises:
        UserError: `side` leaves no core.
    """
    step = window - 2 * margin
    if side < 2 * OVERLAP + step:
        raise UserError(f"--tile {side}: give at least {2 * OVERLAP + step}")
    return NucleiTiling(round(side / step) * step - 2 * OVERLAP, window)
