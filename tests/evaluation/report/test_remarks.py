"""Lines below the table, each only where it is true."""

from mihatp_arch.evaluation.report.remarks import other_kernels, unreachable
from mihatp_arch.evaluation.results.cost import Cost
from mihatp_arch.evaluation.results.statistics import Facts, MethodResult

COST = Cost(1, 0, 1.0, 1.0, 1.0)


def result(method: str, psnr: float, **facts) -> MethodResult:
    return MethodResult(method, {"psnr": (psnr, 0.0)}, {}, {}, facts=Facts(**facts))


def test_a_row_whose_bound_is_below_bicubic_or_the_best_regressor_is_named():
    others = [result("bicubic", 28.0), result("SRCNN", 27.0, cost=COST), result("HAT", 29.0, cost=COST)]
    low = result("LDM", 25.0, cost=COST, bound=(27.5, 0.1))
    (line,) = unreachable([*others, low])
    assert line == (
        "LDM is not expected to reach bicubic (28.00 dB) and HAT (29.00 dB), whatever its training: its first stage "
        "reconstructs HR itself with 27.50 dB."
    )
    (line,) = unreachable([*others, result("LDM", 25.0, cost=COST, bound=(28.5, 0.1))])
    assert line.startswith("LDM is not expected to reach HAT (29.00 dB), whatever")
    assert unreachable([*others, result("LDM", 25.0, cost=COST, bound=(33.0, 0.1))]) == []
    assert unreachable([low]) == []


def test_a_method_that_learnt_another_kernel_is_named():
    results = [result("bicubic", 28.0), result("HAT", 29.0, kernel="area"), result("DAT", 29.0, kernel="bicubic")]
    lines = other_kernels(results, {"test1": "area", "test2": "area"})
    assert lines[0] == "LR of the test sets is made by: area."
    assert len(lines) == 2 and lines[1].startswith("DAT was trained on LR made by bicubic")
    assert other_kernels(results[:2], {"test1": None})[0] == "LR of the test sets is made by: an unknown kernel."
