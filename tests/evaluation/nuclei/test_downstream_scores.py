"""The numbers of one picture, by hand."""

import numpy as np
import pytest

from mihatp_arch.evaluation.nuclei.downstream_scores import over_images, score
from mihatp_arch.evaluation.nuclei.segmenter import Segmented


def squares(*corners, types=None):
    """Nuclei of 10×10 px in a picture of 100×100 px."""
    labels = np.zeros((100, 100), np.int32)
    kinds = None if types is None else np.zeros((100, 100), np.uint8)
    for number, (x, y) in enumerate(corners, 1):
        labels[y : y + 10, x : x + 10] = number
        if types is not None:
            kinds[y : y + 10, x : x + 10] = types[number - 1]
    return Segmented(labels, kinds)


def test_lost_and_invented_nuclei_are_counted_against_hr():
    true = squares((0, 0), (20, 0), (40, 0), (60, 0))
    on_hr = squares((0, 0), (20, 0), (40, 0))
    pred = squares((0, 0), (22, 0), (80, 80))
    values = score(true, pred, on_hr, radius=12).values
    assert (values["found"], values["annotated"], values["found_on_hr"]) == (3, 4, 3)
    assert (values["lost"], values["invented"]) == (1, 1)
    assert values["f_d"] == pytest.approx(2 * 2 / (2 * 2 + 1 + 2))
    assert values["dq"] == pytest.approx(2 / (2 + 0.5 + 1))
    assert values["sq"] == pytest.approx((1 + 80 / 120) / 2)
    assert values["dice"] == pytest.approx(2 * 180 / 700)
    assert np.isnan(values["acc"])


def test_types_are_pooled_over_the_images():
    first = score(squares((0, 0), (20, 0), types=[1, 2]), squares((0, 0), (20, 0), types=[1, 1]), squares(), radius=12)
    second = score(squares((0, 0), types=[2]), squares((0, 0), types=[2]), squares(), radius=12)
    values = over_images([first, second], [1, 2])
    assert values["acc"] == pytest.approx(2 / 3)  # not the mean of 1/2 and 1
    assert values["f_1"] == pytest.approx(2 / (2 + 2)) and values["f_2"] == pytest.approx(2 / (2 + 2))
    assert np.isnan(values["lost_per_1000"])


def test_nothing_found_where_nothing_is():
    values = score(squares(), squares(), squares(), radius=12).values
    assert [values[name] for name in ("dice", "aji", "pq", "f_d")] == [1, 1, 1, 1]
    values = score(squares((0, 0)), squares(), squares((0, 0)), radius=12).values
    assert [values[name] for name in ("dice", "aji", "pq", "f_d", "lost")] == [0, 0, 0, 0, 1]
