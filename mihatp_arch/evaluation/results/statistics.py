"""From the scores of all methods to the rows of a table: means, improvements, differences, the paper's numbers."""

from collections.abc import Collection, Mapping, Sequence, Set
from dataclasses import dataclass, field, replace
from math import nan
from statistics import stdev

from mihatp_arch.evaluation.results.cost import Cost
from mihatp_arch.evaluation.results.differences import Difference, difference, patient_means, with_holm
from mihatp_arch.evaluation.results.paper_numbers import PaperNumbers
from mihatp_arch.evaluation.results.patients import Patients
from mihatp_arch.evaluation.results.scores import Scores, mean_of, over_sets
from mihatp_arch.evaluation.results.training_time import TrainingTime

MAIN_METRICS = ("psnr", "ssim")  # the metrics of the paper
OTHER_METRICS = ("ssim", "lpips", "st_lpips")  # whose differences stand beside that of PSNR, where they are measured


@dataclass(frozen=True)
class Facts:
    """All that the tables say of a method besides its scores.

    Attributes:
        paper: the paper's numbers for this method, scale and cohort.
        cost: of one patch; None without a network.
        iterations: of the training, 0 for none.
        training: its time; None without a training, or where its log is missing.
        first_stage: the time of the training of its first stage.
        bound: PSNR of its first stage's reconstruction of HR, mean and standard deviation over the test sets.
        kernel: how LR of its training data was made; None without a training, or where it is not known.
    """

    paper: PaperNumbers | None = None
    cost: Cost | None = None
    iterations: int = 0
    training: TrainingTime | None = None
    first_stage: TrainingTime | None = None
    bound: tuple[float, float] | None = None
    kernel: str | None = None


@dataclass(frozen=True)
class MethodResult:
    """All numbers of one method.

    Attributes:
        method: its name.
        means: metric -> mean and standard deviation over the test sets; the deviation of one set alone is nan.
        over_seeds: metric -> standard deviation over the seeds of the mean; empty for one seed.
        gain: metric -> change in percent: of ours against the best baseline, of others against ours (paper, Table 1).
        over_baseline: its PSNR minus that of the baseline, in dB; None for the baseline.
        ours_over: PSNR of ours minus its own, in dB; None for ours.
        other_metrics: metric -> `ours_over` of another metric; without a result of ours, `over_baseline` of it.
        facts: all that is known besides.
    """

    method: str
    means: Mapping[str, tuple[float, float]]
    over_seeds: Mapping[str, float]
    gain: Mapping[str, float]
    over_baseline: Difference | None = None
    ours_over: Difference | None = None
    other_metrics: Mapping[str, Difference] = field(default_factory=dict)
    facts: Facts = Facts()


@dataclass(frozen=True)
class Baseline:
    """The method against which ours is judged.

    Attributes:
        name: of the method.
        chosen_on: the validation set that chose it; None where the test sets themselves chose it.
    """

    name: str
    chosen_on: str | None


def best_baseline(
    scores: Mapping[str, Sequence[Scores]], validation: Mapping[str, Sequence[Scores]], ours: Set[str]
) -> Baseline | None:
    """The method with the highest PSNR that is none of `ours`; None where there is no other.

    Args:
        scores: method -> the scores of each seed on the test sets.
        validation: the same on the validation set, which then chooses; empty where there is none.
        ours: the methods that are no baselines: the proposed one and its variants.
    """
    others = [name for name in scores if name not in ours]
    if not others:
        return None
    judged = validation or scores
    name = max(others, key=lambda other: over_sets(mean_of(judged[other])["psnr"])[0])
    return Baseline(name, ", ".join(validation[name][0]["psnr"]) if validation else None)


