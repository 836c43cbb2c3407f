"""Signals of batch systems, and two starts of one name: real processes, whose trainings resume to the bit."""

import os
import platform
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from helpers.basicsr import NAME, changed, dataset, edsr, write_data, write_lmdb, write_options

from datasets_prep.common.processes.lock import lock_beside, only_process
from datasets_prep.common.processes.signals import Stopped, signals_raised
from mihatp_cli import command_line
from mihatp_cli.basicsr import main

MODULE = [sys.executable, "-m", "mihatp_arch"]


@pytest.fixture
def here(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    write_data(tmp_path / "datasets" / "toy")
    return tmp_path


def options(total: int, *, workers: int = 0) -> dict:
    long = changed(edsr(), "train", "total_iter", to=total)
    long = changed(long, "logger", "save_checkpoint_freq", to=10_000)
    return changed(long, "datasets", "train", "num_worker_per_gpu", to=workers)


def start(folder: Path, *more: str, **popen) -> subprocess.Popen:
    with (folder / "log.txt").open("a") as log:
        return subprocess.Popen(
            [*MODULE, "train", "-opt", "o.yml", *more],
            cwd=folder,
            env=os.environ | {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""},
            stdout=log,
            stderr=subprocess.STDOUT,
            **popen,
        )


def wait_for(path: Path, process: subprocess.Popen, *, pattern: str) -> None:
    """Wait until a file that matches the pattern is in the folder `path`."""
    deadline = time.monotonic() + 120
    while not any(path.glob(pattern)):
        assert process.poll() is None and time.monotonic() < deadline, (path.parents[1] / "log.txt").read_text()[-2000:]
        time.sleep(0.005)


def final(folder: Path) -> dict[str, torch.Tensor]:
    return torch.load(folder / "experiments" / NAME / "models" / "net_g_latest.pth", weights_only=True)["params"]


def train(*more: str) -> int:
    return main(["train", "-opt", "o.yml", *more])


@pytest.mark.slow
def test_a_signal_to_all_processes_of_a_training_with_workers_saves_and_resumes_to_the_bit(here):
    """As systemd, GNU timeout, PBS and LSF send it; a batch system may send another one at once."""
    write_options(here / "o.yml", options(60, workers=2))
    process = start(here, start_new_session=True)
    wait_for(here / "experiments" / NAME / "metrics", process, pattern="*_4.csv")
    for _ in range(2):
        os.killpg(process.pid, signal.SIGTERM)
    assert process.wait(timeout=60) == 143, (here / "log.txt").read_text()[-2000:]
    assert "Stopped by signal 15 after iteration" in (log := (here / "log.txt").read_text()) and "Traceback" not in log
    assert len(list((here / "experiments" / NAME / "training_states").glob("[0-9]*.state"))) == 1
    assert not lock_beside(here / "experiments" / NAME).exists()
    assert train("--auto_resume") == 0
    resumed = final(here)
    assert train("--force_yml", "datasets:train:num_worker_per_gpu=0", "val=null") == 0
    assert all(torch.equal(tensor, resumed[name]) for name, tensor in final(here).items())


@pytest.mark.slow
@pytest.mark.parametrize("prefetch", ["null", "cpu"])
def test_a_worker_that_is_killed_is_one_line_and_no_endless_wait(here, prefetch):
    """As by the kernel, for want of memory: the worker may hold the lock of the queue of all workers."""
    write_options(here / "o.yml", changed(options(100_000, workers=2), "logger", "save_checkpoint_freq", to=5))
    one_epoch = "datasets:train:dataset_enlarge_ratio=100000"  # its workers live as long as the training
    process = start(here, "--force_yml", f"datasets:train:prefetch_mode={prefetch}", "val=null", one_epoch)
    wait_for(here / "experiments" / NAME / "training_states", process, pattern="*.state")
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    assert len(children) == 2
    os.kill(int(children[0]), signal.SIGKILL)
    try:
        assert process.wait(timeout=60) == 2, (here / "log.txt").read_text()[-2000:]
    finally:
        process.kill()
    log = (here / "log.txt").read_text()
    assert "Traceback" not in log and log.splitlines()[-1].startswith("basicsr: error: DataLoader worker (pid")
    assert "go on with --auto_resume" in log


@pytest.mark.parametrize("number", [signal.SIGUSR1, pytest.param(signal.SIGHUP, marks=pytest.mark.slow)])
def test_usr1_and_hup_stop_a_validation_which_resumes_with_the_next_image(here, number):
    """The rows before the signal are taken over: they are not computed again."""
    write_lmdb(here / "datasets" / "toy" / "many" / "HR.lmdb", [(48, 48)] * 150)
    write_lmdb(here / "datasets" / "toy" / "many" / "LR_x4.lmdb", [(12, 12)] * 150)
    long = changed(options(3), "datasets", "val", to=dataset("many"))
    write_options(here / "o.yml", changed(long, "val", "save_img", to=True))
    before = signal.signal(number, signal.SIG_DFL)  # under nohup, the child would inherit that HUP is ignored
    process = start(here)
    signal.signal(number, before)
    experiment = here / "experiments" / NAME
    wait_for(experiment / "visualization", process, pattern="im1*")
    process.send_signal(number)
    assert process.wait(timeout=60) == 143  # as after SIGTERM, which a job script looks for
    assert f"Stopped by signal {number:d} after iteration 2" in (here / "log.txt").read_text()
    done = len(list((experiment / "visualization").iterdir()))
    assert 0 < done < 150 and (experiment / "training_states" / "2.state").is_file()
    [waiting] = (experiment / "metrics").iterdir()
    content = waiting.read_text()
    waiting.write_text(content.replace('"psnr": ', '"psnr": 1'))  # so that it shows which rows come from it
    assert train("--auto_resume") == 0
    assert sorted(path.name for path in (experiment / "metrics").iterdir()) == ["toy_many_2.csv", "toy_many_3.csv"]
    table = experiment / "metrics" / "toy_many_2.csv"
    values = [float(line.split(",")[1]) for line in table.read_text().splitlines()[1:]]
    assert len(values) == 150
    assert [value > 100 for value in values] == [True] * done + [False] * (150 - done)


def test_rows_of_other_weights_are_not_taken_over(here):
    write_options(here / "o.yml", changed(options(2), "logger", "save_checkpoint_freq", to=1))
    assert train() == 0
    table = here / "experiments" / NAME / "metrics" / "toy_val_2.csv"
    expected = table.read_bytes()
    table.unlink()
    rows = '{"of": "other", "done": 1, "rows": [[[0, "im0", {"psnr": 99}]]]}'
    (table.parent / ".toy_val_2.unfinished0").write_text(rows)
    assert train("--auto_resume") == 0
    assert table.read_bytes() == expected and len(list(table.parent.iterdir())) == 1


@pytest.mark.slow
def test_two_starts_of_one_name_are_refused_and_nothing_is_archived(here, capsys):
    write_options(here / "o.yml", options(100_000))
    process = start(here)
    try:
        wait_for(here / "experiments" / NAME / "metrics", process, pattern="*.csv")
        for more in ((), ("--auto_resume",)):
            assert train(*more) == 2
            line = capsys.readouterr().err.splitlines()[-1]
            assert line.startswith(
                f"basicsr: error: experiments/{NAME} is in use by process {process.pid} on {platform.node()} (since "
            )
            assert "give this run another name" in line
        visible = [path.name for path in (here / "experiments").iterdir() if not path.name.startswith(".")]
        assert visible == [NAME] and process.poll() is None
    finally:
        process.send_signal(signal.SIGINT)
    assert process.wait(timeout=60) == 130


def test_two_tests_of_one_name_are_refused(here, capsys):
    write_options(here / "o.yml", options(2))
    assert train() == 0
    with only_process(lock_beside(here / "results" / NAME), "it", remedy=""):
        assert main(["test", "-opt", "o.yml"]) == 2
        assert f"results/{NAME} is in use by process {os.getpid()}" in capsys.readouterr().err
    assert main(["test", "-opt", "o.yml"]) == 0
    assert main(["test", "-opt", "o.yml"]) == 0  # one after the other, as ever
    names = sorted(path.name for path in (here / "results").iterdir())
    assert len(names) == 2 and names[0] == NAME and names[1].startswith(f"{NAME}_archived_")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1])
def test_every_command_cleans_up_and_ends_as_after_sigterm(number, tmp_path, capsys):
    def body() -> None:
        with (tmp_path / "half").open("w"):
            try:
                os.kill(os.getpid(), number)
                time.sleep(5)
            finally:
                (tmp_path / "half").unlink()

    before = signal.signal(number, signal.SIG_DFL)  # under nohup HUP is ignored
    try:
        assert command_line.run("mihatp", body, debug=False) == 143
        assert capsys.readouterr().err == f"mihatp: stopped by {number.name}\n"
        assert list(tmp_path.iterdir()) == [] and signal.getsignal(number) == signal.SIG_DFL
    finally:
        signal.signal(number, before)


def test_an_ignored_hup_stays_ignored():
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with signals_raised():
            os.kill(os.getpid(), signal.SIGHUP)
        with pytest.raises(Stopped), signals_raised():
            os.kill(os.getpid(), signal.SIGTERM)
    finally:
        signal.signal(signal.SIGHUP, before)
