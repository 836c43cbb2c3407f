"""The resolution of a slide: µm per pixel (mpp) from its properties, and the magnification that it is called."""

import math
from collections.abc import Mapping
from pathlib import Path

import openslide

from datasets_prep.common.errors import UserError
from datasets_prep.slides.protocol import SlideReader

_SANE = (0.05, 20.0)  # µm/px; a smaller value is beyond 100x, a larger one coarser than any scanner (72 dpi is 353)
_ANISOTROPY = 0.05  # largest relative difference of the two sides of a pixel
_HR_MPP = (0.20, 0.30)  # µm/px that count as 40x
_MAGNIFICATIONS = (80.0, 40.0, 20.0, 10.0, 5.0, 2.5, 1.25)


def resolution_of(path: Path, properties: Mapping[str, str], *, assume_mpp: float | None = None) -> tuple[float, str]:
    """µm per level-0 pixel, and its source.

    Args:
        path: the slide, for error messages.
        properties: OpenSlide's properties of the slide.
        assume_mpp: µm per pixel, used where the slide states nothing, or an absurd value.

    Returns:
        The resolution, and `slide`, `objective` (10 / magnification of the objective) or `assumed`.

    Raises:
        UserError: no sane resolution is known, or the pixels are not square.
    """
    if assume_mpp is not None and not _is_sane(assume_mpp):
        raise UserError(f"--assume-mpp {assume_mpp}: give µm per pixel, such as 0.25")
    stated = [_number(properties, name) for name in (openslide.PROPERTY_NAME_MPP_X, openslide.PROPERTY_NAME_MPP_Y)]
    sides = [side for side in stated if side is not None]
    power = _number(properties, openslide.PROPERTY_NAME_OBJECTIVE_POWER)
    claim = ""
    if sides:
        if all(_is_sane(side) for side in sides):
            if max(sides) > (1 + _ANISOTROPY) * min(sides):
                raise UserError(f"{path} has pixels of {sides[0]:g}x{sides[1]:g} µm: only square ones can be used")
            return sum(sides) / len(sides), "slide"
        claim = f"{next(side for side in sides if not _is_sane(side)):g} µm/px"
    elif power is not None:
        if power > 0 and _is_sane(10 / power):
            return 10 / power, "objective"
        claim = f"an objective of {power:g}x"
    if assume_mpp is not None:
        return assume_mpp, "assumed"
    if claim:
        raise UserError(f"{path} claims {claim}, which cannot be: give the true µm/px with --assume-mpp")
    raise UserError(f"{path} says neither its µm/px nor its objective: give --assume-mpp (0.25 at 40x, 0.5 at 20x)")


def magnification_of(mpp: float) -> float:
    """The usual magnification (80, 40, 20, 10, 5, 2.5 or 1.25) nearest to 10 / mpp."""
    return min(_MAGNIFICATIONS, key=lambda usual: abs(math.log(usual * mpp / 10)))


def _is_sane(mpp: float) -> bool:
    return _SANE[0] <= mpp <= _SANE[1]  # false for NaN


def _number(properties: Mapping[str, str], name: str) -> float | None:
    try:
        return float(properties[name])
    except (KeyError, ValueError):
        return None


def require_40x(slide: SlideReader) -> None:
    """Raise `UserError` unless the slide has 0.20 to 0.30 µm per pixel."""
    low, high = _HR_MPP
    if slide.mpp is None or not low <= slide.mpp <= high:
        scale = "unknown" if slide.mpp is None else f"{10 / slide.mpp:.2g}x"
        raise UserError(
            f"{slide.path} is a {scale} slide ({slide.mpp or 0:.3f} µm/px): "
            f"HR patches need 40x, {low:.2f} to {high:.2f} µm/px"
        )