def compare(
    scores: Mapping[str, Sequence[Scores]],
    ours: str,
    baseline: str | None,
    *,
    patients: Patients,
    facts: Mapping[str, Facts],
) -> list[MethodResult]:
    """The numbers of every method, in the order of `scores`.

    Args:
        scores: method -> the scores of each seed.
        ours: the method whose improvement is computed.
        baseline: the others are compared with this method.
        patients: of all images; differences are paired by patient.
        facts: method -> all that is known besides its scores.
    """
    pooled = {name: mean_of(seeds) for name, seeds in scores.items()}
    means = {name: {metric: mean_and_spread(sets) for metric, sets in of.items()} for name, of in pooled.items()}
    trained = {name for name in scores if facts.get(name, Facts()).iterations}
    compared = _Pairs(patients, pooled, _for_each_seed(scores, trained))
    over_baseline, ours_over = compared.over(baseline), compared.under(ours)
    others = {
        metric: compared.under(ours, metric) if ours in scores else compared.over(baseline, metric)
        for metric in OTHER_METRICS
        if all(metric in of for of in pooled.values())
    }
    results = []
    for name, seeds in scores.items():
        reference = baseline if name == ours else ours
        gain = {}
        if reference in means:
            gain = {metric: 100 * (means[name][metric][0] / means[reference][metric][0] - 1) for metric in MAIN_METRICS}
        results.append(
            MethodResult(
                name,
                means[name],
                _over_seeds(seeds),
                gain,
                over_baseline.get(name),
                ours_over.get(name),
                {metric: of[name] for metric, of in others.items() if name in of},
                facts.get(name, Facts()),
            )
        )
    return results


def mean_and_spread(sets: Mapping[str, Mapping[str, float]]) -> tuple[float, float]:
    """Mean and standard deviation over the test sets; the deviation of one set alone is nan."""
    centre, spread = over_sets(sets)
    return centre, spread if len(sets) > 1 else nan


def _over_seeds(seeds: Sequence[Scores]) -> dict[str, float]:
    if len(seeds) < 2:
        return {}
    return {metric: stdev(over_sets(scores[metric])[0] for scores in seeds) for metric in seeds[0]}


def _for_each_seed(scores: Mapping[str, Sequence[Scores]], trained: Set[str]) -> dict[str, Sequence[Scores]]:
    """The methods with scores for each seed, the same ones each time where nothing is trained; empty for one seed."""
    count = max(map(len, scores.values()))
    if count == 1:
        return {}
    all_seeds = {name: seeds if name in trained else [seeds[0]] * count for name, seeds in scores.items()}
    return {name: seeds for name, seeds in all_seeds.items() if len(seeds) == count}


@dataclass(frozen=True)
class _Pairs:
    """The scores of all methods, to be compared in pairs.

    Attributes:
        patients: of all images.
        pooled: method -> its scores, mean over the seeds.
        seeds: method -> its scores for each seed, where there are several and none failed.
    """

    patients: Patients
    pooled: Mapping[str, Scores]
    seeds: Mapping[str, Sequence[Scores]]

    def over(self, reference: str | None, metric: str = "psnr") -> dict[str, Difference]:
        """Each other method minus the reference, with Holm's p; empty without a reference."""
        return with_holm({name: self._minus(name, str(reference), metric) for name in self._besides(reference)})

    def under(self, reference: str, metric: str = "psnr") -> dict[str, Difference]:
        """The reference minus each other method, with Holm's p; empty where the reference has no scores."""
        return with_holm({name: self._minus(reference, name, metric) for name in self._besides(reference)})

    def _besides(self, reference: str | None) -> Collection[str]:
        return self.pooled.keys() - {reference} if reference in self.pooled else ()

    def _minus(self, first: str, second: str, metric: str) -> Difference:
        whole = difference(self.pooled[first], self.pooled[second], self.patients, metric=metric)
        same_seed = zip(self.seeds.get(first, ()), self.seeds.get(second, ()), strict=False)
        by_seed = tuple(float(patient_means(*pair, self.patients, metric).mean()) for pair in same_seed)
        return replace(whole, by_seed=by_seed)
