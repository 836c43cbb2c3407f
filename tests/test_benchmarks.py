"""The benchmarks: what they make of times, what they call a peak, and that every script reads its arguments."""

import runpy
import sys
from pathlib import Path

import pytest
import torch

FOLDER = Path(__file__).parents[1] / "benchmarks"
SCRIPTS = ["networks", "step", "branches", "blocks", "tiles", "data"]


@pytest.fixture(autouse=True)
def _scripts(monkeypatch):
    pytest.importorskip("spandrel")
    monkeypatch.syspath_prepend(str(FOLDER))


def test_calls_take_turns_and_ratios_are_of_one_round():
    from timing import alternate, ratio, share

    order = []
    calls = {name: lambda name=name: order.append(name) for name in "ab"}
    times = alternate(calls, repeats=3, device="cpu", at_least=0)
    assert [len(seconds) for seconds in times.values()] == [3, 3]
    assert "".join(order).endswith("ababab")
    assert ratio([2, 9, 4], [1, 3, 4]) == (2, 1, 3)  # the ratio of the medians would be 4 / 3
    assert share([4, 10, 8], [2, 2, 2], [1, 0, 4]) == (0.25, 0.25, 0.8)


def test_peaks_are_those_of_what_is_held_at_once():
    from memory import peak_mib, tensors_mib

    def one_after_the_other():
        for _ in range(2):
            torch.ones(64, 2**18)  # 64 MiB

    assert tensors_mib(one_after_the_other, device="cpu") == 64
    assert tensors_mib(lambda: torch.ones(64, 2**18) + torch.ones(64, 2**18), device="cpu") == 3 * 64
    peak = peak_mib(one_after_the_other, device="cpu", warm_up=lambda: None)
    assert 60 < peak < 80 or not Path("/proc/self/clear_refs").exists()


@pytest.mark.parametrize("name", SCRIPTS)
def test_a_wrong_argument_is_one_line_and_exit_code_2(name, monkeypatch, capsys, tmp_path):
    for arguments, code in ((["--help"], 0), (["--threads", "0"], 2)):
        monkeypatch.setattr(sys, "argv", [name, *arguments, "--output", str(tmp_path)])
        with pytest.raises(SystemExit) as ended:
            runpy.run_path(str(FOLDER / f"{name}.py"), run_name="__main__")
        assert ended.value.code == code
    assert capsys.readouterr().err.strip().endswith("'0' is not a whole number of at least 1")
