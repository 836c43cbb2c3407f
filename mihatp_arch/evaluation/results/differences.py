"""The difference between two methods, paired by patient: its mean, an interval, and a test.

Patches of one patient resemble each other, so they are no independent observations. Each patient counts once, with the
mean over its patches.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from math import isfinite, nan
from statistics import mean
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from mihatp_arch.evaluation.results.patients import Patients
from mihatp_arch.evaluation.results.scores import Scores

T = TypeVar("T")
Interval = tuple[float, float]

FEWEST = 6  # patients; with 5 the smallest p of a two-sided signed-rank test is 1/16
LEVEL = 0.95
_RESAMPLES = 9999
_BATCHES = 11  # of 909 resamples each, for the memory of thousands of images without patients
_SMALL = 50  # patients up to which the signed-rank test is exact


@dataclass(frozen=True)
class Difference:
    """A metric of one method minus that of another one, over patients.

    Attributes:
        mean: over the patients; nan where no image can be compared.
        interval: 95 % interval of `mean`; None with fewer than 6 patients.
        p: of Wilcoxon's signed-rank test, two-sided; None with fewer than 6 patients, or where none differs.
        p_holm: `p` after Holm's correction for all methods of its table.
        won: share of the patients for whom the first method is higher.
        patients: their number.
        by_seed: `mean` with the trainings of each seed alone; empty where the methods do not have the same seeds.
    """

    mean: float
    interval: tuple[float, float] | None
    p: float | None
    p_holm: float | None
    won: float
    patients: int
    by_seed: tuple[float, ...] = ()


def patient_means(first: Scores, second: Scores, patients: Patients, metric: str) -> NDArray[np.float64]:
    """Mean of `first` - `second` over the images of each patient, `[patients]`.

    Images on which either value is not finite are left out, and so is a patient without any other image.
    """
    by_patient: dict[str, list[float]] = {}
    for name, images in first[metric].items():
        for image, value in images.items():
            other = second[metric][name][image]
            if isfinite(value) and isfinite(other):
                by_patient.setdefault(patients.of[name][image], []).append(value - other)
    return np.array([mean(values) for _, values in sorted(by_patient.items())], np.float64)


def difference(first: Scores, second: Scores, patients: Patients, *, metric: str = "psnr") -> Difference:
    """`first` - `second`, paired by patient; `p_holm` is not corrected yet."""
    values = patient_means(first, second, patients, metric)
    if not values.size:
        return Difference(nan, None, None, None, nan, 0)
    enough = values.size >= FEWEST
    p = signed_rank_p(values) if enough else None
    interval = bootstrap_interval(values) if enough else None
    return Difference(float(values.mean()), interval, p, p, float((values > 0).mean()), values.size)


def bootstrap_interval(values: NDArray[np.float64], *, seed: int = 0) -> tuple[float, float]:
    """95 % interval of the mean of `values`, `[patients]`: bootstrap-t (Efron and Tibshirani 1993, section 12.5).

    Each resample is divided by its own standard error. In 600 simulations this interval held the true mean in 94, 94
    and 95 % of the cases with 6, 10 and 25 patients (normal distribution); the percentile interval did in 87, 90 and
    93 %, BCa in 87, 89 and 93 %.
    """
    n = values.size
    centre = float(values.mean())
    error = values.std(ddof=1) / np.sqrt(n)
    if error == 0:
        return centre, centre
    generator = np.random.default_rng(seed)
    t: list[NDArray[np.float64]] = []
    for _ in range(_BATCHES):
        drawn = values[generator.integers(0, n, (_RESAMPLES // _BATCHES, n))]
        errors = drawn.std(axis=1, ddof=1) / np.sqrt(n)
        varied = errors > 1e-9 * error  # a resample of one patient alone has no error
        t.append((drawn.mean(axis=1)[varied] - centre) / errors[varied])
    low, high = np.quantile(np.concatenate(t), [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(centre - high * error), float(centre - low * error)


def pooled_intervals(
    patients: Sequence[T], numbers: Callable[[Sequence[T]], NDArray[np.float64]]
) -> list[Interval | None]:
    """95 % intervals of numbers that are computed from all patients together, for other patients.

    Jackknife: the pseudo-value of a patient is n·θ - (n-1)·θ_i, with θ_i the number without this patient (Tukey 1958);
    the interval is that of their mean. For the bias, the limits of agreement and the Wasserstein distance of nuclei it
    held the truth in 89 to 93, 92 to 94 and 93 to 97 % of 300 simulations with 6, 10 and 25 patients.

    Args:
        patients: the data of each patient.
        numbers: the numbers of some of the patients, `[N]`.

    Returns:
        For each number its interval; None with fewer than 6 patients, or where the number is not defined.
    """
    whole = numbers(patients)
    if len(patients) < FEWEST:
        return [None] * len(whole)
    without = np.stack(
        [numbers([*patients[:left_out], *patients[left_out + 1 :]]) for left_out in range(len(patients))]
    )
    pseudo = len(patients) * whole - (len(patients) - 1) * without
    return [bootstrap_interval(values) if np.isfinite(values).all() else None for values in pseudo.T]


def signed_rank_p(values: NDArray[np.float64]) -> float | None:
    """Two-sided p of Wilcoxon's signed-rank test on `values`, exact up to 50 of them; None where all are 0."""
    from scipy.stats import wilcoxon  # SciPy's statistics take half a second to import

    differing = values[values != 0]
    if not differing.size:
        return None
    method = "exact" if differing.size <= _SMALL else "asymptotic"
    return float(np.asarray(wilcoxon(differing, method=method))[1])


def with_holm(differences: Mapping[str, Difference]) -> dict[str, Difference]:
    """The same differences with `p_holm`: Holm's step-down correction (1979) over those that have a p."""
    tested = [(entry.p, name) for name, entry in differences.items() if entry.p is not None]
    corrected: dict[str, float] = {}
    highest = 0.0
    for rank, (p, name) in enumerate(sorted(tested)):
        highest = max(highest, min(1.0, (len(tested) - rank) * p))
        corrected[name] = highest
    return {name: replace(entry, p_holm=corrected.get(name)) for name, entry in differences.items()}
