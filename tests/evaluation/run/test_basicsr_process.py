"""A job: `basicsr` in a process of its own, its progress, its log and its failure."""

import logging
import os
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor, wait

import pytest
from basicsr.utils import MessageLogger, get_root_logger
from filelock import FileLock
from helpers.basicsr import changed, edsr, write_data, write_options

from datasets_prep.common.processes.signals import Stopped, signals_raised
from mihatp_arch.errors import UserError
from mihatp_arch.evaluation.run.basicsr_process import ITERATION, Job
from mihatp_arch.evaluation.run.execute import Setup, _executor


@pytest.mark.parametrize("iteration", [1, 999, 1_000, 1_234_567])
def test_progress_is_read_from_the_lines_that_basicsr_writes(iteration, caplog, monkeypatch):
    monkeypatch.setattr(get_root_logger(), "propagate", True)
    options = {"name": "HAT_x4", "logger": {"print_freq": 100, "use_tb_logger": False}, "train": {"total_iter": 2e6}}
    report = MessageLogger(options)
    lrs, times = [1e-4], {"time": 0.1, "data_time": 0.1}
    with caplog.at_level(logging.INFO, logger="basicsr"):
        report({"epoch": 3, "iter": iteration, "lrs": lrs, **times, "l_pix": 0.1})
    found = ITERATION.search(caplog.messages[-1])
    assert found is not None
    assert int(found[1].replace(",", "")) == iteration


@pytest.mark.parametrize(
    "line", ["\tRequire iter number per epoch: 12", "\tTotal epochs: 13; iters: 150000.", "\t # psnr: 26.3 @ 5000 iter"]
)
def test_other_lines_are_no_progress(line):
    assert ITERATION.search(line) is None


def test_a_failure_names_the_log_and_quotes_its_last_line(tmp_path):
    lock, log = tmp_path / "locks" / "HAT.lock", tmp_path / "logs" / "train.log"
    job = Job("train HAT", ["train", "-opt", "absent.yml"], tmp_path, lock, log, 1, 10)
    with pytest.raises(UserError) as failure:
        job.run()
    line = "basicsr: error: there is no option file 'absent.yml'"
    assert str(failure.value) == f"train HAT failed with exit code 2 (see {job.log}): {line}"
    assert job.log.read_text().splitlines()[-1] == line


@pytest.mark.slow
def test_it_waits_for_another_process_at_work_on_the_same(tmp_path):
    lock = tmp_path / "HAT.lock"
    job = Job("train HAT", ["train", "-opt", "absent.yml"], tmp_path, lock, tmp_path / "train.log", 1)
    with ThreadPoolExecutor(1) as pool:
        with FileLock(lock):
            waiting = pool.submit(job.run)
            assert not wait([waiting], timeout=5).done  # it fails at once when it is let in
            assert job.log.read_text() == ""
        assert "exit code 2" in str(waiting.exception(timeout=300))


def test_python_files_in_the_folder_are_not_executed(tmp_path):
    for name in ("yaml", "torch", "mihatp_arch"):
        (tmp_path / f"{name}.py").write_text(
            "from pathlib import Path\nPath('executed').touch()\nraise SystemExit(9)\n"
        )
    job = Job("train HAT", ["train", "-opt", "absent.yml"], tmp_path, tmp_path / "HAT.lock", tmp_path / "train.log", 1)
    with pytest.raises(UserError, match="there is no option file"):
        job.run()
    assert not (tmp_path / "executed").exists()


@pytest.mark.slow
def test_a_signal_lets_the_trainings_save_before_it_ends_their_benchmark(tmp_path):
    """The one that runs is saved, those that wait do not start."""
    write_data(tmp_path / "datasets" / "toy")
    write_options(tmp_path / "o.yml", changed(edsr(), "train", "total_iter", to=10**6) | {"val": None})
    setup = Setup(tmp_path)

    def run(number: int) -> None:
        arguments = [
            "train",
            "-opt",
            "o.yml",
            "--force_yml",
            f"name=run{number}",
            "logger:save_checkpoint_freq=1000000",
        ]
        Job(f"run{number}", arguments, tmp_path, tmp_path / f"{number}.lock", tmp_path / f"{number}.log", 1).run()

    def stop() -> None:
        while "iter:      20" not in (tmp_path / "0.log").read_text():
            time.sleep(0.1)
        os.kill(os.getpid(), signal.SIGTERM)

    with pytest.raises(Stopped), signals_raised(), _executor(setup) as (executor, _):
        futures = [executor.submit(run, number) for number in range(2)]
        while not (tmp_path / "0.log").exists():
            time.sleep(0.1)
        threading.Thread(target=stop).start()
        wait(futures)
    assert "Stopped by signal 15 after iteration" in (tmp_path / "0.log").read_text()
    assert len(list((tmp_path / "experiments" / "run0" / "training_states").glob("*.state"))) == 1
    assert futures[1].cancelled() and not (tmp_path / "1.log").exists()


def test_two_benchmarks_in_one_folder_are_refused(tmp_path):
    with (
        Setup(tmp_path).alone(),
        pytest.raises(UserError, match=f"{tmp_path} is in use by process {os.getpid()} on .* give another -o"),
        Setup(tmp_path).alone(),
    ):
        pass
