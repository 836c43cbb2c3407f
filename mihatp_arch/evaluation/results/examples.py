"""The patches and crops that pictures show: chosen by the error on tissue, which background has none of."""

from collections.abc import Mapping, Sequence
from math import isfinite, log10
from statistics import mean

import numpy as np
from numpy.typing import NDArray

from mihatp_arch.evaluation.results.scores import Scores, mean_of
from mihatp_arch.metrics.images import BGRImage

# A pixel is tissue where an optical density is 0.15 or more (Macenko et al., 2009): a channel of 180 or less.
_TISSUE_LEVEL = 255 * 10**-0.15
_LEAST_TISSUE = 0.25  # share of the pixels of a patch

Shares = Mapping[str, Mapping[str, float]]  # test set -> image -> share of its pixels that are tissue


def tissue(image: BGRImage) -> NDArray[np.bool_]:
    """Which pixels of an image `[H, W, 3]` are tissue, `[H, W]`."""
    return image.min(-1) <= _TISSUE_LEVEL


def example_images(scores: Mapping[str, Sequence[Scores]], shares: Shares) -> list[tuple[str, str, str]]:
    """The worst, the median and the best image by PSNR on tissue, averaged over all methods: title, test set, image.

    The squared error of a patch is divided by its tissue, as background has hardly any error. Patches with less than a
    quarter of tissue are left out, unless there are no others. The average over the methods chooses, so that no method
    chooses its own.

    Args:
        scores: method -> the scores of each seed.
        shares: of tissue in each HR image.
    """
    pooled = [mean_of(seeds)["psnr"] for seeds in scores.values()]
    finite = [
        (name, image)
        for name, images in pooled[0].items()
        for image in images
        if all(isfinite(psnr[name][image]) for psnr in pooled)
    ]
    enough = [(name, image) for name, image in finite if shares[name][image] >= _LEAST_TISSUE]
    ranked = sorted(
        (mean(psnr[name][image] for psnr in pooled) + 10 * log10(max(shares[name][image], 1e-6)), name, image)
        for name, image in enough or finite
    )
    chosen = {"worst": ranked[:1], "median": ranked[len(ranked) // 2 :][:1], "best": ranked[-1:]}
    return [(title, name, image) for title, images in chosen.items() for _, name, image in images]


def error_on_tissue(images: Sequence[BGRImage], gt: BGRImage) -> NDArray[np.float64]:
    """The squared error of each pixel, mean over the restored `images`, 0 outside tissue, `[H, W]`."""
    errors = [np.square(image.astype(np.float64) - gt).mean(-1) for image in images]
    return np.where(tissue(gt), np.mean(errors, axis=0) if errors else 0.0, 0.0)
