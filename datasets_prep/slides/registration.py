"""Registration of a slide's own levels: does LR that is read from a level lie exactly on HR?"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from datasets_prep.common.downscale import area_reduce
from datasets_prep.slides.protocol import Levels
from datasets_prep.slides.pyramid_lr import LevelSource, Plan, read_lr, source_name

_PATCHES = 32  # number of textured patches that decide
_EXAMINED = 512  # number of patches that are looked at for texture
_TEXTURE = 8.0  # grey levels, smallest standard deviation of a textured patch
_MAX_SHIFT = _MAX_MAD = 0.1  # LR px
_BAND = (0.7, 3.0)  # LR px, standard deviations of the two Gaussians of the band-pass filter


@dataclass(frozen=True)
class Registration:
    """How far the LR images of one scale are shifted against the area mean of HR.

    Attributes:
        shift_median: median length of the shift of a patch, LR px.
        shift_mad: median length of a shift's deviation from the median shift, LR px. Drift over the slide shows here.
        psnr: PSNR of LR and the area mean over all patches, dB; inf when they are equal.
        patches: number of patches compared. When it is 0, the other numbers are NaN.
    """

    shift_median: float
    shift_mad: float
    psnr: float
    patches: int

    @property
    def passed(self) -> bool:
        """Whether LR lies on HR, within a tenth of an LR pixel."""
        return self.shift_median <= _MAX_SHIFT and self.shift_mad <= _MAX_MAD


def register(
    slide: Levels,
    coordinates: NDArray[np.integer],
    *,
    size: int,
    plan: Mapping[int, LevelSource | None],
    reduction: int = 1,
) -> dict[int, Registration]:
    """Measure how LR lies on HR, for every scale that is read from a level.

    Compares the first 32 textured patches, or all when there are fewer among the first 512. The order of the patches is
    spread over the slide, and the same each time.

    Args:
        slide: the slide.
        coordinates: [N, 2], (x, y) of the upper left corners of patches in level-0 px; multiples of every scale.
        size: side of the patches, level-0 px.
        plan: result of `plan_levels`.
        reduction: how many times level 0 is reduced to give HR.

    Raises:
        UserError: pixels cannot be read.
    """
    sources = {k: source for k, source in plan.items() if source is not None}
    shifts: dict[int, list[NDArray[np.float64]]] = {k: [] for k in sources}
    errors: dict[int, list[float]] = {k: [] for k in sources}
    left = _PATCHES
    for x, y in coordinates[_spread(len(coordinates))[:_EXAMINED]].tolist():
        if not left or not sources:
            break
        hr = slide.read(x, y, size, size)
        if not _is_textured(hr):
            continue
        left -= 1
        for k, source in sources.items():
            total = k * reduction
            lr, mean = read_lr(slide, x, y, size, total, source), area_reduce(hr, total)
            shifts[k].append(shift_of(lr, mean))
            errors[k].append(float(np.mean((lr.astype(np.float32) - mean) ** 2)))
    return {k: _summary(np.array(shifts[k]), errors[k]) for k in sources}


def _spread(count: int) -> NDArray[np.intp]:
    """A permutation of 0 … count-1 whose first few numbers are always spread evenly.

    The numbers are sorted by their multiples of the golden ratio, modulo 1.
    """
    return np.argsort(np.arange(count) * ((5**0.5 - 1) / 2) % 1, kind="stable")


def _summary(shifts: NDArray[np.float64], errors: Sequence[float]) -> Registration:
    """Summarise the shifts, [N, 2], and the N mean squared errors of the patches."""
    if not len(shifts):
        return Registration(float("nan"), float("nan"), float("nan"), 0)
    median = np.median(np.linalg.norm(shifts, axis=1))
    mad = np.median(np.linalg.norm(shifts - np.median(shifts, axis=0), axis=1))
    error = float(np.mean(errors))
    psnr = 10 * np.log10(255**2 / error) if error else float("inf")
    return Registration(float(median), float(mad), float(psnr), len(shifts))


def shift_of(lr: NDArray[np.uint8], reference: NDArray[np.uint8]) -> NDArray[np.float64]:
    """The shift (y, x) in px that brings `lr` onto `reference` (both [n, n, 3]), accurate to about 0.01 px.

    Both components are n when one of the images shows nothing. The method is cross-correlation without normalisation to
    phases. On a few dozen pixels with aliasing and compression noise it is more accurate than phase correlation.
    """
    moving, fixed = _band(lr), _band(reference)
    if not moving.any() or not fixed.any():
        return np.full(2, float(len(lr)))
    # Two windowed images would agree best without a shift. With one window, the surroundings of the window add a random
    # error; it has the opposite sign when the other image has the window, so the mean of both cancels it.
    return (_correlate(fixed, _windowed(moving)) - _correlate(moving, _windowed(fixed))) / 2


def _correlate(fixed: NDArray[np.float64], moving: NDArray[np.float64]) -> NDArray[np.float64]:
    from skimage.registration import phase_cross_correlation  # SciPy takes half a second to import

    shift, _, _ = phase_cross_correlation(
        fixed,
        moving,
        upsample_factor=100,
        normalization=None,  # pyright: ignore[reportArgumentType]  documented, but missing in the annotation
    )
    return shift


def _band(rgb: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Band-pass filtered grey values; all 0 when the image is flat.

    Finer detail is aliased and bound to the pixel grid, and coarser detail is larger than the field. Both are removed.
    """
    grey = rgb.mean(axis=-1)
    if np.ptp(grey) < 1:
        return np.zeros_like(grey)
    fine, coarse = (cv2.GaussianBlur(grey, (0, 0), sigma) for sigma in _BAND)
    band = fine - coarse
    return band - band.mean()


def _windowed(image: NDArray[np.float64]) -> NDArray[np.float64]:
    """The image minus its mean, faded to 0 at the border."""
    window = _window(*image.shape)
    return window * (image - (window * image).sum() / window.sum())


def _window(height: int, width: int) -> NDArray[np.float64]:
    """A Hann window whose zeros lie half a pixel outside the image."""
    return np.outer(*(np.sin(np.pi * (np.arange(n) + 0.5) / n) ** 2 for n in (height, width)))


def _is_textured(hr: NDArray[np.uint8]) -> bool:
    """Whether the patch has enough contrast under the window; tissue in one corner is not enough."""
    grey = hr.mean(axis=-1)
    window = _window(*grey.shape)
    window /= window.sum()
    mean = (window * grey).sum()
    return bool((window * (grey - mean) ** 2).sum() >= _TEXTURE**2)


def gated(plan: Mapping[int, LevelSource | None], registrations: Mapping[int, Registration]) -> tuple[Plan, str]:
    """The plan without the levels that do not lie on HR; LR of these scales is made from HR instead.

    Returns:
        The new plan, and one sentence that names each scale and the reason; empty when all levels have passed.
    """
    passed: Plan = {}
    failed = []
    for k, source in plan.items():
        if source is None or registrations[k].passed:
            passed[k] = source
            continue
        passed[k] = None
        result = registrations[k]
        shift = f"{result.shift_median:.2f} px off, spread {result.shift_mad:.2f}"
        failed.append(f"x{k} ({source_name(source)}: {shift if result.patches else 'no texture to compare'})")
    if not failed:
        return passed, ""
    why = f"LR is made from HR where the slide's own level could not be shown to lie on it: {', '.join(failed)}"
    return passed, why
