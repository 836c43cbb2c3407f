"""The table, to the character."""

import csv
import math

from mihatp_arch.evaluation.scores import Scores
from mihatp_arch.evaluation.table import COLUMNS, Row, markdown, write


def scores(psnr: tuple[float, ...], ssim: tuple[float, ...]) -> Scores:
    """One patch for each test set."""
    return Scores(*({f"test{n}": {"a": one} for n, one in enumerate(values)} for values in (psnr, ssim)))


ROWS = [
    Row("bicubic", scores((28.0, 29.0), (0.75, 0.75))),
    Row("HAT", scores((30.0, 31.0), (0.875, 0.8125)), parameters=20_772_507, milliseconds=12.34),
    Row("MiHATP", scores((30.0, 30.5), (0.9, 0.9)), parameters=999, milliseconds=1234.5),
]
MARKDOWN = """\
| method | PSNR (dB) | SSIM | parameters | ms / patch |
|---|---|---|---|---|
| bicubic | 28.50 ± 0.71 | 0.7500 ± 0.0000 |  |  |
| HAT | **30.50 ± 0.71** | 0.8438 ± 0.0442 | 20 772 507 | 12.3 |
| MiHATP | 30.25 ± 0.35 | **0.9000 ± 0.0000** | 999 | 1234.5 |
"""


def test_markdown():
    assert markdown(ROWS) == MARKDOWN


def test_equal_methods_are_both_bold():
    twice = markdown([ROWS[1], ROWS[1]]).splitlines()[2:]
    assert twice == ["| HAT | **30.50 ± 0.71** | **0.8438 ± 0.0442** | 20 772 507 | 12.3 |"] * 2


def test_files(tmp_path):
    write(ROWS, tmp_path)
    assert (tmp_path / "table.md").read_text(encoding="utf-8") == MARKDOWN
    with (tmp_path / "table.csv").open(newline="", encoding="utf-8") as file:
        header, bicubic, hat, _ = csv.reader(file)
    assert header == list(COLUMNS)
    assert bicubic == ["bicubic", "28.5", str(math.sqrt(0.5)), "0.75", "0.0", "", ""]
    assert hat[0] == "HAT" and hat[5:] == ["20772507", "12.34"]
    assert float(hat[1]) == 30.5


def test_a_perfect_method_shows_as_infinite():
    line = markdown([Row("HR", scores((30.0, math.inf), (0.9, 1.0)))]).splitlines()[-1]
    assert line.startswith("| HR | **inf ± nan** |")
