"""Differences are those of patients: by hand, by SciPy, and in simulations in which the truth is known."""

import math

import numpy as np
import pytest
from scipy.stats import wilcoxon

from mihatp_arch.evaluation.results.differences import (
    FEWEST,
    Difference,
    bootstrap_interval,
    difference,
    patient_means,
    pooled_intervals,
    signed_rank_p,
    with_holm,
)
from mihatp_arch.evaluation.results.patients import Patients


def scores(psnr: dict[str, dict[str, float]]) -> dict:
    return {"psnr": psnr}


def each_its_own(psnr: dict[str, dict[str, float]]) -> Patients:
    return Patients({name: {image: f"{name}/{image}" for image in images} for name, images in psnr.items()})


def test_a_patient_counts_once_with_the_mean_of_its_patches_of_all_sets():
    first = scores({"test1": {"a": 21.0, "b": 22.0}, "test2": {"c": 26.0, "d": 30.0}})
    second = scores({"test1": {"a": 20.0, "b": 20.0}, "test2": {"c": 20.0, "d": 31.0}})
    patients = Patients({"test1": {"a": "P", "b": "P"}, "test2": {"c": "P", "d": "Q"}})
    assert patient_means(first, second, patients, "psnr").tolist() == [3.0, -1.0]
    apart = difference(first, second, patients)
    assert (apart.mean, apart.won, apart.patients) == (1.0, 0.5, 2)


def test_the_test_is_scipys_on_the_means_of_patients():
    generator = np.random.default_rng(0)
    theirs = {"test1": {str(number): 25 + generator.random() for number in range(20)}}
    ours = {"test1": {key: value + generator.normal(0.3, 0.4) for key, value in theirs["test1"].items()}}
    apart = np.array([ours["test1"][key] - theirs["test1"][key] for key in theirs["test1"]])
    there = difference(scores(ours), scores(theirs), each_its_own(ours))
    assert there.mean == pytest.approx(apart.mean())
    assert there.won == (apart > 0).mean()
    assert there.p == wilcoxon(apart).pvalue
    back = difference(scores(theirs), scores(ours), each_its_own(ours))
    assert (back.mean, back.p, back.won) == pytest.approx((-there.mean, there.p, 1 - there.won))
    assert back.interval == pytest.approx((-there.interval[1], -there.interval[0]), abs=0.02)


def test_methods_that_do_not_differ_have_no_p():
    same = scores({"test1": {str(number): 20.0 + number for number in range(8)}})
    apart = difference(same, same, each_its_own(same["psnr"]))
    assert (apart.mean, apart.won, apart.p, apart.interval) == (0, 0, None, (0, 0))


def test_images_without_a_finite_value_are_not_compared():
    ours, theirs = scores({"t": {"a": math.inf, "b": 21.0}}), scores({"t": {"a": 30.0, "b": 20.0}})
    patients = each_its_own(ours["psnr"])
    assert difference(ours, theirs, patients).mean == 1.0
    nothing = difference(scores({"t": {"a": math.inf}}), theirs, patients)
    assert math.isnan(nothing.mean) and math.isnan(nothing.won) and nothing.p is None


@pytest.mark.parametrize("count", [FEWEST - 1, FEWEST])
def test_fewer_than_six_patients_have_no_p_and_no_interval(count):
    values = {str(number): 20.0 + number**2 for number in range(count)}
    zero = dict.fromkeys(values, 0.0)
    apart = difference(scores({"t": values}), scores({"t": zero}), each_its_own({"t": values}))
    assert apart.patients == count
    if count < FEWEST:
        assert apart.p is apart.p_holm is apart.interval is None
    else:
        assert apart.p == 2 / 2**6
        assert apart.interval[0] < apart.mean < apart.interval[1]


def test_the_smallest_p_of_the_exact_test_is_that_of_one_order_in_all():
    assert signed_rank_p(np.arange(1.0, 26.0)) == pytest.approx(2 / 2**25)


def entry(p: float | None) -> Difference:
    return Difference(0.1, None, p, p, 0.5, 9)


def test_holms_correction_is_that_of_the_textbook():
    corrected = with_holm({"a": entry(0.01), "b": entry(0.04), "c": entry(0.03), "d": entry(0.005), "e": entry(None)})
    wanted = {"a": 0.03, "b": 0.06, "c": 0.06, "d": 0.02, "e": None}
    assert {name: line.p_holm for name, line in corrected.items()} == pytest.approx(wanted)
    assert corrected["b"].p == 0.04
    assert with_holm({"a": entry(0.8), "b": entry(0.7)})["b"].p_holm == 1


def without_difference(generator: np.random.Generator, patients: int, patches: int) -> tuple[dict, dict, Patients]:
    """Two methods, equal in truth: a patient's own effect is as large as the noise of a patch."""
    apart = generator.normal(size=(patients, 1)) + generator.normal(size=(patients, patches))
    ours = {f"{patient}_{patch}": float(value) for (patient, patch), value in np.ndenumerate(apart)}
    owners = {name: name.split("_")[0] for name in ours}
    return scores({"t": ours}), scores({"t": dict.fromkeys(ours, 0.0)}), Patients({"t": owners})


def test_noise_is_significant_in_one_of_twenty_simulations_and_not_in_every_second():
    """25 patients with 20 patches each. Patch by patch, the same test is wrong in more than half of the simulations."""
    generator = np.random.default_rng(0)
    by_patient = by_patch = 0
    simulations = 400
    for _ in range(simulations):
        ours, theirs, patients = without_difference(generator, 25, 20)
        by_patient += signed_rank_p(patient_means(ours, theirs, patients, "psnr")) < 0.05
        by_patch += signed_rank_p(patient_means(ours, theirs, each_its_own(ours["psnr"]), "psnr")) < 0.05
    assert 0.02 < by_patient / simulations < 0.08
    assert by_patch / simulations > 0.4


@pytest.mark.parametrize("count", [6, 25])
def test_the_interval_holds_the_truth_as_often_as_it_says(count):
    generator = np.random.default_rng(1)
    simulations = 300
    inside = 0
    for _ in range(simulations):
        low, high = bootstrap_interval(generator.normal(0.3, 1.0, count))
        inside += low <= 0.3 <= high
    assert 0.91 < inside / simulations < 0.99


def test_an_interval_is_the_same_in_every_run():
    values = np.random.default_rng(0).normal(size=12)
    assert bootstrap_interval(values) == bootstrap_interval(values) != bootstrap_interval(values, seed=1)


def test_the_interval_of_a_pooled_mean_is_that_of_equally_large_patients():
    values = np.random.default_rng(0).normal(1, 1, (8, 5))
    (mean, twice) = pooled_intervals(list(values), lambda some: np.array([1, 2]) * np.concatenate(some).mean())
    assert mean == pytest.approx(bootstrap_interval(values.mean(axis=1)))
    assert twice == pytest.approx(tuple(2 * end for end in mean))


def test_no_interval_of_few_patients_or_of_a_number_that_is_not_defined():
    def numbers(some):
        return np.array([np.mean(some), 1.0 if 0 in some else math.nan])

    assert pooled_intervals(list(range(FEWEST - 1)), numbers) == [None, None]
    mean, only_first = pooled_intervals(list(range(FEWEST)), numbers)
    assert mean is not None and only_first is None
