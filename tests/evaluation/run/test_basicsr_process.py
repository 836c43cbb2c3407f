"""A job: `basicsr` in a process of its own, its progress, its log and its failure."""

import logging
from concurrent.futures import ThreadPoolExecutor, wait

import pytest
from basicsr.utils import MessageLogger, get_root_logger
from filelock import FileLock

from mihatp_arch.errors import UserError
from mihatp_arch.evaluation.run.basicsr_process import ITERATION, Job


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


def test_it_waits_for_another_process_at_work_on_the_same(tmp_path):
    lock = tmp_path / "HAT.lock"
    job = Job("train HAT", ["train", "-opt", "absent.yml"], tmp_path, lock, tmp_path / "train.log", 1)
    with ThreadPoolExecutor(1) as pool:
        with FileLock(lock):
            waiting = pool.submit(job.run)
            assert not wait([waiting], timeout=5).done  # it fails at once when it is let in
            assert job.log.read_text() == ""
        assert "exit code 2" in str(waiting.exception(timeout=300))
