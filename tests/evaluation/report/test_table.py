"""Tables, to the character, in the three forms in which they are written."""

import csv
import math
from dataclasses import replace

import pytest

from mihatp_arch.evaluation.report.columns import mean_and_sd
from mihatp_arch.evaluation.report.numbers import write_results
from mihatp_arch.evaluation.report.result_tables import cost, p_value, quality, structure, validation
from mihatp_arch.evaluation.report.table import Table, latex, markdown, write
from mihatp_arch.evaluation.results.cost import Cost
from mihatp_arch.evaluation.results.paper_numbers import DerivedNumbers, PaperNumbers
from mihatp_arch.evaluation.results.patients import Patients
from mihatp_arch.evaluation.results.scores import over_sets
from mihatp_arch.evaluation.results.statistics import Facts, MethodResult, compare
from mihatp_arch.evaluation.results.training_time import TrainingTime


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
    facts = {
        "HAT": Facts(cost=Cost(20_772_507, 0, 1234.5, 12.34, 100.0), iterations=150_000, kernel="area"),
        "MiHATP": Facts(paper=PaperNumbers(26.5634, 0.7834), cost=Cost(999, 0, 0.5, 1234.5, 8.25)),
    }
    return compare(SCORES, "MiHATP", "HAT", patients=PATIENTS, facts=facts)


QUALITY = """\
### A title

| method | PSNR (dB) | SSIM | Δ PSNR | Δ SSIM | paper: PSNR | paper: SSIM | trained on LR by |
|---|---|---|---|---|---|---|---|
| bicubic | 28.50 ± 0.71 | 0.7500 ± 0.0000 | -5.79 % | -16.67 % |  |  |  |
| HAT | **30.50 ± 0.71** | 0.8438 ± 0.0442 | +0.83 % | -6.25 % |  |  | area |
| MiHATP | 30.25 ± 0.35 | **0.9000 ± 0.0000** | -0.82 % | +6.67 % | 26.56 | 0.7834 |  |

Two sets.

* A line.

"""


def test_quality(compared):
    text = markdown([quality([compared], title="A title", note="Two sets.", remarks=["A line."])])
    assert text.startswith(QUALITY)
    legend = text.removeprefix(QUALITY)
    assert (
        legend.startswith("Columns: PSNR (dB): peak signal-to-noise ratio") and "; trained on LR by: how LR" in legend
    )


def test_every_column_has_a_caption(compared):
    tables = [quality([compared], title=""), cost(compared, patch=192, device=""), validation([compared], name="val")]
    for table in [*tables, structure([compared])]:
        assert list(table.captions) == list(table.columns[1:]) and all(table.captions.values())


def test_numbers_that_the_paper_does_not_print_are_marked(compared, tmp_path):
    derived = replace(compared[1], facts=Facts(paper=DerivedNumbers(35.43, 0.9617)))
    table = quality([[compared[0], derived]], title="")
    assert table.rows[1][-2:] == ["35.43 (derived)", "0.9617 (derived)"]
    write_results([derived, compared[2]], tmp_path / "table1.csv")
    with (tmp_path / "table1.csv").open(newline="", encoding="utf-8") as file:
        assert [row["paper_is_derived"] for row in csv.DictReader(file)] == ["1", "0"]


def test_the_methods_with_projection_are_a_block_of_their_own(compared):
    starred = [replace(result, method=f"{result.method}*") for result in compared]
    table = quality([compared, starred], title="")
    assert [row[0] for row in table.rows] == ["bicubic", "HAT", "MiHATP", "bicubic*", "HAT*", "MiHATP*"]
    assert table.best == {(1, 1), (2, 2), (4, 1), (5, 2)}


def test_the_time_of_a_training_stands_beside_its_cost(compared):
    ours = replace(compared[2].facts, training=TrainingTime(61.2, ("CPU, 2 threads",)))
    ours = replace(ours, first_stage=TrainingTime(30.0, ("H100", "CPU, 2 threads")))
    table = cost([compared[1], replace(compared[2], facts=ours)], patch=192, device="")
    assert table.columns[-2:] == ["training (s)", "trained on"]
    assert [row[-2:] for row in table.rows] == [["", ""], ["61 + 30", "CPU, 2 threads, H100"]]


def test_the_validation_set_has_its_own_table(compared):
    table = validation([compared], name="val")
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
    facts = {"LDM": Facts(cost=costs["LDM"], bound=over_sets(scores((31.0, 33.0), (1, 1))[0]["psnr"]))}
    both = compare(found, "HAT", "LDM", patients=PATIENTS, facts=facts)
    table = quality([both], title="")
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
    assert structure([three]).best == {(1, 1)}
    assert structure([compared]).columns == ["method", "hematoxylin p99 ratio"]


def test_equal_methods_are_both_bold(compared):
    assert quality([[compared[1], compared[1]]], title="").best == {(0, 1), (0, 2), (1, 1), (1, 2)}
    assert quality([[compared[1]]], title="").best == set()  # nothing to compare with


def test_what_was_not_measured_is_blank():
    assert mean_and_sd((math.nan, math.nan), ".2f") == ""
    assert mean_and_sd((27.314, math.nan), ".2f") == "27.31"  # one test set has no spread
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
    explained = replace(table, captions={"b": "share, 1 %"})
    assert r"\caption{50 \% \& \_x\textasciicircum{}2. $\Delta$ $\pm$ 192$\times$192 b: share, 1 \%.}" in latex(
        [explained]
    )


def test_files(tmp_path, compared):
    tables = [quality([compared], title="A title", note="Two sets.", remarks=["A line."])]
    write(tables, tmp_path / "table1")
    write_results(compared, tmp_path / "table1.csv")
    assert (tmp_path / "table1.md").read_text(encoding="utf-8") == markdown(tables)
    assert (tmp_path / "table1.tex").read_text(encoding="utf-8") == latex(tables)
    with (tmp_path / "table1.csv").open(newline="", encoding="utf-8") as file:
        bicubic, hat, mihatp = csv.DictReader(file)
    assert float(hat["psnr"]) == 30.5 and float(hat["psnr_sd"]) == pytest.approx(math.sqrt(0.5))
    assert (hat["parameters"], hat["gflops"], hat["iterations"]) == ("20772507", "1234.5", "150000")
    assert bicubic["parameters"] == "" and hat["psnr_over_baseline"] == "" and mihatp["psnr_ours_over"] == ""
    assert float(mihatp["psnr_over_baseline"]) == -0.25 and mihatp["psnr_over_baseline_p"] == ""
    assert float(bicubic["psnr_ours_over"]) == 1.75 and float(bicubic["psnr_ours_over_share_of_patients"]) == 1
    assert float(mihatp["paper_psnr"]) == 26.5634
