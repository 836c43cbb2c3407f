"""F_d, ACC and F_c of points that a person can pair by hand."""

import numpy as np
import pytest

from mihatp_arch.nuclei.detection import Points, accuracy, centres, detection_f, pair, pooled, type_f


def points(*rows: tuple[float, float, int]) -> Points:
    table = np.array(rows, float).reshape(-1, 3)
    return Points(table[:, :2], table[:, 2].astype(np.int64))


TRUE = points((10, 10, 1), (50, 10, 2), (90, 10, 2), (10, 90, 3))
PRED = points((11, 10, 1), (50, 15, 1), (90, 21, 2), (40, 90, 3), (80, 80, 2))  # the fourth is 30 px away
NOBODY = points()


def test_a_case_by_hand():
    pairs = pair(TRUE, PRED)
    assert sorted(zip(pairs.true.tolist(), pairs.pred.tolist(), strict=True)) == [(1, 1), (2, 1), (2, 2)]
    assert pairs.lost.tolist() == [3] and sorted(pairs.invented.tolist()) == [2, 3]
    assert detection_f(pairs) == pytest.approx(2 * 3 / (2 * 3 + 1 + 2))
    assert accuracy(pairs) == pytest.approx(2 / 3)
    assert type_f(pairs, 1) == pytest.approx(2 / (2 + 2 * 1))  # one right, one wrong
    assert type_f(pairs, 2) == pytest.approx(2 / (2 + 2 * 1 + 1))  # one right, one missed, one invented
    assert type_f(pairs, 3) == 0
    assert np.isnan(type_f(pairs, 4))


def test_a_distance_of_the_radius_is_near_enough():
    assert len(pair(points((0, 0, 1)), points((12, 0, 1))).true) == 1
    assert len(pair(points((0, 0, 1)), points((12.01, 0, 1))).true) == 0


def test_gated_pairs_are_as_many_as_possible():
    true, pred = points((0, 0, 1), (11, 0, 1)), points((11, 0, 1), (11, 11, 1))
    assert len(pair(true, pred).true) == 1  # distances 0 and 15.6 have the smaller sum, but 15.6 is too far
    assert len(pair(true, pred, gated=True).true) == 2  # distances 11 and 11


def test_empty_images_invent_and_lose_what_is_there_alone():
    for true, pred, lost, invented in ((TRUE, NOBODY, 4, 0), (NOBODY, PRED, 0, 5)):
        pairs = pair(true, pred)
        assert (len(pairs.true), len(pairs.lost), len(pairs.invented)) == (0, lost, invented)
        assert detection_f(pairs) == 0 and np.isnan(accuracy(pairs))
    assert detection_f(pair(NOBODY, NOBODY)) == 1


def test_images_are_pooled_not_averaged():
    both = pooled([pair(TRUE, PRED), pair(NOBODY, NOBODY), pair(NOBODY, PRED)])
    assert detection_f(both) == pytest.approx(6 / (6 + 1 + 2 + 5))
    assert detection_f(pooled([])) == 1


def test_pairs_of_unknown_type_do_not_count_for_types():
    pairs = pair(points((0, 0, -1), (50, 0, 1)), points((0, 0, 2), (50, 0, 1)))
    assert accuracy(pairs) == 1 and detection_f(pairs) == 1 and np.isnan(type_f(pairs, 2))


def test_centres_are_x_and_y_of_each_number():
    labels = np.zeros((20, 30), np.int32)
    labels[4:7, 10:20], labels[15, 2] = 7, 3
    numbers, at = centres(labels)
    assert numbers.tolist() == [3, 7] and at.tolist() == [[2, 15], [14.5, 5]]
    assert centres(np.zeros((3, 3), np.int32))[1].shape == (0, 2)
