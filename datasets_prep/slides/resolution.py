"""The resolution of a slide: µm per pixel (mpp) from its properties, and the magnification that it is called."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import openslide

from datasets_prep.common.errors import UserError
from datasets_prep.common.text import told_apart, with_hint

MPP_NAMES = (openslide.PROPERTY_NAME_MPP_X, openslide.PROPERTY_NAME_MPP_Y)
_SANE = (0.05, 20.0)  # µm/px; a smaller value is beyond 100x, a larger one coarser than any scanner (72 dpi is 353)
_ANISOTROPY = 0.05  # largest relative difference of the two sides of a pixel
_TOLERANCE = 0.2  # largest relative difference of the resolution of HR from the wanted one
_EQUAL = 0.01  # largest relative difference of two statements that say the same
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
    refuse_absurd("--assume-mpp", assume_mpp)
    mpp, source, claim = stated_by_file(path, properties)
    if mpp is not None:
        return mpp, source
    if assume_mpp is not None:
        return assume_mpp, "assumed"
    if claim:
        raise UserError(f"{path} claims {claim}, which cannot be: give the true µm/px with --assume-mpp")
    raise UserError(f"{path} says neither its µm/px nor its objective: give --assume-mpp (0.25 at 40x, 0.5 at 20x)")


def stated_by_file(path: Path, properties: Mapping[str, str]) -> tuple[float | None, str, str]:
    """µm per level-0 pixel by a file, its source as in `resolution_of`, and an absurd claim of the file, or empty.

    None and an empty source: the file states nothing, or its claim is absurd, such as 353 µm (72 dpi).

    Raises:
        UserError: the pixels are not square.
    """
    sides = [side for side in (_number(properties, name) for name in MPP_NAMES) if side is not None]
    power = _number(properties, openslide.PROPERTY_NAME_OBJECTIVE_POWER)
    if sides and all(map(is_sane, sides)):
        refuse_oblong(path, sides)
        return sum(sides) / len(sides), "slide", ""
    if sides:
        return None, "", f"{next(side for side in sides if not is_sane(side)):g} µm/px"
    if power is None:
        return None, "", ""
    if power > 0 and is_sane(10 / power):
        return 10 / power, "objective", ""
    return None, "", f"an objective of {power:g}x"


def refuse_oblong(path: Path, sides: Sequence[float], *, hint: str = "") -> None:
    """Raise `UserError` where the pixels of a file are not square.

    Args:
        path: the file, for the message.
        sides: of a pixel, µm.
        hint: what the user can do.
    """
    if max(sides) > (1 + _ANISOTROPY) * min(sides):
        oblong = f"{path} has pixels of {sides[0]:g}x{sides[1]:g} µm: only square ones can be used"
        raise UserError(with_hint(oblong, hint))


def magnification_of(mpp: float) -> float:
    """The usual magnification (80, 40, 20, 10, 5, 2.5 or 1.25) nearest to 10 / mpp."""
    return min(_MAGNIFICATIONS, key=lambda usual: abs(math.log(usual * mpp / 10)))


def is_sane(mpp: float) -> bool:
    """Whether a microscope may have this resolution, µm per pixel."""
    return _SANE[0] <= mpp <= _SANE[1]  # false for NaN


def refuse_absurd(option: str, mpp: float | None) -> None:
    """Raise `UserError` where no microscope has the µm per pixel that an option states; None: it states nothing."""
    if mpp is not None and not is_sane(mpp):
        low, high = _SANE
        raise UserError(f"{option} {mpp:g}: give µm per pixel, {low:g} to {high:g}, such as 0.25")


def _number(properties: Mapping[str, str], name: str) -> float | None:
    try:
        return float(properties[name])
    except (KeyError, ValueError):
        return None


@dataclass(frozen=True)
class Resolution:
    """The resolution of a slide or tile.

    Attributes:
        mpp: µm per level-0 pixel; None when it is unknown.
        source: `slide`, `objective`, `assumed` or `overridden`; empty when it is unknown.
        note: a line for the user where two statements differ; else empty.
    """

    mpp: float | None
    source: str
    note: str = ""


def settled(mpp: float | None, source: str, *, stated: float | None, by: str, override: bool) -> Resolution:
    """The resolution that counts, when the file and the user may both state one.

    Args:
        mpp, source: of the file, or of a reader that was opened with `assume_mpp=stated`.
        stated: µm per level-0 pixel that the user states; None: nothing.
        by: where the user states it, such as `the manifest`.
        override: whether the user counts more than the file.
    """
    if stated is None or source == "assumed":
        return Resolution(mpp, source)
    if mpp is None:
        return Resolution(stated, "assumed")
    differ = abs(mpp - stated) > _EQUAL * stated
    if override:
        note = f"the file states {mpp:.4g} µm/px; {by} says {stated:g}, and that counts" if differ else ""
        return Resolution(stated, "overridden", note)
    wins = f"the file states {mpp:.4g} µm/px, and that counts; {by} says {stated:g}: give --override-mpp if it is right"
    return Resolution(mpp, source, wins if differ else "")


def stated_resolution(
    mpp: float | None, source: str, assume_mpp: float | None, override_mpp: float | None
) -> Resolution:
    """The resolution that counts with `--assume-mpp` and `--override-mpp`; `mpp` and `source` are those of the file."""
    if override_mpp is not None:
        return settled(mpp, source, stated=override_mpp, by="--override-mpp", override=True)
    return settled(mpp, source, stated=assume_mpp, by="--assume-mpp", override=False)


def hr_reduction(path: Path, resolution: Resolution, *, hr_mpp: float, noun: str = "slide") -> int:
    """How many times level 0 is reduced to give HR: 1 when level 0 has the wanted resolution, within 20 %.

    Args:
        path: the file, for messages.
        resolution: of level 0. An image tile of unknown resolution has the wanted one.
        hr_mpp: wanted µm per HR pixel.
        noun: what the file is.

    Raises:
        UserError: level 0 is coarser than the wanted resolution, or no whole number of its pixels gives it.
    """
    mpp = resolution.mpp
    if mpp is None:
        return 1
    low, high = (1 - _TOLERANCE) * hr_mpp, (1 + _TOLERANCE) * hr_mpp
    nearest = max(1, round(hr_mpp / mpp))
    fits = [n for n in (nearest, nearest + 1, nearest - 1) if n > 0 and low - 1e-9 <= n * mpp <= high + 1e-9]
    if fits:
        return min(fits, key=lambda n: abs(math.log(n * mpp / hr_mpp)))
    own, least, most = told_apart(mpp, low, high)
    raise UserError(
        f"{path} is a {10 / mpp:.2g}x {noun} ({own} µm/px): "
        f"HR patches need {10 / hr_mpp:.2g}x, {least} to {most} µm/px, or a finer level to reduce"
        + (
            f"; {resolution.note}"
            if resolution.note
            else " (--hr-mpp chooses 20x or 10x, --override-mpp says what is true)"
        )
    )
