"""Two processes see what one with twice the batch sees."""

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from helpers.end_to_end import CPU, ONE_SET, basicsr, equal, files, logged, python, weights

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def data(embedded_data: Path) -> Path:
    return embedded_data


def options(data: Path, *, batch: int) -> list[str]:
    """Nothing in SwinIR is random but its start: the generators of two processes differ."""
    forced = [*ONE_SET, "datasets:train:gt_size=32", f"datasets:train:batch_size_per_gpu={batch}"]
    forced += ["train:total_iter=14", "train:scheduler:periods=[14]", "network_g:drop_path_rate=0", "val=null"]
    forced += [
        "train:grad_clip=1",
        "train:accumulate=2",
        "logger:save_checkpoint_freq=7",
        "logger:print_freq=1",
        "train:ema_decay=0.9",
    ]
    return ["-opt", *files("SwinIR", 4), "--data", str(data), "--force_yml", *forced]


def test_two_processes_are_one_with_twice_the_batch(data, tmp_path):
    """More than one epoch: 90 samples are 11 batches of 8."""
    one, two = tmp_path / "one", tmp_path / "two"
    for folder in (one, two):
        folder.mkdir()
    basicsr(one, "train", *options(data, batch=8), "train:optim_g:lr=1e-4")
    torchrun = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2", "-m", "mihatp_arch"]
    command = ["train", "--launcher", "pytorch", *options(data, batch=4), "train:optim_g:lr=1e-4"]
    log = python(two, *torchrun, *command)
    assert "World size (gpu number): 2" in log
    for name in ("net_g_7.pth", "net_g_latest.pth"):
        ours, theirs = (weights(folder / "experiments" / "SwinIR_x4" / "models" / name) for folder in (one, two))
        assert max((ours[key] - theirs[key]).abs().max().item() for key in ours) < 1e-5


def test_two_processes_validate_as_one_does(data, tmp_path):
    """Every image on one of them, the file and the means the same to the last digit; seven images, an odd number."""
    one, two = tmp_path / "one", tmp_path / "two"
    one.mkdir()
    basicsr(one, "train", *options(data, batch=8))
    shutil.copytree(one, two)
    forced = [*ONE_SET, "val:save_img=true", "val:consistency=both"]
    command = ["test", "-opt", *files("SwinIR", 4), "--data", str(data), "--force_yml", *forced]
    torchrun = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2", "-m", "mihatp_arch"]
    logs = [basicsr(one, *command), python(two, *torchrun, *command, "--launcher", "pytorch")]
    assert logged("psnr", logs[0]) == logged("psnr", logs[1]) and logged("ssim", logs[0]) == logged("ssim", logs[1])
    for name in ("SwinIR_x4", "SwinIR_x4_consistent"):
        results = [folder / "results" / name for folder in (one, two)]
        tables = [(folder / "metrics" / "test2.csv").read_text() for folder in results]
        assert tables[0] == tables[1] and tables[0].count("\n") == 8
        pictures = [sorted(path.name for path in folder.rglob("*.png")) for folder in results]
        assert pictures[0] == pictures[1] and len(pictures[0]) == 7


def test_a_stopped_group_goes_on_as_if_undisturbed(data, tmp_path):
    """SIGTERM to torchrun reaches both processes; they stop at one iteration, save, and go on with dropped paths."""
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2", "-m"]
    more = ["network_g:drop_path_rate=0.3", "train:accumulate=1"]
    command = [*torchrun, "mihatp_arch", "train", "--launcher", "pytorch", "--auto_resume"]
    command += [*options(data, batch=4), *more, "logger:save_checkpoint_freq=5"]
    for name in ("undisturbed", "stopped"):
        (tmp_path / name).mkdir()
    python(tmp_path / "undisturbed", *command[1:])
    states = tmp_path / "stopped" / "experiments" / "SwinIR_x4" / "training_states"
    with (tmp_path / "log.txt").open("w") as log:
        process = subprocess.Popen(command, cwd=tmp_path / "stopped", env=os.environ | CPU, stdout=log, stderr=log)
        deadline = time.monotonic() + 120
        while not list(states.glob("*.state")) and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.01)
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=60) != 0
    assert "Stopped by signal 15 after iteration" in (tmp_path / "log.txt").read_text()
    python(tmp_path / "stopped", *command[1:])
    nets = [tmp_path / name / "experiments/SwinIR_x4/models/net_g_latest.pth" for name in ("undisturbed", "stopped")]
    assert equal(*nets)


