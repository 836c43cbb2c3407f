import numpy as np
import pytest
from scipy.optimize import linear_sum_assignment
from scipy.spatial.distance import cdist

from mihatp_arch.nuclei.matching import match


def test_as_many_pairs_as_possible_and_then_the_nearest_ones():
    # The nearest pair (1, 0) would leave 0 without a partner: 1 takes the farther partner.
    first, second = np.array([[0.0, 0], [2, 0], [50, 50]]), np.array([[1.5, 0], [4, 0], [90, 0]])
    found = match(first, second, radius=3)
    assert list(zip(found.first.tolist(), found.second.tolist(), strict=True)) == [(0, 0), (1, 1)]
    assert (found.only_first.tolist(), found.only_second.tolist()) == ([2], [2])


def test_groups_give_the_pairs_of_one_assignment_of_all():
    random = np.random.default_rng(0)
    first, second = random.uniform(0, 100, (300, 2)), random.uniform(0, 100, (280, 2))
    found = match(first, second, radius=3)
    distances = cdist(first, second)
    costs = np.where(distances <= 3, distances, 1e6)
    best = linear_sum_assignment(costs)
    near = costs[best] < 1e6
    assert len(found.first) == near.sum()
    assert distances[found.first, found.second].sum() == pytest.approx(costs[best][near].sum())
    assert sorted([*found.first, *found.only_first]) == list(range(300))
    assert sorted([*found.second, *found.only_second]) == list(range(280))


@pytest.mark.parametrize(("left", "right"), [(0, 0), (0, 2), (2, 0)])
def test_no_nuclei(left, right):
    found = match(np.ones((left, 2)), np.ones((right, 2)), radius=3)
    assert (len(found.first), len(found.only_first), len(found.only_second)) == (0, left, right)
