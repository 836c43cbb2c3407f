"""LR from the slide's own coarser levels, as the paper takes it, and the proof that these lie on level 0."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeAlias

import cv2
import numpy as np
from numpy.typing import NDArray
from skimage.registration import phase_cross_correlation

from datasets_prep.patches.grid import area_reduce

_PATCHES = 32  # textured ones that decide
_EXAMINED = 512  # patches, after which those that were textured must do
_TEXTURE = 8.0  # grey levels, the least standard deviation of a textured patch
_MAX_SHIFT = _MAX_MAD = 0.1  # LR px
_BAND = (0.7, 3.0)  # LR px, the Gaussians between which an image is compared


class Levels(Protocol):
    """What is needed of a slide (`slides.Slide` has it)."""

    @property
    def level_sizes(self) -> Sequence[tuple[int, int]]:
        """(width, height) of each level, finest first."""
        ...

    def factor(self, level: int) -> int | None:
        """How many level-0 pixels a pixel of `level` spans, where that is a whole number."""
        ...

    def read(self, x: int, y: int, width: int, height: int, *, level: int = 0) -> NDArray[np.uint8]:
        """H×W×3 uint8 RGB at (x, y) in pixels of `level`."""
        ...


@dataclass(frozen=True)
class LevelSource:
    """The level that LR is read from, and how many times it is reduced after that (1: not at all)."""

    level: int
    rest: int


Plan: TypeAlias = dict[int, LevelSource | None]  # scale -> where its LR comes from; None: the area mean of HR


@dataclass(frozen=True)
class Registration:
    """How the LR of one scale lies on the area mean of HR.

    Attributes:
        shift_median: of the lengths of the patches' shifts, LR px.
        shift_mad: of the lengths of their deviations from the median shift, LR px; drift over the slide shows here.
        psnr: of LR and the area mean, dB, over all patches; inf where they are equal.
        patches: that were compared. Without any the other numbers are nan.
    """

    shift_median: float
    shift_mad: float
    psnr: float
    patches: int

    @property
    def passed(self) -> bool:
        """Whether LR lies on HR, within a tenth of an LR pixel."""
        return self.shift_median <= _MAX_SHIFT and self.shift_mad <= _MAX_MAD


def plan_levels(slide: Levels, scales: Sequence[int]) -> Plan:
    """Scale -> the coarsest level whose factor divides it, or None where only level 0 does.

    Levels that are no whole number of level-0 pixels apart are never used.
    """
    levels = [(r, level) for level in range(1, len(slide.level_sizes)) if (r := slide.factor(level) or 1) > 1]
    plan: Plan = {}
    for k in scales:
        r, level = max((at for at in levels if k % at[0] == 0), default=(1, 0))
        plan[k] = LevelSource(level, k // r) if level else None
    return plan


def describe(plan: Mapping[int, LevelSource | None]) -> str:
    """Such as `x2:area x4:level1 x8:level1/2`: what of HR, a level as it is, a level reduced twice more."""
    return " ".join(f"x{k}:{_name(source)}" for k, source in plan.items())


def _name(source: LevelSource | None) -> str:
    if source is None:
        return "area"
    return f"level{source.level}" + (f"/{source.rest}" if source.rest > 1 else "")


def read_lr(slide: Levels, x: int, y: int, size: int, k: int, source: LevelSource) -> NDArray[np.uint8]:
    """LR of the field of `size`×`size` level-0 pixels at (x, y), read from a level: size/k×size/k×3 uint8.

    Levels are laid from the upper left corner, so its pixels begin at exactly (x/r, y/r), whatever W0/W is.

    Raises `ValueError` unless x, y and size are multiples of `k`; `UserError` where the level cannot be read.
    """
    if x % k or y % k or size % k:
        raise ValueError(f"{size} px at x {x}, y {y} are no whole pixels of LR x{k}")
    r = k // source.rest
    return area_reduce(slide.read(x // r, y // r, size // r, size // r, level=source.level), source.rest)


def register(
    slide: Levels, places: NDArray[np.integer], *, size: int, plan: Mapping[int, LevelSource | None]
) -> dict[int, Registration]:
    """Scale -> how its LR lies on HR, for those that are read from a level.

    The first 32 textured patches are compared, or all where there are fewer (among 512 that are looked at), in an order
    that is spread over the slide and the same each time.

    Args:
        slide: see `Levels`.
        places: N×2, upper left corners of patches in level-0 px, multiples of every scale.
        size: of the patches, level-0 px.
        plan: of `plan_levels`.

    Raises:
        UserError: pixels cannot be read.
    """
    sources = {k: source for k, source in plan.items() if source is not None}
    shifts: dict[int, list[NDArray[np.float64]]] = {k: [] for k in sources}
    errors: dict[int, list[float]] = {k: [] for k in sources}
    left = _PATCHES
    for x, y in places[_spread(len(places))[:_EXAMINED]].tolist():
        if not left or not sources:
            break
        hr = slide.read(x, y, size, size)
        if not _is_textured(hr):
            continue
        left -= 1
        for k, source in sources.items():
            lr, mean = read_lr(slide, x, y, size, k, source), area_reduce(hr, k)
            shifts[k].append(shift_of(lr, mean))
            errors[k].append(float(np.mean((lr.astype(np.float32) - mean) ** 2)))
    return {k: _summary(np.array(shifts[k]), errors[k]) for k in sources}


def _spread(count: int) -> NDArray[np.intp]:
    """0 … count-1, ordered so that any first few are spread evenly: by multiples of the golden ratio, modulo 1."""
    return np.argsort(np.arange(count) * ((5**0.5 - 1) / 2) % 1, kind="stable")


def _summary(shifts: NDArray[np.float64], errors: Sequence[float]) -> Registration:
    """Of N×2 shifts and N mean squared errors."""
    if not len(shifts):
        return Registration(float("nan"), float("nan"), float("nan"), 0)
    median = np.median(np.linalg.norm(shifts, axis=1))
    mad = np.median(np.linalg.norm(shifts - np.median(shifts, axis=0), axis=1))
    error = float(np.mean(errors))
    psnr = 10 * np.log10(255**2 / error) if error else float("inf")
    return Registration(float(median), float(mad), float(psnr), len(shifts))


def shift_of(lr: NDArray[np.uint8], reference: NDArray[np.uint8]) -> NDArray[np.float64]:
    """(y, x) px that bring n×n×3 `lr` onto `reference`, to about a hundredth; n where either shows nothing.

    It is a cross-correlation, not normalised to phases: on a few dozen pixels, with aliasing and the noise of
    compression, it is the more accurate one.
    """
    moving, fixed = _band(lr), _band(reference)
    if not moving.any() or not fixed.any():
        return np.full(2, float(len(lr)))
    # Two windows would agree best without a shift. One leaves what surrounds it to chance, which has the other sign
    # when the other image has the window.
    return (_correlate(fixed, _windowed(moving)) - _correlate(moving, _windowed(fixed))) / 2


def _correlate(fixed: NDArray[np.float64], moving: NDArray[np.float64]) -> NDArray[np.float64]:
    shift, _, _ = phase_cross_correlation(
        fixed,
        moving,
        upsample_factor=100,
        normalization=None,  # pyright: ignore[reportArgumentType]  it is documented, but has no annotation
    )
    return shift


def _band(rgb: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Grey without what is finer, thus aliased and bound to the pixel grid, and without what is coarser than the field.

    All 0 where the levels differ by less than rounding.
    """
    grey = rgb.mean(axis=-1)
    if np.ptp(grey) < 1:
        return np.zeros_like(grey)
    fine, coarse = (cv2.GaussianBlur(grey, (0, 0), sigma) for sigma in _BAND)
    band = fine - coarse
    return band - band.mean()


