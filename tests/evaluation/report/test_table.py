"""Tables, to the character, in the three forms in which they are written."""

import csv
import math

import pytest

from mihatp_arch.evaluation.report.result_tables import (
    cost,
    mean_and_sd,
    p_value,
    quality,
    structure,
    validation,
    write_results,
)
from mihatp_arch.evaluation.report.table import Table, latex, markdown, write
from mihatp_arch.evaluation.results.cost import Cost
from mihatp_arch.evaluation.results.paper_numbers import PaperNumbers
from mihatp_arch.evaluation.results.patients import Patients
from mihatp_arch.evaluation.results.statistics import MethodResult, compare


def scores(psnr: tuple[float, ...], ssim: tuple[float, ...]) -> list[dict]:
    """One patch for each test set; stain and structure beside it."""
    found = {
        metric: {f"test{n}": {"a": one} for n, one in enumerate(values)}
        for metric, values in (("psnr", psnr), ("ssim", ssim), ("hematoxylin_ratio", (0.9, 1.2)))
    }
    return [found]


SCORES = {
    "bicubic": scores((28.0, 29.0), (0.75, 0.75)),
    "HAT": scores((30.0, 31.0), (0.875, 0.8125)),
    "MiHATP": scores((30.0, 30.5), (0.9, 0.9)),
}


PATIENTS = Patients({"test0": {"a": "P"}, "test1": {"a": "Q"}})


@pytest.fixture
def compared() -> list[MethodResult]:
    return compare(
        SCORES,
        "MiHATP",
        "HAT",
        patients=PATIENTS,
        paper={"MiHATP": PaperNumbers(26.5634, 0.7834)},
        costs={"HAT": Cost(20_772_507, 0, 1234.5, 12.34, 100.0), "MiHATP": Cost(999, 0, 0.5, 1234.5, 8.25)},
        iterations={"HAT": 150_000},
        bounds={},
    )


QUALITY = """\
### A title

| method | PSNR (dB) | SSIM | Δ PSNR | Δ SSIM | paper: PSNR | paper: SSIM |
|---|---|---|---|---|---|---|
| bicubic | 28.50 ± 0.71 | 0.7500 ± 0.0000 | -5.79 % | -16.67 % |  |  |
| HAT | **30.50 ± 0.71** | 0.8438 ± 0.0442 | +0.83 % | -6.25 % |  |  |
| MiHATP | 30.25 ± 0.35 | **0.9000 ± 0.0000** | -0.82 % | +6.67 % | 26.56 | 0.7834 |

Two sets.
"""


def test_quality(compared):
    assert markdown([quality(compared, title="A title", note="Two sets.")]) == QUALITY


def test_the_validation_set_has_its_own_table(compared):
    table = validation(compared, name="val")
    assert table.title == "Validation set val" and table.rows[1] == ["HAT", "30.50", "0.8438"]
    assert "no number of it is a result" in table.note


def test_cost_leaves_what_has_no_network_out(compared):
    table = cost(compared, patch=192, device="a CPU, 2 threads")
    assert table.rows == [
        ["HAT", "20 772 507", "1.23e+03", "12.3", "100.0", "150 000"],
        ["MiHATP", "999", "0.5", "1234.5", "8.2", "0"],
    ]
    assert table.note.startswith("One 192×192 patch on a CPU, 2 threads, all methods in one run; ")
    assert "first stage" not in table.note


def test_a_first_stage_stands_beside_the_method_that_works_in_it(tmp_path):
    found = {"LDM": SCORES["bicubic"], "HAT": SCORES["HAT"]}
    costs = {"LDM": Cost(1000, 55_322_782, 1.0, 2.0, 3.0)}
    bounds = {"LDM": scores((31.0, 33.0), (1, 1))[0]}
    both = compare(found, "HAT", "LDM", patients=PATIENTS, paper={}, costs=costs, iterations={}, bounds=bounds)
    table = quality(both, title="")
    assert table.columns[-1] == "first stage: PSNR"
    assert [row[-1] for row in table.rows] == ["32.00 ± 1.41", ""]
    paid = cost(both, patch=192, device="a CPU")
    assert paid.rows[0][1] == "1 000 + 55 322 782" and paid.note.endswith("those of a first stage.")
    write_results(both, tmp_path / "table1.csv")
    with (tmp_path / "table1.csv").open(newline="", encoding="utf-8") as file:
        ldm, hat = csv.DictReader(file)
    assert (ldm["first_stage_psnr"], ldm["parameters"], ldm["frozen_parameters"]) == ("32.0", "1000", "55322782")
    assert (hat["first_stage_psnr"], ldm["peak_mib"], ldm["iterations"]) == ("", "3.0", "0")


def test_the_ratio_that_is_nearest_to_one_is_best(compared):
    values = {"a": 0.9, "b": 1.05, "c": 1.2}
    three = [MethodResult(name, {"hematoxylin_ratio": (value, 0.0)}, {}, {}) for name, value in values.items()]
    assert structure(three).best == {(1, 1)}
    assert structure(compared).columns == ["method", "hematoxylin p99 ratio"]


def test_equal_methods_are_both_bold(compared):
    assert quality([compared[1], compared[1]], title="").best == {(0, 1), (0, 2), (1, 1), (1, 2)}
    assert quality([compared[1]], title="").best == set()  # nothing to compare with


def test_what_was_not_measured_is_blank():
    assert mean_and_sd((math.nan, math.nan), ".2f") == ""
    assert p_value(None) == p_value(math.nan) == ""
    assert p_value(3e-9) == "< 0.0001"
    assert p_value(0.04) == "0.0400"


LATEX = r"""\begin{table}
\caption{50 \% \& \_x\textasciicircum{}2. $\Delta$ $\pm$ 192$\times$192}
\begin{tabular}{lr}
\toprule
a & b \\
\midrule
x & \textbf{$<$ 1} \\
\bottomrule
\end{tabular}
\end{table}
"""


def test_latex_escapes_what_latex_reads():
    table = Table("50 % & _x^2", ["a", "b"], [["x", "< 1"]], {(0, 1)}, "Δ ± 192×192")
    assert latex([table]) == LATEX


def test_files(tmp_path, compared):
    tables = [quality(compared, title="A title", note="Two sets.")]
    write(tables, tmp_path / "table1")
    write_results(compared, tmp_path / "table1.csv")
    assert (tmp_path / "table1.md").read_text(encoding="utf-8") == QUALITY
    assert (tmp_path / "table1.tex").read_text(encoding="utf-8") == latex(tables)
    with (tmp_path / "table1.csv").open(newline="", encoding="utf-8") as file:
        bicubic, hat, mihatp = csv.DictReader(file)
    assert float(hat["psnr"]) == 30.5 and float(hat["psnr_sd"]) == pytest.approx(math.sqrt(0.5))
    assert (hat["parameters"], hat["gflops"], hat["iterations"]) == ("20772507", "1234.5", "150000")
    assert bicubic["parameters"] == "" and hat["psnr_over_baseline"] == "" and mihatp["psnr_ours_over"] == ""
    assert float(mihatp["psnr_over_baseline"]) == -0.25 and mihatp["psnr_over_baseline_p"] == ""
    assert float(bicubic["psnr_ours_over"]) == 1.75 and float(bicubic["psnr_ours_over_share_of_patients"]) == 1
    assert float(mihatp["paper_psnr"]) == 26.5634
