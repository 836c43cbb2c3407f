"""Metrics of nuclei on label maps that a person can compute by hand."""

import numpy as np
import pytest

from datasets_prep.synthetic import synthesize
from mihatp_arch.nuclei.metrics import aji, aji_plus, dice, overlaps, panoptic

# Three nuclei of 8, 4 and 4 px. The prediction has 6 of the first (and 2 px beside it), the whole second in two parts
# of 3 and 1 px, and none of the third; it invents one of 2 px.
TRUE = np.array(
    [
        [1, 1, 1, 1, 0, 0, 2, 2],
        [1, 1, 1, 1, 0, 0, 2, 2],
        [0, 0, 0, 0, 0, 0, 0, 0],
        [5, 5, 5, 5, 0, 0, 0, 0],
    ]
)
PRED = np.array(
    [
        [0, 7, 7, 7, 7, 0, 3, 3],
        [0, 7, 7, 7, 7, 0, 3, 9],
        [0, 0, 0, 0, 0, 0, 0, 0],
        [0, 0, 0, 0, 0, 0, 4, 4],
    ]
)
NONE = np.zeros((4, 8), int)


def scores(true, pred):
    table = overlaps(true, pred)
    quality = panoptic(table)
    return {
        "dice": dice(true, pred),
        "aji": aji(table),
        "aji_plus": aji_plus(table),
        "dq": quality.dq,
        "sq": quality.sq,
        "pq": quality.pq,
    }


def test_a_case_by_hand():
    # Overlaps: 1-7: 6 of a union of 10; 2-3: 3 of 4; 2-9: 1 of 4. Dice: 10 px shared, 16 true, 14 predicted.
    # DQ: 2 matches of 3 true and 4 predicted nuclei. AJI: (6 + 3) / (10 + 4 + 4 lost + 1 and 2 of no use).
    expected = {
        "dice": 20 / 30,
        "aji": 9 / (10 + 4 + 4 + 1 + 2),
        "aji_plus": 9 / 21,
        "dq": 4 / 7,
        "sq": (0.6 + 0.75) / 2,
        "pq": 4 / 7 * 0.675,
    }
    assert scores(TRUE, PRED) == pytest.approx(expected)


def test_who_is_lost_and_who_is_invented():
    quality = panoptic(overlaps(TRUE, PRED))
    assert quality.pairs.tolist() == [[1, 7], [2, 3]]
    assert quality.lost.tolist() == [5] and quality.invented.tolist() == [4, 9]


def test_aji_uses_a_prediction_twice_and_aji_plus_does_not():
    true = np.array([[1, 1, 1, 2, 2, 2]])
    pred = np.array([[1, 1, 1, 1, 1, 0]])  # 3 of 5 with the first, 2 of 6 with the second
    table = overlaps(true, pred)
    assert aji(table) == pytest.approx((3 + 2) / (5 + 6))
    assert aji_plus(table) == pytest.approx(3 / (5 + 3))


def test_an_iou_of_one_half_is_no_match():
    assert panoptic(overlaps(np.array([[1, 1]]), np.array([[1, 0]]))).pq == 0
    assert panoptic(overlaps(np.array([[1, 1, 1]]), np.array([[1, 1, 0]]))).dq == 1


def test_equal_maps_are_perfect_whatever_the_numbers():
    renumbered = np.where(TRUE > 0, 700 - TRUE, 0)
    assert set(scores(TRUE, renumbered).values()) == {1.0}


def test_nothing_where_nothing_is_is_perfect():
    assert set(scores(NONE, NONE).values()) == {1.0}


@pytest.mark.parametrize(("true", "pred"), [(TRUE, NONE), (NONE, PRED)])
def test_nothing_on_one_side_is_zero(true, pred):
    assert set(scores(true, pred).values()) == {0.0}


def test_two_sizes_are_refused():
    with pytest.raises(ValueError, match="cannot be compared"):
        overlaps(TRUE, PRED[:, :-1])


@pytest.mark.parametrize("seed", range(3))
def test_the_numbers_are_those_of_cellseg_metrics(seed):
    """Shifted, lost and invented nuclei; there, AJI takes the largest intersection: here, it has the best IoU too."""
    oracle = pytest.importorskip("cellseg_metrics", reason="cellseg-metrics is not installed: pip install it")
    true = synthesize(200, 220, seed=seed)[1].astype(int)
    others = synthesize(200, 220, seed=seed + 50)[1].astype(int)
    pred = np.roll(true, (seed + 1, 2 - seed), (0, 1))
    pred[pred % 4 == 1] = 0
    pred = np.where((others > 0) & (others % 3 == 0), others + 500, pred)
    expected = {
        "dice": oracle.dice_coef(*oracle.get_stats(true > 0, pred > 0)),
        "aji": oracle.aggregated_jaccard_index(true, pred),
        **oracle.panoptic_quality(true, pred),
    }
    ours = scores(true, pred)
    assert {name: ours[name] for name in expected} == pytest.approx(expected, abs=1e-6)
    assert 0.2 < expected["pq"] < 0.8
