"""Area mean and bicubic downscaling: how an LR image is made from its HR image."""

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from datasets_prep.common.errors import UserError

KERNELS = ("area", "bicubic")


def area_reduce(hr: NDArray[np.uint8], k: int) -> NDArray[np.uint8]:
    """Exact mean of each k×k block, rounded half up: [H, W, C] uint8 to [H/k, W/k, C] uint8, or both without C.

    The mean is taken over the stored sRGB codes, as is usual in super-resolution. LR pixel (i, j) covers exactly the HR
    pixels (k·i … k·i+k-1, k·j … k·j+k-1), so there is no shift.

    Raises:
        UserError: k does not divide H and W.
    """
    height, width = hr.shape[:2]
    if height % k or width % k:
        raise UserError(f"an image of {width}x{height} pixels cannot be reduced {k} times without a rest")
    # Adding strided slices is ten times as fast as summing a reshaped block over two axes.
    rows = sum((hr[i::k] for i in range(1, k)), start=hr[::k].astype(np.uint32))
    total = sum((rows[:, i::k] for i in range(1, k)), start=rows[:, ::k])
    return ((total + k * k // 2) // (k * k)).astype(np.uint8)


def reduce_patch(hr: NDArray[np.uint8], k: int, *, kernel: str) -> NDArray[np.uint8]:
    """Downscale an RGB image `k` times without a shift: [H, W, 3] uint8 to [H/k, W/k, 3] uint8.

    Both kernels work on the stored sRGB codes in exact arithmetic, so every machine gives the same bytes.

    Args:
        hr: the HR image.
        k: the scale.
        kernel: `area` is the exact mean (`area_reduce`). `bicubic` is MATLAB's antialiased imresize, as BasicSR
            implements it: borders mirrored, rounded to nearest. Where k does not divide a side, bicubic rounds the new
            side up.

    Raises:
        UserError: the kernel is unknown, or `kernel` is `area` and k does not divide H and W.
    """
    if kernel == "area":
        return area_reduce(hr, k)
    if kernel == "bicubic":
        return _bicubic_reduce(hr, k)
    raise UserError(f"LR kernel {kernel!r}: choose from {', '.join(KERNELS)}")


def _bicubic_reduce(hr: NDArray[np.uint8], k: int) -> NDArray[np.uint8]:
    rows = _reduce_rows(hr.astype(np.float64), k)
    total = _reduce_rows(rows.swapaxes(0, 1), k).swapaxes(0, 1)
    return np.clip(np.rint(total / (16 * k**4) ** 2), 0, 255).astype(np.uint8, order="C")


def _reduce_rows(image: NDArray[np.float64], k: int) -> NDArray[np.float64]:
    """Downscale along the first axis, times 16·k⁴: [H, W, C] to [⌈H/k⌉, W, C]."""
    first, weights = _bicubic_weights(k)
    height = len(image)
    end = -(-height // k) * k
    after = end - k + first + len(weights) - height
    padded = np.pad(image, ((-first, after), (0, 0), (0, 0)), mode="symmetric")
    # A few strided slices are less work than a nearly empty matrix, and they use one core only.
    reduced = np.zeros((end // k, *image.shape[1:]))
    for i, weight in enumerate(weights):
        reduced += weight * padded[i : i + end : k]
    return reduced


@lru_cache(maxsize=8)
def _bicubic_weights(k: int) -> tuple[int, tuple[float, ...]]:
    """Offset of the first HR pixel that contributes to an LR pixel, and the weights of all that contribute.

    The offset counts from the first HR pixel that the LR pixel covers. The kernel is Keys' cubic (a = -0.5), k times as
    wide, of the distance j/2 px between pixel centres. Each weight is multiplied by 16·k³, which makes it a whole
    number; the weights add up to 16·k⁴. All sums in float64 are therefore exact (up to k = 24).
    """
    taps = np.arange(-2 * k, 3 * k)
    j = np.abs(2 * taps + 1 - k)
    near = 3 * j**3 - 10 * k * j**2 + 16 * k**3
    far = -(j**3) + 10 * k * j**2 - 32 * k**2 * j + 32 * k**3
    weights = np.where(j <= 2 * k, near, far)[j < 4 * k]
    return int(taps[j < 4 * k][0]), tuple(weights.astype(float).tolist())
