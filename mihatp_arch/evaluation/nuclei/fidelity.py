"""Nuclei of HR against those of SR: lost, invented, and how much their shape and stain differ.

Source of the limits of agreement: Bland and Altman, Lancet 1986. All differences are SR minus HR.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy.stats import wasserstein_distance

from mihatp_arch.inference.nuclei.morphometry import FEATURES, Nuclei, joined, measure
from mihatp_arch.nuclei.matching import Match, match

RADIUS = 3.0  # µm, 12 px at 40x: nuclei whose centres are farther apart are not the same
MPP = 0.25  # µm/px at 40x
_LIMITS = 1.96  # standard deviations: 95 % of normally distributed differences


@dataclass(frozen=True)
class Names:
    """What a report calls the two images.

    Attributes:
        reference: the one that loses nuclei.
        other: the one that invents them.
    """

    reference: str = "HR"
    other: str = "SR"


@dataclass(frozen=True)
class Comparison:
    """The nuclei of one image in HR and in SR.

    Attributes:
        name: of the image.
        hr, sr: the nuclei; both have the same upper left corner.
    """

    name: str
    hr: Nuclei
    sr: Nuclei

    @cached_property
    def match(self) -> Match:
        """The same nuclei (`first` is HR), lost ones (`only_first`) and invented ones (`only_second`)."""
        return match(self.hr.centres, self.sr.centres, radius=RADIUS)


def compare_images(
    name: str,
    *,
    hr: NDArray[np.int32],
    sr: NDArray[np.int32],
    hr_rgb: NDArray[np.uint8],
    sr_rgb: NDArray[np.uint8],
    mpp: float = MPP,
) -> Comparison:
    """Compare the nuclei of two images of the same frame.

    Args:
        name: of the image.
        hr, sr: label maps, [H, W] each, segmented by the same network.
        hr_rgb, sr_rgb: the images, [H, W, 3] each.
        mpp: µm per pixel.

    Raises:
        ValueError: the sizes differ.
    """
    if hr.shape != sr.shape:
        raise ValueError(f"{name}: label maps of {hr.shape} and {sr.shape} px are not of one frame")
    return Comparison(name, measure(hr, hr_rgb, mpp=mpp), measure(sr, sr_rgb, mpp=mpp))


@dataclass(frozen=True)
class Agreement:
    """How well a feature of the nuclei of SR agrees with that of HR, over all pairs; NaN without any pair.

    Attributes:
        n: number of pairs.
        mean: of HR.
        bias: mean of SR minus HR.
        low, high: 95 % limits of agreement, bias ∓ 1.96 standard deviations of the difference; NaN for one pair.
        wasserstein: distance of the distributions of HR and SR, in the unit of the feature.
    """

    n: int
    mean: float
    bias: float
    low: float
    high: float
    wasserstein: float


@dataclass(frozen=True)
class Counts:
    """Numbers of nuclei of all images.

    Attributes:
        hr, sr: in HR and in SR.
        matched: in both.
    """

    hr: int
    sr: int
    matched: int

    @property
    def lost(self) -> float:
        """Nuclei of HR without a partner in SR, for 1000 nuclei of HR; NaN where there is none."""
        return 1000 * (self.hr - self.matched) / self.hr if self.hr else float("nan")

    @property
    def invented(self) -> float:
        """Nuclei of SR without a partner in HR, for 1000 nuclei of HR; NaN where there is none."""
        return 1000 * (self.sr - self.matched) / self.hr if self.hr else float("nan")


@dataclass(frozen=True)
class Fidelity:
    """The nuclei of SR against those of HR, over all images.

    Attributes:
        counts: numbers of nuclei.
        agreement: by feature.
    """

    counts: Counts
    agreement: dict[str, Agreement]


def fidelity(images: Sequence[Comparison]) -> Fidelity:
    """Pool the nuclei of all images, and summarise how SR agrees with HR."""
    hr, sr = matched(images)
    counts = Counts(sum(len(image.hr) for image in images), sum(len(image.sr) for image in images), len(hr))
    return Fidelity(counts, {name: agreement(hr.features[name], sr.features[name]) for name in FEATURES})


def matched(images: Sequence[Comparison]) -> tuple[Nuclei, Nuclei]:
    """The pairs of all images: the nuclei of HR, and those of SR in the same order."""
    hr = joined([image.hr.chosen(image.match.first) for image in images])
    return hr, joined([image.sr.chosen(image.match.second) for image in images])


def agreement(hr: NDArray[np.float64], sr: NDArray[np.float64]) -> Agreement:
    """How well the values of pairs agree, [P] each."""
    if not len(hr):
        return Agreement(0, *[float("nan")] * 5)
    difference = sr - hr
    bias = float(difference.mean())
    half = _LIMITS * float(difference.std(ddof=1)) if len(hr) > 1 else float("nan")
    return Agreement(len(hr), float(hr.mean()), bias, bias - half, bias + half, float(wasserstein_distance(hr, sr)))
