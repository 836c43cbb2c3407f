"""LR images from the slide's own coarser levels, as in the paper: the level of each scale, and how it is read."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from datasets_prep.common.downscale import area_reduce
from datasets_prep.slides.levels import level_factor
from datasets_prep.slides.protocol import Levels


@dataclass(frozen=True)
class LevelSource:
    """The level that LR is read from, and how many times it is reduced afterwards (1: not at all)."""

    level: int
    rest: int


Plan: TypeAlias = dict[int, LevelSource | None]  # scale -> source of its LR; None: the area mean of HR


def plan_levels(slide: Levels, scales: Sequence[int], *, reduction: int = 1) -> Plan:
    """Scale -> the coarsest level whose factor divides it, or None when only HR itself does.

    A level whose factor is not a whole number is never used.

    Args:
        slide: the slide.
        scales: the scales of LR against HR.
        reduction: how many times level 0 is reduced to give HR.
    """
    factors = {level: level_factor(slide.level_sizes, level) or 1 for level in range(1, len(slide.level_sizes))}
    levels = [(r, level) for level, r in factors.items() if r > reduction]
    plan: Plan = {}
    for k in scales:
        total = k * reduction
        r, level = max((pair for pair in levels if total % pair[0] == 0), default=(1, 0))
        plan[k] = LevelSource(level, total // r) if level else None
    return plan


def describe(plan: Mapping[int, LevelSource | None]) -> str:
    """The plan as text, such as `x2:area x4:level1 x8:level1/2`.

    `area` is the area mean of HR, `level1` is level 1 unchanged, and `level1/2` is level 1 reduced twice more.
    """
    return " ".join(f"x{k}:{source_name(source)}" for k, source in plan.items())


def source_name(source: LevelSource | None) -> str:
    """The source of one scale as text: `area`, `level1`, `level1/2`."""
    if source is None:
        return "area"
    return f"level{source.level}" + (f"/{source.rest}" if source.rest > 1 else "")


def read_lr(slide: Levels, x: int, y: int, size: int, k: int, source: LevelSource) -> NDArray[np.uint8]:
    """The LR image of an HR patch, read from a level: [size/k, size/k, 3] uint8 RGB.

    All levels begin at the upper left corner of the slide, so the pixels of LR begin at exactly (x/r, y/r), whatever
    W0/W is.

    Args:
        slide: the slide.
        x, y: upper left corner of the HR patch, level-0 px.
        size: side of the HR patch, level-0 px.
        k: the scale against level 0.
        source: the level and the remaining reduction.

    Raises:
        ValueError: x, y or size is not a multiple of `k`.
        UserError: the level cannot be read.
    """
    if x % k or y % k or size % k:
        raise ValueError(f"{size} px at x {x}, y {y} are no whole pixels of LR x{k}")
    r = k // source.rest
    return area_reduce(slide.read(x // r, y // r, size // r, size // r, level=source.level), source.rest)
