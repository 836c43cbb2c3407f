"""Trainings that are killed and go on: the same weights, to the bit, as one that nobody disturbed."""

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from helpers.end_to_end import CPU, ONE_SET, files

pytestmark = pytest.mark.slow

ITERATIONS = 16  # an epoch of the embedded data is 11 iterations of batch 8

# The keys of BasicSR's own train_EDSR_Mx4.yml, its sizes cut down.
EDSR_FILE = """
name: EDSR_x4
model_type: SRModel
scale: 4
num_gpu: auto
manual_seed: 10
datasets:
  train:
    name: DIV2K
    type: PairedImageDataset
    dataroot_gt: datasets/train/HR.lmdb
    dataroot_lq: datasets/train/LR_x4.lmdb
    filename_tmpl: '{}'
    io_backend: {type: lmdb}
    gt_size: 32
    use_hflip: true
    use_rot: true
    num_worker_per_gpu: 6
    batch_size_per_gpu: 16
    dataset_enlarge_ratio: 1
    prefetch_mode: ~
  val:
    name: Set5
    type: PairedImageDataset
    dataroot_gt: datasets/test2/HR.lmdb
    dataroot_lq: datasets/test2/LR_x4.lmdb
    io_backend: {type: lmdb}
network_g:
  type: EDSR
  num_in_ch: 3
  num_out_ch: 3
  num_feat: 8
  num_block: 2
  upscale: 4
  res_scale: 1
  img_range: 255.
  rgb_mean: [0.4488, 0.4371, 0.4040]
path: {pretrain_network_g: ~, strict_load_g: false, resume_state: ~}
train:
  ema_decay: 0.999
  optim_g: {type: Adam, lr: !!float 1e-4, weight_decay: 0, betas: [0.9, 0.99]}
  scheduler: {type: MultiStepLR, milestones: [8], gamma: 0.5}
  total_iter: 300000
  warmup_iter: -1
  pixel_opt: {type: L1Loss, loss_weight: 1.0, reduction: mean}
val:
  val_freq: !!float 5e3
  save_img: false
  metrics:
    psnr: {type: calculate_psnr, crop_border: 4, test_y_channel: false}
logger: {print_freq: 100, save_checkpoint_freq: !!float 5e3, use_tb_logger: true, wandb: {project: ~, resume_id: ~}}
dist_params: {backend: nccl, port: 29500}
"""


@pytest.fixture(scope="module")
def data(embedded_data: Path) -> Path:
    return embedded_data


def start(folder: Path, data: Path, method: str, *more: str, workers: int = 0) -> subprocess.Popen:
    paper = method != "EDSR"  # it has neither our sets nor our schedule, and nothing random of its own
    forced = [
        *(
            [*ONE_SET, f"train:scheduler:periods=[{ITERATIONS}]", "network_g:drop_path_rate=0.3"]
            if paper
            else ["num_gpu=0"]
        ),
        "datasets:train:gt_size=32",
        "datasets:train:batch_size_per_gpu=8",
        f"datasets:train:num_worker_per_gpu={workers}",
        f"train:total_iter={ITERATIONS}",
        "train:ema_decay=0.9",
        "train:accumulate=3",
        "val:val_freq=4",
        "logger:save_checkpoint_freq=3",
        "logger:print_freq=1",
    ]
    if not paper:
        (folder / "EDSR_x4.yml").write_text(EDSR_FILE)
    names = files(method, 4) if paper else ["EDSR_x4.yml"]
    command = [sys.executable, "-m", "mihatp_arch", "train", "-opt", *names, "--data", str(data)]
    return subprocess.Popen(
        [*command, "--force_yml", *forced, *more],
        cwd=folder,
        env=os.environ | CPU,
        stdout=(folder / "log.txt").open("a"),
        stderr=subprocess.STDOUT,
        text=True,
    )


def run(folder: Path, data: Path, method: str, *more: str, workers: int = 0) -> int:
    return start(folder, data, method, *more, workers=workers).wait(timeout=300)


def models_of(folder: Path, method: str) -> Path:
    return folder / "experiments" / f"{method}_x4" / "models"


def final(folder: Path, method: str) -> dict[str, torch.Tensor]:
    """Every tensor of the last networks, averaged ones too."""
    tensors = {}
    for file in sorted(models_of(folder, method).glob("net_*_latest.pth")):
        for key, state in torch.load(file, weights_only=True).items():
            if key.startswith("params"):  # the file also names the kernel of LR
                tensors |= {f"{file.name}:{key}:{name}": tensor for name, tensor in state.items()}
    return tensors


def assert_same(folder: Path, other: Path, method: str) -> None:
    ours, theirs = final(folder, method), final(other, method)
    assert ours.keys() == theirs.keys() and len(ours) > 20
    assert [name for name in ours if not torch.equal(ours[name], theirs[name])] == []


