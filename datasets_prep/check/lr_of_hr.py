"""Whether an LR image is what its HR image says, and if not, why."""

from collections import Counter
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from skimage.registration import phase_cross_correlation

from datasets_prep.common.downscale import reduce_patch

Image = NDArray[np.uint8]  # H×W×3 RGB

EXACT = ("area", "bicubic")  # made from the HR pixels by us, so equal to the last bit

# On a real slide, its own 20x level against the area mean of 40x, 192 px patches whose grey has a standard deviation of
# 10 or more (292): at x2, x4 and x8 none is said to be shifted; one that is, by 1 or 2 LR px, is found in 99 % or more,
# by half a pixel in 95 % or more. PSNR is 27 dB or more; of places that do not belong together, 16 to 19 dB (medians).
_TEXTURED = 10.0  # grey levels
_LARGEST_SHIFT = 0.25  # LR px
_LEAST_PSNR = 20.0  # dB
_LEAST_CORRELATION = 0.5
_MARGIN = {"area": 0, "bicubic": 3}  # LR px at the border that are made from beyond it


def guess_source(pairs: Iterable[tuple[Image, Image]], scale: int) -> str:
    """The source of most of the (HR, LR) pairs: `area`, `bicubic`, or empty where it is neither."""
    votes = Counter(
        next((kernel for kernel in EXACT if np.array_equal(lr, reduce_patch(hr, scale, kernel=kernel))), "")
        for hr, lr in pairs
    )
    return votes.most_common(1)[0][0] if votes else ""


def exact_cause(hr: Image, lr: Image, scale: int, kernel: str) -> str:
    """Why `lr` is not `hr` reduced by `kernel` (one of EXACT), as far as the two tell: how a sentence goes on."""
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


def registered_flaw(hr: Image, lr: Image, scale: int) -> str:
    """What is wrong with an LR that is no function of HR, such as a level of the slide; empty where nothing is.

    It must resemble the area mean of HR and lie on it; where HR has no texture the place cannot be told.
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


def _grey(image: Image) -> NDArray[np.float32]:
    return image.mean(axis=-1, dtype=np.float32)


def _psnr(first: Image, second: Image) -> float:
    error = np.square(first.astype(np.float32) - second).mean()
    return float(10 * np.log10(255**2 / error)) if error else float("inf")


def _correlation(first: Image, second: Image) -> float:
    """Of grey; 0 where one image is flat."""
    a, b = (grey - grey.mean() for grey in (_grey(first), _grey(second)))
    return float((a * b).sum() / max(np.sqrt(np.square(a).sum() * np.square(b).sum()), 1e-6))


def _shift(lr: Image, expected: Image) -> NDArray[np.float64]:
    """How far (y, x; LR px) what `lr` shows lies from where `expected` shows it; 0 where they give no clear answer."""
    first, second = _grey(lr), _grey(expected)
    if min(first.std(), second.std()) < 1:
        return np.zeros(2)
    shift = np.asarray(phase_cross_correlation(first, second, upsample_factor=20)[0], np.float64)
    # The peak of two images that have nothing in common lies anywhere: moving there must bring them closer.
    moved = ndimage.shift(second, shift, order=1, cval=np.nan)
    inside = np.isfinite(moved)
    if inside.sum() < inside.size / 4:
        return np.zeros(2)
    closer = np.square(moved - first)[inside].mean() < 0.5 * np.square(second - first)[inside].mean()
    return shift if closer else np.zeros(2)


def _around(shift: NDArray[np.float64]) -> list[tuple[int, int]]:
    """The nine whole places about one, the middle first."""
    y, x = (round(value) for value in shift)
    return [(y + i, x + j) for i in (0, -1, 1) for j in (0, -1, 1)]


def _is_shifted(hr: Image, lr: Image, scale: int, kernel: str, dy: int, dx: int) -> bool:
    """Whether `lr` is HR reduced on a grid that lies (dy, dx) HR pixels up and to the left, as far as HR reaches."""
    skips, starts = zip(*((-d % scale, (d + -d % scale) // scale) for d in (dy, dx)), strict=True)
    # Pixel i of LR then covers HR pixels from scale·i - d on: it is pixel i - start of HR without its first skip rows.
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
