"""Which level of a slide is super-resolved, how much, and in which tiles."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from datasets_prep.common.errors import UserError
from datasets_prep.common.text import with_hint
from datasets_prep.slides.levels import level_factor
from datasets_prep.slides.resolution import Resolution
from mihatp_arch.inference.pyramid import TILE
from mihatp_arch.inference.tiling import Tiling

MPP = 0.25  # µm/px of the output where neither the user nor the weights say one: 40x
_SILENT, _LARGEST = 1.10, 1.25  # ratio of the level's resolution to the wanted one
_HALO, _BLEND = 8, 16  # LR px, the least halo; see `Tiling`
_BLOCK = 2048  # px of the output, about the side of a block
_STEP = 16  # px, of the cores of small tiles
_CORE = 32  # the core is a multiple of it where the tile is large enough, so that blocks have whole TIFF tiles


class Sized(Protocol):
    """What a plan needs of a slide."""

    @property
    def level_sizes(self) -> Sequence[tuple[int, int]]: ...

    @property
    def mpp(self) -> float | None: ...

    @property
    def mpp_source(self) -> str: ...


@dataclass(frozen=True)
class Plan:
    """What is computed of a slide.

    Attributes:
        level: the level that is the LR image.
        downsample: level-0 px per LR px.
        width, height: of the LR image, px.
        mpp: of the LR image, µm/px.
        scale: px of the output per LR px.
        notes: lines that the user should read.
        mpp_source: where the resolution comes from (`datasets_prep/slides/resolution.py`).
        mpp_note: a line where the slide states another resolution than the user; else empty.
    """

    level: int
    downsample: float
    width: int
    height: int
    mpp: float
    scale: int
    notes: tuple[str, ...] = ()
    mpp_source: str = ""
    mpp_note: str = ""

    @property
    def output_mpp(self) -> float:
        """µm per px of the output."""
        return self.mpp / self.scale


def plan_slide(
    slide: Sized,
    *,
    scales: Sequence[int],
    to_mpp: float | None = None,
    force: bool = False,
    resolution: Resolution | None = None,
) -> Plan:
    """Choose the level and the scale whose output is nearest to the wanted resolution.

    The wanted resolution of the LR image is `scale` times that of the output. A level that is at most 10 % off fits.
    Where several pairs of level and scale fit, the finest level counts: it has most to go by.

    Args:
        slide: an open slide.
        scales: those to choose from.
        to_mpp: wanted µm/px of the output; None: 0.25.
        force: accept any resolution.
        resolution: of level 0; None: that of `slide`.

    Raises:
        UserError: the nearest level is more than 25 % off, or there are several scales and the slide already has the
            wanted resolution.
    """
    resolution = resolution or Resolution(slide.mpp, slide.mpp_source)
    mpp = resolution.mpp
    if mpp is None:
        raise UserError("the resolution of the slide is unknown: give --assume-mpp (0.25 at 40x, 0.5 at 20x)")
    wanted = to_mpp or MPP
    plans = [_plan(slide, mpp, level, scale) for level in range(len(slide.level_sizes)) for scale in scales]
    best = min(plans, key=lambda plan: (max(_ratio(plan, wanted), _SILENT), plan.level, _ratio(plan, wanted)))
    if len(scales) > 1 and mpp < wanted * _LARGEST and not force:
        nothing = (
            f"the slide has {mpp:.4g} µm/px already, {wanted:g} is wanted: nothing to compute; "
            "to compute it from a coarser level, give --scale"
        )
        raise UserError(with_hint(nothing, resolution.note))
    best = replace(best, mpp_source=resolution.source, mpp_note=resolution.note)
    return _checked(best, plans, wanted, force=force)


def _plan(slide: Sized, mpp: float, level: int, scale: int) -> Plan:
    (width_0, height_0), (width, height) = slide.level_sizes[0], slide.level_sizes[level]
    factor = level_factor(slide.level_sizes, level)
    downsample = float(factor) if factor else (width_0 / width + height_0 / height) / 2
    return Plan(level, downsample, width, height, mpp * downsample, scale)


def _ratio(plan: Plan, wanted: float) -> float:
    """How far the resolution of the output is from the wanted one: 1 or more."""
    return math.exp(abs(math.log(plan.output_mpp / wanted)))


def _checked(best: Plan, plans: Sequence[Plan], wanted: float, *, force: bool) -> Plan:
    """`best` with a note where it is not quite what was wanted. Raises `UserError` where it is too far off."""
    off = _ratio(best, wanted)
    if off <= _SILENT:
        return best
    needed = wanted * best.scale
    text = f"level {best.level} has {best.mpp:.4g} µm/px, {needed:.4g} is wanted for x{best.scale} to {wanted:g} µm/px"
    if off > _LARGEST and not force:
        levels = ", ".join(dict.fromkeys(f"{plan.mpp:.4g}" for plan in plans))
        why = f"no level fits: {text} (levels: {levels} µm/px): give another --scale or --to-mpp, or --force to use it"
        raise UserError(with_hint(why, best.mpp_note))
    note = f"{text}: the output has {best.output_mpp:.4g} µm/px"
    return replace(best, notes=(note,))


def slide_tiling(scale: int, *, tile: int, multiple: int, block: int = _BLOCK) -> Tiling:
    """Tiles whose blocks have a side of about `block` px in the output, a multiple of 512.

    The tiles of a slide all have the same shape, also where the slide is smaller: it is mirrored beyond its border.

    Args:
        scale: px of the output per LR px.
        tile: largest side of the input of the network, LR px.
        multiple: the side is a multiple of it.
        block: wanted side of a block, px of the output.

    Raises:
        UserError: `tile` leaves no core, or the side would be odd.
    """
    side = tile // multiple * multiple
    if side % 2:
        raise UserError(f"--tile {tile}: the tiles of a slide have an even side")
    free = side - _BLEND - 2 * _HALO
    core = next((free // step * step for step in (_CORE, _STEP) if free >= step), 0)
    if not core:
        least = -(-(2 * _HALO + 2 * _BLEND) // multiple) * multiple
        raise UserError(f"--tile {tile}: give at least {least}")
    step = TILE // math.gcd(TILE, core * scale)  # tiles along the smallest block
    tiles = step * max(1, round(block / (core * scale * step)))
    return Tiling(core=core, blend=_BLEND, halo=(side - _BLEND - core) // 2, tiles=tiles)
