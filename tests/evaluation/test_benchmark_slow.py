"""Benchmarks that are killed, that a cluster does, that have a time, and sweeps that processes share."""

import csv
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from helpers.benchmark import FAST, OVERLAYS, write_benchmark
from helpers.dask_cluster import cluster

pytestmark = pytest.mark.slow

ENVIRONMENT = os.environ | {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
# No second measurement repeats these.
MEASURED = ("ms_per_patch", "peak_mib", "training_seconds", "first_stage_training_seconds")


def command(file: Path, data: Path, out: Path, *more: str) -> list[str]:
    code = "import sys; from mihatp_cli.mihatp import main; sys.exit(main())"
    files = [str(one) for one in (file, *OVERLAYS)]
    arguments = ["benchmark", "-opt", *files, "--data", str(data), "-o", str(out), "--force_yml", *FAST, *more]
    return [sys.executable, "-c", code, *arguments]


def done(*arguments: str) -> str:
    run = subprocess.run(arguments, env=ENVIRONMENT, capture_output=True, text=True, timeout=540, check=False)
    assert run.returncode == 0, run.stderr[-3000:]
    return run.stdout


def table(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return [{key: value for key, value in row.items() if key not in MEASURED} for row in csv.DictReader(file)]


@pytest.fixture(scope="module")
def file(tmp_path_factory) -> Path:
    methods = dict.fromkeys(("bicubic", "SRCNN", "MiHATP"))
    return write_benchmark(tmp_path_factory.mktemp("file"), methods, total_iter=30, seeds=[0, 1])


@pytest.fixture(scope="module")
def undisturbed(file, small_data, tmp_path_factory) -> list[dict[str, str]]:
    out = tmp_path_factory.mktemp("undisturbed")
    done(*command(file, small_data, out))
    return table(out / "table1.csv")


def wait_for(condition, process: subprocess.Popen) -> None:
    deadline = time.monotonic() + 120
    while not condition():
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.05)


@pytest.mark.parametrize("alone", [True, False], ids=["its process alone", "all its processes"])
def test_killed_in_the_middle_and_started_again_it_gives_the_same_table(file, small_data, undisturbed, tmp_path, alone):
    """SIGKILL in the training of MiHATP. Alone, its training is left behind, and must not write beside the next."""
    out = tmp_path / "out"
    process = subprocess.Popen(
        command(file, small_data, out), env=ENVIRONMENT, stderr=subprocess.DEVNULL, start_new_session=True
    )
    states = out / "experiments" / "MiHATP_x4_seed0" / "training_states"
    wait_for(lambda: any(states.glob("*.state")), process)
    if alone:
        process.kill()
    else:
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    assert not (out / "table1.csv").exists()
    first = (out / "experiments" / "SRCNN_x4_seed0" / "models" / "net_g_latest.pth").stat().st_mtime_ns
    done(*command(file, small_data, out))
    assert table(out / "table1.csv") == undisturbed
    assert (out / "experiments" / "SRCNN_x4_seed0" / "models" / "net_g_latest.pth").stat().st_mtime_ns == first
    log = (out / "logs" / "train_MiHATP_x4_seed0.log").read_text()
    assert "Resuming training from epoch" in log
    assert not list((out / "experiments").glob("*archived*"))


def test_a_dask_cluster_gives_the_same_table(file, small_data, undisturbed, tmp_path):
    with cluster(tmp_path) as address:
        done(*command(file, small_data, tmp_path / "out", "--scheduler", address))
    assert table(tmp_path / "out" / "table1.csv") == undisturbed


def test_a_time_becomes_iterations_and_stays_so(small_data, tmp_path):
    file = write_benchmark(tmp_path, {"SRCNN": None}, seconds=2.0)
    out = tmp_path / "out"
    done(*command(file, small_data, out))
    row, projected = table(out / "table1.csv")
    assert int(row["iterations"]) > 10
    assert not list(out.rglob("*pilot*.yml")) and not (out / "experiments" / "pilot_SRCNN_x4").exists()
    done(*command(file, small_data, out))
    assert table(out / "table1.csv") == [row, projected]


def test_processes_share_a_sweep_and_do_again_what_one_of_them_left(small_data, tmp_path):
    """Three values; the first process is killed outright in the first training, two others do them all, each once."""
    file = write_benchmark(tmp_path, {"MiHATP": None}, total_iter=6)
    out = tmp_path / "out"
    sweep = command(file, small_data, out, "--sweep", "tau=0.05,0.2,0.5")
    killed = subprocess.Popen(sweep, env=ENVIRONMENT, stderr=subprocess.DEVNULL, start_new_session=True)
    wait_for((out / "experiments" / "tau0.05_x4").exists, killed)
    os.killpg(killed.pid, signal.SIGKILL)
    killed.wait()
    both = [
        subprocess.Popen(sweep, env=ENVIRONMENT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        for _ in range(2)
    ]
    printed = [process.communicate(timeout=540)[0] for process in both]
    assert [process.returncode for process in both] == [0, 0]
    assert printed[0] == printed[1]  # each waits for what the other does
    rows = table(out / "sweep.csv")
    assert [(row["parameter"], row["value"]) for row in rows] == [("tau", value) for value in ("0.05", "0.2", "0.5")]
    assert all(min(float(row["psnr"]), float(row["val_psnr"])) > 5 and 0 < float(row["ssim"]) < 1 for row in rows)
    assert (out / "figure3.png").stat().st_size > 10_000
    other = subprocess.run(
        [*sweep, "--iterations", "7"], env=ENVIRONMENT, capture_output=True, text=True, timeout=540, check=False
    )
    assert other.returncode == 2 and "with other options: give another -o or --storage" in other.stderr


def test_a_first_stage_is_trained_once_and_stands_beside_what_works_in_it(small_data, tmp_path):
    file = write_benchmark(tmp_path, {"bicubic": None, "LDM": {"first_stage": "VQF4"}}, total_iter=3, seeds=[0, 1])
    out = tmp_path / "out"
    printed = done(*command(file, small_data, out))
    assert "| first stage: PSNR |" in printed
    bicubic, ldm, _, _ = table(out / "table1.csv")
    assert float(ldm["first_stage_psnr"]) > 3 and bicubic["first_stage_psnr"] == ""
    assert int(ldm["frozen_parameters"]) > 0
    assert {path.name for path in (out / "experiments").iterdir()} == {"VQF4_x4", "LDM_x4_seed0", "LDM_x4_seed1"}
    newest = {path: path.stat().st_mtime_ns for path in out.rglob("net_g_latest.pth")}
    done(*command(file, small_data, out))
    assert {path: path.stat().st_mtime_ns for path in out.rglob("net_g_latest.pth")} == newest


def test_the_ablation_has_a_line_for_each_experiment(small_data, tmp_path):
    file = write_benchmark(tmp_path, {"MiHATP": None}, total_iter=2)
    printed = done(*command(file, small_data, tmp_path / "out", "--ablation"))
    text = (tmp_path / "out" / "table3.md").read_text(encoding="utf-8")
    assert text in printed and text.count("\n| Exp") == 10
    assert r"\checkmark{}" in (tmp_path / "out" / "table3.tex").read_text(encoding="utf-8")
    assert len(table(tmp_path / "out" / "table3.csv")) == 10
