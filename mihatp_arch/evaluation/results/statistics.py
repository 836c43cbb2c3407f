"""From the scores of all methods to the lines of a table: means, improvements, paired tests, the paper's numbers."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import isfinite, nan
from statistics import mean, stdev

import numpy as np
from scipy.stats import wilcoxon

from mihatp_arch.evaluation.results.cost import Cost
from mihatp_arch.evaluation.results.paper_numbers import Published
from mihatp_arch.evaluation.results.scores import Scores, mean_of, over_sets


@dataclass(frozen=True)
class Line:
    """One method.

    Attributes:
        method: its name.
        means: metric -> mean and standard deviation over the test sets.
        over_seeds: metric -> standard deviation over the seeds of the mean; empty for one seed.
        gain: metric -> change in percent: of ours against the best baseline, of others against ours (paper, Table 1).
        difference: mean over all images of PSNR less that of the baseline, in dB; None for the baseline.
        p: of Wilcoxon's signed-rank test on these differences, two-sided.
        won: share of the images on which it beats the baseline.
        published: the paper's numbers for this method, scale and cohort.
        cost: of one patch; None without a network.
        iterations: of the training, 0 for none.
        bound: PSNR of its first stage's reconstruction of HR, mean and standard deviation over the test sets.
    """

    method: str
    means: Mapping[str, tuple[float, float]]
    over_seeds: Mapping[str, float]
    gain: Mapping[str, float]
    difference: float | None = None
    p: float | None = None
    won: float | None = None
    published: Published | None = None
    cost: Cost | None = None
    iterations: int = 0
    bound: tuple[float, float] | None = None


def best_baseline(scores: Mapping[str, Sequence[Scores]], ours: str) -> str | None:
    """The method other than `ours` with the highest PSNR; None where there is no other."""
    others = [name for name in scores if name != ours]
    return max(others, key=lambda name: over_sets(mean_of(scores[name])["psnr"])[0], default=None)


def lines(
    scores: Mapping[str, Sequence[Scores]],
    ours: str,
    baseline: str | None,
    *,
    published: Mapping[str, Published | None],
    costs: Mapping[str, Cost],
    iterations: Mapping[str, int],
    bounds: Mapping[str, Scores],
) -> list[Line]:
    """A line for each method.

    Args:
        scores: method -> the scores of each seed.
        ours: whose improvement is asked for.
        baseline: what the others are tested against, image by image.
        published: method -> the paper's numbers.
        costs: method -> what a patch costs.
        iterations: method -> how long it was trained.
        bounds: method -> the scores of its first stage.
    """
    pooled = {name: mean_of(seeds) for name, seeds in scores.items()}
    means = {name: {metric: over_sets(sets) for metric, sets in one.items()} for name, one in pooled.items()}
    found = []
    for name, seeds in scores.items():
        reference = baseline if name == ours else ours
        gain = {}
        if reference in means:
            gain = {metric: 100 * (means[name][metric][0] / means[reference][metric][0] - 1) for metric in QUALITY}
        difference = p = won = None
        if baseline is not None and name != baseline:
            difference, p, won = paired(pooled[name], pooled[baseline])
        found.append(
            Line(
                name,
                means[name],
                _over_seeds(seeds),
                gain,
                difference,
                p,
                won,
                published.get(name),
                costs.get(name),
                iterations.get(name, 0),
                over_sets(bounds[name]["psnr"]) if name in bounds else None,
            )
        )
    return found


QUALITY = ("psnr", "ssim")


def _over_seeds(seeds: Sequence[Scores]) -> dict[str, float]:
    if len(seeds) < 2:
        return {}
    return {metric: stdev(over_sets(one[metric])[0] for one in seeds) for metric in seeds[0]}


def paired(ours: Scores, theirs: Scores, metric: str = "psnr") -> tuple[float, float, float]:
    """Mean difference over the images of all test sets, p of Wilcoxon's test on them, and the share that is better.

    Images on which either is not finite are left out. p is nan where no image differs.
    """
    differences = np.array(
        [
            value - theirs[metric][name][image]
            for name, images in ours[metric].items()
            for image, value in images.items()
            if isfinite(value) and isfinite(theirs[metric][name][image])
        ]
    )
    if not differences.size:
        return nan, nan, nan
    p = float(np.asarray(wilcoxon(differences))[1]) if np.any(differences) else nan
    return float(differences.mean()), p, float((differences > 0).mean())


def places(scores: Mapping[str, Sequence[Scores]]) -> list[tuple[str, str, str]]:
    """The worst, the median and the best image of all by PSNR, averaged over all methods: title, test set, image.

    Chosen by the average, so that no method chooses its own.
    """
    pooled = [mean_of(seeds)["psnr"] for seeds in scores.values()]
    ranked = sorted(
        (mean(one[name][image] for one in pooled), name, image)
        for name, images in pooled[0].items()
        for image in images
        if all(isfinite(one[name][image]) for one in pooled)
    )
    chosen = {"worst": ranked[:1], "median": ranked[len(ranked) // 2 :][:1], "best": ranked[-1:]}
    return [(title, *one[1:]) for title, found in chosen.items() for one in found]