def _windowed(image: NDArray[np.float64]) -> NDArray[np.float64]:
    """About its mean, fading to 0 at the border."""
    window = _window(*image.shape)
    return window * (image - (window * image).sum() / window.sum())


def _window(height: int, width: int) -> NDArray[np.float64]:
    """Hann's, whose zeros lie half a pixel outside."""
    return np.outer(*(np.sin(np.pi * (np.arange(n) + 0.5) / n) ** 2 for n in (height, width)))


def _is_textured(hr: NDArray[np.uint8]) -> bool:
    """Whether the window sees enough; tissue in a corner alone aligns nothing."""
    grey = hr.mean(axis=-1)
    window = _window(*grey.shape)
    window /= window.sum()
    mean = (window * grey).sum()
    return bool((window * (grey - mean) ** 2).sum() >= _TEXTURE**2)


def gated(plan: Mapping[int, LevelSource | None], registrations: Mapping[int, Registration]) -> tuple[Plan, str]:
    """The plan with every scale that did not pass taken from HR instead, and one sentence that says which and why.

    The sentence is empty where all have passed.
    """
    kept: Plan = {}
    failed = []
    for k, source in plan.items():
        if source is None or registrations[k].passed:
            kept[k] = source
            continue
        kept[k] = None
        at = registrations[k]
        why = f"{at.shift_median:.2f} px off, spread {at.shift_mad:.2f}" if at.patches else "no texture to compare"
        failed.append(f"x{k} ({_name(source)}: {why})")
    if not failed:
        return kept, ""
    return kept, f"LR is made from HR where the slide's own level could not be shown to lie on it: {', '.join(failed)}"