METHODS = ("MiHATP", "SwinIR", "EDSR")
CUTS = [
    *(("MiHATP", number, workers) for number in (signal.SIGKILL, signal.SIGTERM) for workers in (0, 2)),
    ("SwinIR", signal.SIGKILL, 2),
    ("SwinIR", signal.SIGTERM, 0),
    ("EDSR", signal.SIGKILL, 2),
    ("EDSR", signal.SIGTERM, 0),
]


@pytest.fixture(scope="module", params=METHODS)
def undisturbed(request, data, tmp_path_factory):
    folder = tmp_path_factory.mktemp("undisturbed")
    assert run(folder, data, request.param) == 0, (folder / "log.txt").read_text()[-3000:]
    return folder, request.param


def interrupt(folder: Path, data: Path, method: str, number: int, chance: random.Random, *, workers: int) -> int:
    """Start or go on, and send a signal some time after a new training state has appeared; the exit code."""
    states = models_of(folder, method).parent / "training_states"
    before = set(states.glob("*.state"))
    process = start(folder, data, method, "--auto_resume", workers=workers)
    deadline = time.monotonic() + 120
    while not set(states.glob("*.state")) - before and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.005)
    time.sleep(chance.uniform(0, 0.4 if method == "MiHATP" else 0.1))
    process.send_signal(number)
    return process.wait(timeout=60)


@pytest.mark.parametrize(("undisturbed", "number", "workers"), CUTS, indirect=["undisturbed"])
def test_a_training_that_is_cut_off_twice_ends_with_the_same_bits(undisturbed, data, tmp_path, workers, number):
    expected, method = undisturbed
    chance = random.Random(f"{workers}{number}{method}")
    codes = [interrupt(tmp_path, data, method, number, chance, workers=workers) for _ in range(2)]
    assert set(codes) <= {-9 if number == signal.SIGKILL else 143, 0} and codes[0] != 0
    assert run(tmp_path, data, method, "--auto_resume", workers=workers) == 0, (tmp_path / "log.txt").read_text()[
        -3000:
    ]
    assert_same(tmp_path, expected, method)
    log = (tmp_path / "log.txt").read_text()
    assert "--auto_resume: " in log and log.count("Stopped by signal 15") == sum(code == 143 for code in codes)


@pytest.mark.parametrize("undisturbed", ["MiHATP"], indirect=True)
def test_more_workers_give_the_same_bits(undisturbed, data, tmp_path):
    expected, method = undisturbed
    assert run(tmp_path, data, method, workers=2) == 0
    assert_same(tmp_path, expected, method)


@pytest.mark.parametrize("undisturbed", ["SwinIR"], indirect=True)
def test_a_validation_that_was_cut_off_is_finished(undisturbed, data, tmp_path):
    """Killed after the state of iteration 12 and before the end of its validation."""
    expected, method = undisturbed
    shutil.copytree(expected / "experiments", tmp_path / "experiments")
    experiment = models_of(tmp_path, method).parent
    tables = sorted(path.name for path in (experiment / "metrics").iterdir())
    states = [experiment / "training_states" / f"{iteration}.state" for iteration in (15, 16)]
    for path in (*states, *(experiment / "metrics").glob("*_1[26].csv")):
        path.unlink()
    assert run(tmp_path, data, method, "--auto_resume") == 0, (tmp_path / "log.txt").read_text()[-3000:]
    assert sorted(path.name for path in (experiment / "metrics").iterdir()) == tables and len(tables) == 4
    for name in tables:
        before = models_of(expected, method).parent / "metrics" / name
        assert (experiment / "metrics" / name).read_bytes() == before.read_bytes()
    assert_same(tmp_path, expected, method)


@pytest.mark.parametrize("undisturbed", ["MiHATP"], indirect=True)
def test_a_disk_that_fills_up_costs_nothing_that_was_saved(undisturbed, data, tmp_path):
    """The first state fits, a later one does not: one line, exit code 2, and it goes on once there is room."""
    expected, method = undisturbed
    disk = tmp_path / "disk"
    disk.mkdir()
    state, nets = (models_of(expected, method).parent / name for name in ("training_states/3.state", "models"))
    size = state.stat().st_size + sum(path.stat().st_size for path in nets.glob("net_*_3.pth"))
    room = f"size={int(1.6 * size) // 1024 + 400}k"
    if subprocess.run(["mount", "-t", "tmpfs", "-o", room, "tmpfs", disk], capture_output=True).returncode:
        pytest.skip("mounting a small tmpfs needs root")
    try:
        assert run(disk, data, method) == 2
        last = (disk / "log.txt").read_text().splitlines()[-1]
        assert last.startswith("basicsr: error: cannot save") and "No space left" in last and "--auto_resume" in last
        subprocess.run(["mount", "-o", "remount,size=100m", disk], check=True)
        assert run(disk, data, method, "--auto_resume") == 0, (disk / "log.txt").read_text()[-3000:]
        assert_same(disk, expected, method)
        assert not list(disk.rglob("*.partial"))
    finally:
        subprocess.run(["umount", disk], check=True)
