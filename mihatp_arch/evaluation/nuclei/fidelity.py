"""Nuclei of HR against those of SR: lost, invented, and how much their shape and stain differ.

Source of the limits of agreement: Bland and Altman, Lancet 1986. All differences are SR minus HR.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from math import nan
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from scipy.stats import wasserstein_distance

from mihatp_arch.evaluation.results.differences import Interval, pooled_intervals
from mihatp_arch.inference.nuclei.morphometry import FEATURES, Nuclei, joined, measure
from mihatp_arch.nuclei.matching import Match, match

RADIUS = 3.0  # µm, 12 px at 40x: nuclei whose centres are farther apart are not the same
MPP = 0.25  # µm/px at 40x
_LIMITS = 1.96  # standard deviations: 95 % of normally distributed differences
ESTIMATES = ("bias", "low", "high", "wasserstein")  # of `Agreement`; they have intervals
_NOT_NEGATIVE = {"lost", "invented", "wasserstein"}

S = TypeVar("S", "Counts", "Agreement")


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
        patient: empty: the image counts as a patient of its own.
    """

    name: str
    hr: Nuclei
    sr: Nuclei
    patient: str = ""

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
        intervals: `bias`, `low`, `high`, `wasserstein` -> 95 % interval for other patients; None: too few patients.
    """

    n: int
    mean: float
    bias: float
    low: float
    high: float
    wasserstein: float
    intervals: Mapping[str, Interval | None] = field(default_factory=dict)


@dataclass(frozen=True)
class Counts:
    """Numbers of nuclei of all images.

    Attributes:
        hr, sr: in HR and in SR.
        matched: in both.
        intervals: `lost`, `invented` -> 95 % interval for other patients; None: too few patients.
    """

    hr: int
    sr: int
    matched: int
    intervals: Mapping[str, Interval | None] = field(default_factory=dict)

    @property
    def lost(self) -> float:
        """Nuclei of HR without a partner in SR, for 1000 nuclei of HR; NaN where there is none."""
        return 1000 * (self.hr - self.matched) / self.hr if self.hr else nan

    @property
    def invented(self) -> float:
        """Nuclei of SR without a partner in HR, for 1000 nuclei of HR; NaN where there is none."""
        return 1000 * (self.sr - self.matched) / self.hr if self.hr else nan


@dataclass(frozen=True)
class Fidelity:
    """The nuclei of SR against those of HR, over all images.

    Attributes:
        counts: numbers of nuclei.
        agreement: by feature.
        patients: their number.
        of_type: type -> the same for the nuclei of this type; empty where nuclei are not classified.
    """

    counts: Counts
    agreement: dict[str, Agreement]
    patients: int
    of_type: Mapping[int, "Fidelity"] = field(default_factory=dict)


def fidelity(images: Sequence[Comparison]) -> Fidelity:
    """Pool the nuclei of all images, and summarise how SR agrees with HR; also for each type of nuclei.

    A pair has the type of its nucleus in HR.
    """
    kinds = {kind for image in images for side in (image.hr, image.sr) for kind in side.types.tolist() if kind > 0}
    of_type = {kind: _summary(images, kind) for kind in sorted(kinds)}
    return replace(_summary(images, None), of_type=of_type)


@dataclass(frozen=True)
class _Patient:
    """The nuclei of a patient.

    Attributes:
        lost, invented: numbers of nuclei.
        hr, sr: feature -> the values of the pairs, [P] each.
    """

    lost: int
    invented: int
    hr: Mapping[str, NDArray[np.float64]]
    sr: Mapping[str, NDArray[np.float64]]


def _summary(images: Sequence[Comparison], kind: int | None) -> Fidelity:
    """The summary of the nuclei of one type; None: of all nuclei."""
    by_patient: dict[str, list[Comparison]] = {}
    for image in images:
        by_patient.setdefault(image.patient or image.name, []).append(image)
    patients = [_patient(of_patient, kind) for of_patient in by_patient.values()]
    counts = _with_intervals(patients, _counts, ("lost", "invented"))
    agreements = {name: _with_intervals(patients, partial(_agreement, name), ESTIMATES) for name in FEATURES}
    return Fidelity(counts, agreements, len(patients))


def _patient(images: Sequence[Comparison], kind: int | None) -> _Patient:
    hr, sr = matched(images)
    if kind is not None:
        hr, sr = hr.chosen(hr.types == kind), sr.chosen(hr.types == kind)
    lost = [each for image in images for each in image.hr.types[image.match.only_first].tolist()]
    invented = [each for image in images for each in image.sr.types[image.match.only_second].tolist()]
    return _Patient(_number(lost, kind), _number(invented, kind), hr.features, sr.features)


def _number(types: list[int], kind: int | None) -> int:
    return len(types) if kind is None else types.count(kind)


def _counts(patients: Sequence[_Patient]) -> Counts:
    matched = sum(len(patient.hr["area"]) for patient in patients)
    lost, invented = (sum(getattr(patient, name) for patient in patients) for name in ("lost", "invented"))
    return Counts(matched + lost, matched + invented, matched)


def _agreement(feature: str, patients: Sequence[_Patient]) -> Agreement:
    hr, sr = (np.concatenate([getattr(patient, side)[feature] for patient in patients]) for side in ("hr", "sr"))
    return agreement(hr, sr)


def _with_intervals(
    patients: Sequence[_Patient], summary: Callable[[Sequence[_Patient]], S], names: Sequence[str]
) -> S:
    """The summary of the patients, with the intervals of the numbers of these names."""

    def numbers(drawn: Sequence[_Patient]) -> NDArray[np.float64]:
        summed = summary(drawn)
        return np.array([getattr(summed, name) for name in names])

    intervals = dict(zip(names, pooled_intervals(patients, numbers), strict=True))
    for name in _NOT_NEGATIVE & intervals.keys():
        interval = intervals[name]
        intervals[name] = None if interval is None else (max(0.0, interval[0]), interval[1])
    return replace(summary(patients), intervals=intervals)


def matched(images: Sequence[Comparison]) -> tuple[Nuclei, Nuclei]:
    """The pairs of all images: the nuclei of HR, and those of SR in the same order."""
    hr = joined([image.hr.chosen(image.match.first) for image in images])
    return hr, joined([image.sr.chosen(image.match.second) for image in images])


def agreement(hr: NDArray[np.float64], sr: NDArray[np.float64]) -> Agreement:
    """How well the values of pairs agree, [P] each."""
    if not len(hr):
        return Agreement(0, nan, nan, nan, nan, nan)
    difference = sr - hr
    bias = float(difference.mean())
    half = _LIMITS * float(difference.std(ddof=1)) if len(hr) > 1 else nan
    return Agreement(len(hr), float(hr.mean()), bias, bias - half, bias + half, float(wasserstein_distance(hr, sr)))
