"""Is an LR image the reduction of its HR image? If not, what is the cause?"""

from collections import Counter
from collections.abc import Iterable
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from datasets_prep.common.downscale import reduce_patch

RGBImage: TypeAlias = NDArray[np.uint8]  # [H, W, 3] RGB

EXACT = ("area", "bicubic")  # kernels of `reduce_patch`: LR must be equal to the last bit

# Measured on a real slide: its own 20x level against the area mean of 40x, 292 patches of 192 px whose grey values have
# a standard deviation of 10 or more. At x2, x4 and x8 no sound patch is reported as shifted. A shift by 1 or 2 LR px is
# found in 99 % of the patches or more, a shift by half a pixel in 95 % or more. PSNR is 27 dB or more for sound
# patches; for patches that do not belong together its median is 16 to 19 dB.
_TEXTURED = 10.0  # grey levels
_LARGEST_SHIFT = 0.25  # LR px
_LEAST_PSNR = 20.0  # dB
_LEAST_CORRELATION = 0.5
_MARGIN = {"area": 0, "bicubic": 3}  # LR px at the border that depend on pixels outside the image


def guess_source(pairs: Iterable[tuple[RGBImage, RGBImage]], scale: int) -> str:
    """The kernel of most of the (HR, LR) pairs: `area`, `bicubic`, or empty when it is neither."""
    votes = Counter(
        next((kernel for kernel in EXACT if np.array_equal(lr, reduce_patch(hr, scale, kernel=kernel))), "")
        for hr, lr in pairs
    )
    return votes.most_common(1)[0][0] if votes else ""


def exact_cause(hr: RGBImage, lr: RGBImage, scale: int, kernel: str) -> str:
    """The most likely reason why `lr` is not `hr` reduced by `kernel` (one of EXACT), as the end of a sentence."""
    expected = reduce_patch(hr, scale, kernel=kernel)
    if np.array_equal(lr[..., ::-1], expected):
        return f"its red and blue are swapped against HR reduced ({kernel})"
    for other in EXACT:
        if other != kernel and np.array_equal(lr, reduce_patch(hr, scale, kernel=other)):
            return f"is HR reduced by {other}, not by {kernel} as it should be"
    shift = _shift(lr, expected)
    for dy, dx in _around(shift * scale):
        if (dy or dx) and _is_shifted(hr, lr, scale, kernel, dy, dx):
            return f"is HR reduced, but shifted by {_text(dx / scale, dy / scale)} LR pixels"
    share = np.any(lr != expected, axis=-1).mean()
    return f"is not HR reduced ({kernel}): {share:.1%} of its pixels differ, PSNR {_psnr(lr, expected):.1f} dB"


def registered_flaw(hr: RGBImage, lr: RGBImage, scale: int) -> str:
    """What is wrong with an LR image that was read from a level of the slide; empty when nothing is wrong.

    LR must resemble the area mean of HR and lie exactly on it. Without texture in HR a shift cannot be measured.
    """
    expected = reduce_patch(hr, scale, kernel="area")
    textured = _grey(expected).std() >= _TEXTURED
    if textured:
        shift = _shift(lr, expected)
        if np.abs(shift).max() > _LARGEST_SHIFT:
            return f"is shifted by {_text(shift[1], shift[0])} LR pixels against HR"
    psnr = _psnr(lr, expected)
    if psnr < _LEAST_PSNR or (textured and _correlation(lr, expected) < _LEAST_CORRELATION):
        return f"does not show what HR shows: PSNR {psnr:.1f} dB against its area mean"
    return ""


def _grey(image: RGBImage) -> NDArray[np.float32]:
    return image.mean(axis=-1, dtype=np.float32)


def _psnr(first: RGBImage, second: RGBImage) -> float:
    error = np.square(first.astype(np.float32) - second).mean()
    return float(10 * np.log10(255**2 / error)) if error else float("inf")


def _correlation(first: RGBImage, second: RGBImage) -> float:
    """Correlation of the grey values, -1 to 1; 0 when one image is flat."""
    a, b = (grey - grey.mean() for grey in (_grey(first), _grey(second)))
    return float((a * b).sum() / max(np.sqrt(np.square(a).sum() * np.square(b).sum()), 1e-6))


def _shift(lr: RGBImage, expected: RGBImage) -> NDArray[np.float64]:
    """Shift (y, x) of `lr` against `expected`, LR px; 0 when it cannot be measured reliably."""
    first, second = _grey(lr), _grey(expected)
    if min(first.std(), second.std()) < 1:
        return np.zeros(2)
    from scipy import ndimage  # SciPy takes half a second to import
    from skimage.registration import phase_cross_correlation

    shift = np.asarray(phase_cross_correlation(first, second, upsample_factor=20)[0], np.float64)
    # For two images without anything in common the peak of the correlation is random. So the shift must bring the
    # images closer to each other.
    moved = ndimage.shift(second, shift, order=1, cval=np.nan)
    inside = np.isfinite(moved)
    if inside.sum() < inside.size / 4:
        return np.zeros(2)
    closer = np.square(moved - first)[inside].mean() < 0.5 * np.square(second - first)[inside].mean()
    return shift if closer else np.zeros(2)


def _around(shift: NDArray[np.float64]) -> list[tuple[int, int]]:
    """The nine whole-number shifts around a shift, the nearest one first."""
    y, x = (round(value) for value in shift)
    return [(y + i, x + j) for i in (0, -1, 1) for j in (0, -1, 1)]


def _is_shifted(hr: RGBImage, lr: RGBImage, scale: int, kernel: str, dy: int, dx: int) -> bool:
    """Whether `lr` is HR reduced on a grid that is moved up by dy and left by dx HR pixels, where HR has pixels."""
    skips, starts = zip(*((-d % scale, (d + -d % scale) // scale) for d in (dy, dx)), strict=True)
    # Pixel i of LR then covers the HR pixels from scale·i - d on. It is pixel i - start of HR without its first `skip`
    # rows.
    height, width = ((side - skip) // scale for side, skip in zip(hr.shape, skips, strict=False))
    part = hr[skips[0] : skips[0] + height * scale, skips[1] : skips[1] + width * scale]
    reduced = reduce_patch(np.ascontiguousarray(part), scale, kernel=kernel)
    boxes = []
    for start, side, full in zip(starts, reduced.shape, lr.shape, strict=False):
        first, last = max(0, start) + _MARGIN[kernel], min(full, side + start) - _MARGIN[kernel]
        if last - first < 2:
            return False
        boxes.append((slice(first, last), slice(first - start, last - start)))
    (y, from_y), (x, from_x) = boxes
    return np.array_equal(lr[y, x], reduced[from_y, from_x])


def _text(x: float, y: float) -> str:
    return f"({x:+.3g}, {y:+.3g})"
