"""Options of the training file, through the command: which networks stay, which options are refused, HAT's own file."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import yaml
from helpers.end_to_end import CPU, ONE_SET, files, schedule

from mihatp_arch.training.resumed.best_results import read_best_results
from mihatp_cli.basicsr import main

# The keys and order of HAT's own train_HAT_SRx4_finetune_from_SRx2.yml, its sizes cut down.
HAT_FILE = """
name: train_HAT_SRx4
model_type: HATModel
scale: 4
num_gpu: auto
manual_seed: 0
datasets:
  train:
    name: DF2K
    type: PairedImageDataset
    dataroot_gt: datasets/train/HR.lmdb
    dataroot_lq: datasets/train/LR_x4.lmdb
    filename_tmpl: '{}'
    io_backend: {type: lmdb}
    gt_size: 32
    use_hflip: true
    use_rot: true
    use_shuffle: true
    num_worker_per_gpu: 1
    batch_size_per_gpu: 4
    dataset_enlarge_ratio: 1
    prefetch_mode: ~
  val_1:
    name: Set5
    type: PairedImageDataset
    dataroot_gt: datasets/test2/HR.lmdb
    dataroot_lq: datasets/test2/LR_x4.lmdb
    io_backend: {type: lmdb}
network_g:
  type: HAT
  upscale: 4
  in_chans: 3
  img_size: 8
  window_size: 8
  compress_ratio: 3
  squeeze_factor: 30
  conv_scale: 0.01
  overlap_ratio: 0.5
  img_range: 1.
  depths: [2]
  embed_dim: 36
  num_heads: [6]
  mlp_ratio: 2
  upsampler: 'pixelshuffle'
  resi_connection: '1conv'
path: {pretrain_network_g: ~, strict_load_g: true, resume_state: ~}
train:
  ema_decay: 0.999
  optim_g: {type: Adam, lr: !!float 1e-4, weight_decay: 0, betas: [0.9, 0.99]}
  scheduler: {type: MultiStepLR, milestones: [125000, 200000], gamma: 0.5}
  total_iter: 3
  warmup_iter: -1
  pixel_opt: {type: L1Loss, loss_weight: 1.0, reduction: mean}
val:
  val_freq: !!float 2
  save_img: false
  pbar: False
  metrics:
    psnr: {type: calculate_psnr, crop_border: 4, test_y_channel: true}
    ssim: {type: calculate_ssim, crop_border: 4, test_y_channel: true}
logger: {print_freq: 1, save_checkpoint_freq: !!float 2, use_tb_logger: true, wandb: {project: ~, resume_id: ~}}
dist_params: {backend: nccl, port: 29500}
"""


@pytest.fixture(scope="module")
def data(embedded_data: Path) -> Path:
    return embedded_data


def basicsr(folder: Path, *arguments: str) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "mihatp_arch", *arguments]
    return subprocess.run(
        command, cwd=folder, env=os.environ | CPU, capture_output=True, text=True, timeout=300, check=False
    )


@pytest.mark.slow
def test_hats_own_file_trains_resumes_and_is_tested(data, tmp_path):
    (tmp_path / "datasets").symlink_to(data)
    (tmp_path / "train_HAT.yml").write_text(HAT_FILE)
    run = basicsr(tmp_path, "train", "-opt", "train_HAT.yml")
    assert run.returncode == 0, run.stderr[-3000:]
    longer = ["--auto_resume", "--force_yml", "train:total_iter=5"]
    resumed = basicsr(tmp_path, "train", "-opt", "train_HAT.yml", *longer)
    assert resumed.returncode == 0 and "3.state" in resumed.stdout
    tested = basicsr(tmp_path, "test", "-opt", "train_HAT.yml")
    assert tested.returncode == 0 and "# psnr:" in tested.stdout + tested.stderr


@pytest.mark.slow
def test_the_best_and_the_newest_are_kept_and_every_value_counts(data, tmp_path):
    forced = [*ONE_SET, *schedule(6), "val:val_freq=2", "val:keep_best=psnr", "logger:keep_checkpoints=2"]
    forced += ["train:deterministic=true", "train:optim_g:type=AdamW", "train:precision=bf16"]
    run = basicsr(tmp_path, "train", "-opt", *files("SwinIR", 4), "--data", str(data), "--force_yml", *forced)
    assert run.returncode == 0, run.stderr[-3000:]
    assert run.stderr.count("eta: ") + run.stdout.count("eta: ") == 6 and "eta: -1 day" not in run.stderr + run.stdout
    experiment = tmp_path / "experiments" / "SwinIR_x4"
    names = {path.name for path in (experiment / "models").iterdir()}
    assert names == {"net_g_4.pth", "net_g_6.pth", "net_g_latest.pth", "net_g_best.pth"}
    best = read_best_results(experiment / "training_states")["test2"]["psnr"]
    best_net, newest = (
        torch.load(experiment / "models" / f"net_g_{name}.pth", weights_only=True) for name in ("best", 6)
    )
    same = all(torch.equal(best_net["params"][name], tensor) for name, tensor in newest["params"].items())
    assert same is (best["iter"] == 6)
    recorded = yaml.safe_load((experiment / "SwinIR_x4.yml").read_text())
    assert recorded["train"]["optim_g"]["type"] == "AdamW"


@pytest.mark.parametrize(
    ("forced", "says"),
    [
        ("train:precision=fp16", "expected one of 'bf16', 'fp32'"),
        ("train:accumulate=0", "train.accumulate"),
        ("train:acumulate=2", "did you mean 'accumulate'"),
        ("train:optim_g:type=AdamX", "there is no optimizer 'AdamX'"),
        ("logger:keep_checkpoint=2", "did you mean 'keep_checkpoints'"),
    ],
)
def test_knobs_that_are_none_are_one_line(data, tmp_path, monkeypatch, capsys, forced, says):
    monkeypatch.chdir(tmp_path)
    command = ["train", "-opt", *files("SwinIR", 4), "--data", str(data), "--force_yml", *ONE_SET, forced]
    assert main(command) == 2
    error = capsys.readouterr().err
    assert says in error and "Traceback" not in error
    assert not (tmp_path / "experiments").exists()
