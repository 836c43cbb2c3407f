"""From the scores of all methods to the rows of a table: means, improvements, paired tests, the paper's numbers."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import isfinite, nan
from statistics import mean, stdev

import numpy as np

from mihatp_arch.evaluation.results.cost import Cost
from mihatp_arch.evaluation.results.paper_numbers import PaperNumbers
from mihatp_arch.evaluation.results.scores import Scores, mean_of, over_sets

MAIN_METRICS = ("psnr", "ssim")  # the metrics of the paper, which are compared between methods


@dataclass(frozen=True)
class MethodResult:
    """All numbers of one method.

    Attributes:
        method: its name.
        means: metric -> mean and standard deviation over the test sets.
        over_seeds: metric -> standard deviation over the seeds of the mean; empty for one seed.
        gain: metric -> change in percent: of ours against the best baseline, of others against ours (paper, Table 1).
        difference: mean over all images of its PSNR minus that of the baseline, in dB; None for the baseline.
        p: of Wilcoxon's signed-rank test on these differences, two-sided.
        won: share of the images on which it beats the baseline.
        paper: the paper's numbers for this method, scale and cohort.
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
    paper: PaperNumbers | None = None
    cost: Cost | None = None
    iterations: int = 0
    bound: tuple[float, float] | None = None


def best_baseline(scores: Mapping[str, Sequence[Scores]], ours: str) -> str | None:
    """The method other than `ours` with the highest PSNR; None where there is no other."""
    others = [name for name in scores if name != ours]
    return max(others, key=lambda name: over_sets(mean_of(scores[name])["psnr"])[0], default=None)


def compare(
    scores: Mapping[str, Sequence[Scores]],
    ours: str,
    baseline: str | None,
    *,
    paper: Mapping[str, PaperNumbers | None],
    costs: Mapping[str, Cost],
    iterations: Mapping[str, int],
    bounds: Mapping[str, Scores],
) -> list[MethodResult]:
    """The numbers of every method, in the order of `scores`.

    Args:
        scores: method -> the scores of each seed.
        ours: the method whose improvement is computed.
        baseline: the others are tested against this method, image by image.
        paper: method -> the paper's numbers.
        costs: method -> the cost of one patch.
        iterations: method -> the iterations of its training.
        bounds: method -> the scores of its first stage.
    """
    pooled = {name: mean_of(seeds) for name, seeds in scores.items()}
    means = {name: {metric: over_sets(sets) for metric, sets in of.items()} for name, of in pooled.items()}
    results = []
    for name, seeds in scores.items():
        reference = baseline if name == ours else ours
        gain = {}
        if reference in means:
            gain = {metric: 100 * (means[name][metric][0] / means[reference][metric][0] - 1) for metric in MAIN_METRICS}
        difference = p = won = None
        if baseline is not None and name != baseline:
            difference, p, won = paired_test(pooled[name], pooled[baseline])
        results.append(
            MethodResult(
                name,
                means[name],
                _over_seeds(seeds),
                gain,
                difference,
                p,
                won,
                paper.get(name),
                costs.get(name),
                iterations.get(name, 0),
                over_sets(bounds[name]["psnr"]) if name in bounds else None,
            )
        )
    return results


def _over_seeds(seeds: Sequence[Scores]) -> dict[str, float]:
    if len(seeds) < 2:
        return {}
    return {metric: stdev(over_sets(scores[metric])[0] for scores in seeds) for metric in seeds[0]}


def paired_test(ours: Scores, theirs: Scores, metric: str = "psnr") -> tuple[float, float, float]:
    """Wilcoxon's signed-rank test on the differences `ours` - `theirs` over the images of all test sets.

    Images on which either value is not finite are left out.

    Returns:
        Mean difference; two-sided p, nan where no image differs; share of the images on which `ours` is higher.
    """
    from scipy.stats import wilcoxon  # SciPy's statistics take half a second to import

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


def example_images(scores: Mapping[str, Sequence[Scores]]) -> list[tuple[str, str, str]]:
    """The worst, the median and the best image by PSNR, averaged over all methods: title, test set, image.

    The average chooses them, so that no method chooses its own.
    """
    pooled = [mean_of(seeds)["psnr"] for seeds in scores.values()]
    ranked = sorted(
        (mean(psnr[name][image] for psnr in pooled), name, image)
        for name, images in pooled[0].items()
        for image in images
        if all(isfinite(psnr[name][image]) for psnr in pooled)
    )
    chosen = {"worst": ranked[:1], "median": ranked[len(ranked) // 2 :][:1], "best": ranked[-1:]}
    return [(title, name, image) for title, images in chosen.items() for _, name, image in images]
