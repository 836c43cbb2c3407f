"""The benchmarks: what they make of times, what they call a peak, and that every script reads its arguments."""

import os
import runpy
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from datasets_prep.synthetic.slide import write_synthetic_slide

FOLDER = Path(__file__).parents[1] / "benchmarks"
SCRIPTS = ["networks", "step", "branches", "blocks", "tiles", "data", "choices", "prepare"]


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


def test_peak_of_tensors_counts_tensors_that_exist_at_once():
    from blocks import tensors_mib

    def one_after_the_other():
        for _ in range(2):
            torch.ones(64, 2**18)  # 64 MiB

    assert tensors_mib(one_after_the_other, device="cpu") == 64
    assert tensors_mib(lambda: torch.ones(64, 2**18) + torch.ones(64, 2**18), device="cpu") == 3 * 64


PEAK_OF_A_PROCESS = """
import torch
from children import peak_mib

def one_after_the_other(mib):
    for _ in range(2):
        torch.ones(mib, 2**18)

print(peak_mib(lambda: one_after_the_other(64), device="cpu", warm_up=lambda: one_after_the_other(1)))
"""


@pytest.mark.slow
def test_peak_of_a_process_counts_tensors_that_exist_at_once():
    """In a new process: a heap with holes from earlier tests would hide or double memory."""
    # glibc maps every block of this size on its own, and gives it back as soon as it is free.
    environment = os.environ | {"MALLOC_MMAP_THRESHOLD_": str(2**20)}
    command = [sys.executable, "-c", PEAK_OF_A_PROCESS]
    run = subprocess.run(command, cwd=FOLDER, env=environment, capture_output=True, text=True, check=True, timeout=240)
    assert 60 < float(run.stdout.splitlines()[-1]) < 80 or not Path("/proc/self/clear_refs").exists()


def test_tables_name_the_processor_and_what_calibration_chose(monkeypatch, capsys, tmp_path):
    from children import OWN
    from report import Report, Settings

    from mihatp_arch.archs.fast.choice_file import add_choice, default_file, machine_key, processor

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("MIHATP_FAST", "calibrated")
    for threads in (1, 2):
        add_choice(default_file(), machine_key(), f"linear {threads}x8x8, {threads} threads", "blas", ("blas",))
    report = Report("name", Settings("cpu", 2, 1, 1, True, (OWN,), tmp_path))
    report.table("Title", [{"ms": 1.5}])
    report.choices()
    lines = [line.split("  ") for line in capsys.readouterr().out.splitlines()]
    assert ["1.5", processor()] in [[cell for cell in line if cell] for line in lines]
    assert ["linear 2x8x8", "blas", processor()] in [[cell.strip() for cell in line if cell.strip()] for line in lines]
    assert not any("1x8x8" in cell for line in lines for cell in line)


def test_what_users_of_clam_write_are_the_patches_of_its_loop(tmp_path):
    import cv2
    import h5py
    from slides import clam

    slide = tmp_path / "slide.svs"
    write_synthetic_slide(slide, width=1536, height=1536, seed=0, flavour="svs", pen=False)
    patches = {(x, y): np.array(patch) for x, y, patch in clam.patches(slide)}
    assert 10 < len(patches) == clam.read_alone(slide) == clam.write_hdf5(slide, tmp_path)
    assert clam.write_pairs(slide, tmp_path) == len(patches)
    with h5py.File(tmp_path / "slide.h5") as bag:
        stored = {tuple(xy): image for xy, image in zip(bag["coords"][:].tolist(), bag["imgs"][:], strict=True)}
    assert stored.keys() == patches.keys()
    for (x, y), patch in patches.items():
        written, small = (cv2.imread(str(tmp_path / role / f"slide_{x}_{y}.png")) for role in ("HR", "LR_x8"))
        assert np.array_equal(stored[x, y], patch) and np.array_equal(written[..., ::-1], patch)
        assert small.shape == (24, 24, 3)


def test_ways_with_other_numbers_of_patches_are_compared_by_patch(tmp_path):
    from prepare import rows_of
    from report import Settings

    def way(patches):
        time.sleep(0.05)
        return patches

    ways = {"one": lambda: way(1), "four": lambda: way(4)}
    _, four = rows_of(tmp_path, "slide", "read", ways, Settings("cpu", 1, 3, 0, True, (), tmp_path))
    assert four["x CLAM's loop"] == pytest.approx(4, rel=0.3)


@pytest.mark.parametrize("name", SCRIPTS)
def test_a_wrong_argument_is_one_line_and_exit_code_2(name, monkeypatch, capsys, tmp_path):
    option = "--repeats" if name == "prepare" else "--threads"
    for arguments, code in ((["--help"], 0), ([option, "0"], 2)):
        monkeypatch.setattr(sys, "argv", [name, *arguments, "--output", str(tmp_path)])
        with pytest.raises(SystemExit) as ended:
            runpy.run_path(str(FOLDER / f"{name}.py"), run_name="__main__")
        assert ended.value.code == code
    assert capsys.readouterr().err.strip().endswith("'0' is not a whole number of at least 1")
