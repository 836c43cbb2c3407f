"""What a constructor takes is found in its signature: names, types and defaults."""

from collections.abc import Sequence
from inspect import Parameter
from typing import Literal

import pytest
from basicsr.archs.edsr_arch import EDSR

from mihatp_arch.config.checks.arguments import argument_mistake, named_parameters
from mihatp_arch.config.checks.values import value_mistake


class Strict(EDSR):
    def __init__(self, *, alpha: float = 0.01, depths: Sequence[int] = (6, 6), mode: Literal["a", "b"] = "a", **kwargs):
        super().__init__(**kwargs)


class Swallowing(EDSR):
    def __init__(self, num_in_ch, **kwargs):
        super().__init__(num_in_ch, 3)


def test_kwargs_count_only_where_they_are_handed_on():
    assert {"alpha", "depths", "mode", "num_feat", "num_in_ch"} <= named_parameters(Strict).keys()
    assert named_parameters(Swallowing).keys() == {"num_in_ch"}


@pytest.mark.parametrize(
    ("name", "value", "mistake"),
    [
        ("alpha", 1, None),
        ("alpha", "1", "expected float, got '1'"),
        ("alpha", True, "expected float, got True"),
        ("depths", [2, 2], None),
        ("depths", [2, "x"], "expected int (at [1]), got [2, 'x']"),
        ("depths", 2, "expected a list, got 2"),
        ("mode", "c", "expected one of 'a', 'b', got 'c'"),
        ("num_feat", 8.0, None),
        ("res_scale", 0.1, None),
        ("num_feat", None, "expected a number, got null"),
        ("rgb_mean", [0.5, 0.5, 0.5], None),
        ("rgb_mean", ["0.5"], "expected a list of numbers, got ['0.5']"),
    ],
)
def test_values_are_held_against_annotation_or_default(name, value, mistake):
    assert argument_mistake(value, named_parameters(Strict)[name]) == mistake


def test_sizes_may_be_pairs():
    assert argument_mistake([64, 48], Parameter("img_size", Parameter.KEYWORD_ONLY, default=64)) is None


@pytest.mark.parametrize(
    ("value", "wanted", "mistake"),
    [
        (["a"], list[float] | None, "expected float (at [0]), got ['a']"),
        ({"jpeg": 3}, dict[str, list[float] | None] | None, "expected a list or null (at ['jpeg']), got a mapping"),
        ({"jpeg": ["x"]}, dict[str, list[float] | None], "expected float (at ['jpeg'][0]), got a mapping"),
        ({"jpeg": [1, 2.5], "blur": None}, dict[str, list[float] | None] | None, None),
        (3, list[float] | None, "expected a list or null, got 3"),
    ],
)
def test_a_wrong_item_is_named_with_its_place(value, wanted, mistake):
    assert value_mistake(value, wanted) == mistake
