"""The number that a cell of a table begins with, by which a page sorts and marks."""

import pytest

from mihatp_arch.evaluation.report.page import number


@pytest.mark.parametrize(
    ("cell", "value"),
    [
        ("27.31", 27.31),
        ("27.31 ± 0.40", 27.31),
        ("20 815 321", 20815321),
        ("20\N{NARROW NO-BREAK SPACE}815 px", 20815),
        ("1,234.5", 1234.5),
        ("\N{MINUS SIGN}0.3 dB", -0.3),
        ("+1e-4", 1e-4),
        ("12%", 12),
        ("inf", float("inf")),
        ("-inf ± nan", float("-inf")),
        ("nan", None),
        ("", None),
        ("2xSR", None),
        ("information", None),
        ("x4", None),
        ("12 000 000.5 ms", 12000000.5),
    ],
)
def test_the_number_that_a_cell_begins_with(cell, value):
    assert number(cell) == value
