"""Which levels of a slide its LR images are read from: what was asked for, what was measured, and what is said."""

from dataclasses import dataclass, field
from math import isinf

from datasets_prep.common.errors import UserError
from datasets_prep.patches.grid import Coordinates
from datasets_prep.patches.options import ScanOptions
from datasets_prep.slides.protocol import SlideReader
from datasets_prep.slides.pyramid_lr import describe, plan_levels
from datasets_prep.slides.registration import gated, register


@dataclass(frozen=True)
class LRLevels:
    """How the LR images of a slide are made.

    Attributes:
        text: the source of LR as text, see `pyramid_lr.describe`; `area` or `bicubic` when all scales are made from HR.
        levels: scale -> (level, remaining reduction), for scales that are read from a level.
        registrations: scale -> (shift, MAD, PSNR) that were measured, see `Scan.registrations`.
        note: a line for the user, where a scale that was to be read from a level is made from HR; else empty.
    """

    text: str
    levels: dict[int, tuple[int, int]] = field(default_factory=dict)
    registrations: dict[int, tuple[float, float, float | None]] = field(default_factory=dict)
    note: str = ""


def choose_levels(slide: SlideReader, coordinates: Coordinates, options: ScanOptions, *, reduction: int) -> LRLevels:
    """Choose the level of each scale, and measure how LR that is read there lies on HR.

    Args:
        slide: an open slide.
        coordinates: upper left corners of the candidates, [N, 2] in level-0 px.
        options: the options of the scan.
        reduction: how many times level 0 is reduced to give HR.

    Raises:
        UserError: pixels cannot be read, or a scale has no level that lies on HR and `options.strict` is set.
    """
    if options.lr != "pyramid":
        return LRLevels(options.lr)
    plan = plan_levels(slide, options.scales, reduction=reduction)
    missing = [f"x{k}" for k, source in plan.items() if source is None]
    size = options.patch_size * reduction
    measured = register(slide, coordinates, size=size, plan=plan, reduction=reduction) if any(plan.values()) else {}
    plan, failed = gated(plan, measured)
    absent = f"LR of {', '.join(missing)} is made from HR: no level of the slide fits" if missing else ""
    note = "; ".join(filter(None, (absent, failed)))
    if note and options.strict:
        raise UserError(f"{slide.path}: {note}; leave the slide out, use other --scales, or do not give --strict")
    levels = {k: (source.level, source.rest) for k, source in plan.items() if source is not None}
    registrations = {
        k: (result.shift_median, result.shift_mad, None if isinf(result.psnr) else result.psnr)
        for k, result in measured.items()
        if result.patches
    }
    return LRLevels(describe(plan), levels, registrations, note)
