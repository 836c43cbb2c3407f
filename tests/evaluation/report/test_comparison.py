"""The table of differences, and the sentences of the report about them."""

from dataclasses import replace

import pytest

from mihatp_arch.evaluation.report.comparison import interval, other_metrics, significance, verdict
from mihatp_arch.evaluation.results.differences import Difference
from mihatp_arch.evaluation.results.patients import Patients
from mihatp_arch.evaluation.results.statistics import Baseline, MethodResult

PATIENTS = Patients({"t": {str(number): f"P{number % 8}" for number in range(80)}})
ON_VAL = Baseline("HAT", "val")


def result(method: str, psnr: float, over_baseline: Difference | None, ours_over: Difference | None) -> MethodResult:
    means = {"psnr": (psnr, 0.5), "ssim": (psnr / 40, 0.0)}
    return MethodResult(method, means, {}, {}, over_baseline, ours_over)


@pytest.fixture
def results() -> list[MethodResult]:
    worse = Difference(-2.0, (-2.5, -1.5), 0.0078, 0.0156, 0.0, 8)
    slightly = Difference(0.25, (-0.01, 0.5), 0.04, 0.04, 0.75, 8)
    clearly = Difference(2.25, (2.0, 2.5), 0.0078, 0.0156, 1.0, 8)
    return [
        result("bicubic", 28.0, worse, clearly),
        result("HAT", 30.0, None, slightly),
        result("MiHATP", 30.25, slightly, None),
    ]


def test_ours_is_compared_with_every_method_and_the_baseline_is_named(results):
    table = significance(results, ours="MiHATP", baseline=ON_VAL, patients=PATIENTS)
    assert table.title == "MiHATP minus each other method, paired by patient"
    assert table.rows == [
        ["bicubic", "+2.250", "+2.000 … +2.500", "0.0078", "0.0156", "100 %"],
        ["HAT (best baseline)", "+0.250", "-0.010 … +0.500", "0.0400", "0.0400", "75 %"],
    ]
    assert table.note.startswith("Mean over 8 patients; each counts once")
    assert table.note.endswith("HAT is the best baseline by PSNR on val, which is no test set.")


def test_several_seeds_have_a_column_and_a_place_in_the_verdict(results):
    of_seeds = replace(results[1].ours_over, by_seed=(0.75, -0.25))
    results[1] = replace(results[1], ours_over=of_seeds)
    table = significance(results, ours="MiHATP", baseline=ON_VAL, patients=PATIENTS)
    assert table.columns[-1] == "difference by seed" and [row[-1] for row in table.rows] == ["", "+0.75, -0.25"]
    assert "after Holm's correction; by seed +0.75, -0.25), a gain" in verdict(results, "MiHATP", ON_VAL)[1]


def test_other_metrics_have_a_table_of_their_own(results):
    few = Difference(0.0025, (-0.0008, 0.0033), 0.0312, 0.0624, 1.0, 6)
    results[:2] = [replace(one, other_metrics={"ssim": few, "st_lpips": few}) for one in results[:2]]
    table = other_metrics(results, ours="MiHATP", baseline=ON_VAL)
    assert table.title == "MiHATP minus each other method: other metrics, paired by patient"
    assert [row[0] for row in table.rows] == ["bicubic", "HAT"]
    assert table.rows[0][1:] == ["+0.0025", "-0.0008 … +0.0033", "0.0624"] * 2
    assert "lower is better" in table.captions["difference of ST-LPIPS"]
    assert other_metrics(results[2:], ours="MiHATP", baseline=ON_VAL).rows == []


def test_without_ours_each_method_is_compared_with_the_baseline(results):
    table = significance(results[:2], ours="MiHATP", baseline=ON_VAL, patients=PATIENTS)
    assert table.title == "Each method minus HAT, paired by patient"
    assert table.rows == [["bicubic", "-2.000", "-2.500 … -1.500", "0.0078", "0.0156", "0 %"]]


def test_the_note_says_what_the_numbers_cannot_show(results):
    unknown = replace(PATIENTS, missing="there is no 'manifest.csv'")
    note = significance(results, ours="MiHATP", baseline=Baseline("HAT", None), patients=unknown).note
    assert note.startswith("Every image counts as a patient of its own, because there is no 'manifest.csv'")
    assert "the options have no set 'val' to choose it on: the choice favours it" in note
    few = Difference(0.25, (-0.1, 0.5), 0.0312, 0.25, 1.0, 6)
    table = [result("MiHATP", 30.0, None, None), *(result(name, 29.0, None, few) for name in "abcdefgh")]
    note = significance(table, ours="MiHATP", baseline=None, patients=PATIENTS).note
    assert "With 6 patients no p is below 0.0312, and with Holm's correction for 8 methods the smallest one" in note
    five = Difference(0.25, None, None, None, 1.0, 5)
    lines = [result("MiHATP", 30.0, five, None), result("HAT", 29.0, None, five)]
    table = significance(lines, ours="MiHATP", baseline=None, patients=PATIENTS)
    assert "Fewer than 6 patients (5): no interval and no p." in table.note
    assert table.rows == [["HAT", "+0.250", "", "", "", "100 %"]]
    assert interval(None) == ""
    assert verdict(lines, "MiHATP", ON_VAL)[1].endswith("over 5 patients (no p), a gain for 100 % of them.")


def test_the_verdict_names_the_best_and_how_ours_stands(results):
    results[1] = replace(results[1], means={**results[1].means, "ssim": (0.9, 0.01)})
    assert verdict(results, "MiHATP", ON_VAL) == [
        "The highest PSNR: MiHATP (30.25 ± 0.50) and the highest SSIM: HAT (0.9000 ± 0.0100).",
        "MiHATP against HAT, the best baseline: +0.250 dB PSNR over 8 patients (95 % interval -0.010 … +0.500, "
        "p 0.0400 after Holm's correction), a gain for 75 % of them.",
    ]
    assert len(verdict(results, "absent", ON_VAL)) == 1


def test_the_verdict_has_the_corrected_p_of_the_row_in_the_table(results):
    few = Difference(0.25, (0.1, 0.5), 0.0312, 0.0938, 1.0, 6)
    results[1:] = [result("HAT", 30.0, None, few), result("MiHATP", 30.25, replace(few, p_holm=0.0624), None)]
    row = significance(results, ours="MiHATP", baseline=ON_VAL, patients=PATIENTS).rows[1]
    assert row[0] == "HAT (best baseline)" and row[4] == "0.0938"
    assert "p 0.0938 after Holm's correction)" in verdict(results, "MiHATP", ON_VAL)[1]