def children(parent: int) -> list[int]:
    """The processes that `parent` has started, by what Linux says of each."""
    statuses = [(int(path.parent.name), path.read_text()) for path in Path("/proc").glob("[0-9]*/status")]
    return sorted(process for process, status in statuses if f"\nPPid:\t{parent}\n" in status)


def test_torchrun_restarts_what_died(data, tmp_path):
    """One of two processes is killed: torchrun starts the group again, which goes on to the bits of one left alone."""
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
    more = ["network_g:drop_path_rate=0.3", "train:total_iter=40", "train:scheduler:periods=[40]"]
    command = ["-m", "mihatp_arch", "train", "--launcher", "pytorch", "--auto_resume", *options(data, batch=4), *more]
    for name in ("undisturbed", "killed"):
        (tmp_path / name).mkdir()
    python(tmp_path / "undisturbed", *torchrun[1:], *command)
    states = tmp_path / "killed" / "experiments" / "SwinIR_x4" / "training_states"
    torchrun += ["--max_restarts", "1"]
    with (tmp_path / "log.txt").open("w") as log:
        process = subprocess.Popen(
            [*torchrun, *command], cwd=tmp_path / "killed", env=os.environ | CPU, stdout=log, stderr=log
        )
        deadline = time.monotonic() + 120
        while not list(states.glob("*.state")) and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.01)
        os.kill(children(process.pid)[-1], signal.SIGKILL)
        assert process.wait(timeout=120) == 0, (tmp_path / "log.txt").read_text()[-3000:]
    assert re.search(r"--auto_resume: .*\.state", (tmp_path / "log.txt").read_text())
    nets = [tmp_path / name / "experiments/SwinIR_x4/models/net_g_latest.pth" for name in ("undisturbed", "killed")]
    assert equal(*nets)


def test_two_tasks_of_slurm_meet_and_a_stop_of_two_signals_is_saved(data, tmp_path):
    """The environment that srun gives; SIGTERM comes twice, as in a preemption, and the second is no second request."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    step = {"SLURM_STEP_NUM_TASKS": "2", "SLURM_STEP_NODELIST": "node", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    more = ["train:total_iter=4000", "train:scheduler:periods=[4000]"]
    command = [sys.executable, "-m", "mihatp_arch", "train", "--launcher", "slurm", *options(data, batch=4), *more]
    tasks = []
    with (tmp_path / "log.txt").open("w") as log:
        for rank in ("0", "1"):
            task = os.environ | CPU | step | {"SLURM_PROCID": rank, "SLURM_LOCALID": rank}
            tasks.append(subprocess.Popen(command, cwd=tmp_path, env=task, stdout=log, stderr=log))
        states = tmp_path / "experiments" / "SwinIR_x4" / "training_states"
        deadline = time.monotonic() + 120
        while not list(states.glob("*.state")) and tasks[0].poll() is None and time.monotonic() < deadline:
            time.sleep(0.01)
        for _ in range(2):
            for task in tasks:
                task.send_signal(signal.SIGTERM)
        assert [task.wait(timeout=60) for task in tasks] == [143, 143], (tmp_path / "log.txt").read_text()[-3000:]
    text = (tmp_path / "log.txt").read_text()
    stopped = re.search(r"Stopped by signal 15 after iteration (\d+)", text)
    assert "World size (gpu number): 2" in text and stopped is not None
    assert (states / f"{stopped[1]}.state").is_file()
