"""`basicsr` as it is typed: a real stock training, its test, its continuation, and two processes on CPUs."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import yaml
from helpers.basicsr import NAME, changed, dataset, edsr, write_data, write_options

MODULE = [sys.executable, "-m", "mihatp_arch"]


def _run(command: list[str], folder: Path, **more: str) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"OMP_NUM_THREADS": "1"} | more
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=300)


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> tuple[Path, subprocess.CompletedProcess[str]]:
    """A folder in which two iterations were trained, from two files, one forced value and another data root."""
    folder = tmp_path_factory.mktemp("run")
    write_data(folder / "elsewhere")
    write_options(folder / "base.yml", changed(edsr(), "num_gpu", to=1))
    (folder / "overlay.yml").write_text("train: {optim_g: {lr: 2e-4}}\nval: {save_img: true}\n")
    files = ["-opt", "base.yml", "overlay.yml"]
    command = [*MODULE, "train", *files, "--data", "elsewhere", "--force_yml", "train:scheduler:milestones=[1]"]
    return folder, _run(command, folder)


def test_a_stock_training_runs(trained):
    folder, run = trained
    assert run.returncode == 0, run.stderr
    assert "iter:       2, lr:(1.000e-04,)" in run.stdout + run.stderr
    if not torch.cuda.is_available():
        assert "basicsr: warning: num_gpu: 1, but torch sees no GPU here" in run.stderr
    experiment = folder / "experiments" / NAME
    names = sorted(path.relative_to(experiment).as_posix() for path in experiment.rglob("*.*") if path.suffix != ".log")
    assert [name for name in names if not name.endswith(".png")] == [
        "metrics/toy_val_2.csv",
        "models/net_g_1.pth",
        "models/net_g_2.pth",
        "models/net_g_latest.pth",
        "run.json",
        f"{NAME}.yml",
        "training_states/1.state",
        "training_states/2.state",
        "training_states/best_metric_results.json",
    ]
    assert sum(name.endswith(".png") for name in names) > 0


def test_the_resolved_options_are_recorded_and_can_be_run_again(trained):
    folder, _ = trained
    recorded = folder / "experiments" / NAME / f"{NAME}.yml"
    options = yaml.safe_load(recorded.read_text())
    assert options["train"]["optim_g"]["lr"] == 2e-4
    assert options["train"]["scheduler"]["milestones"] == [1]
    assert options["datasets"]["train"]["dataroot_gt"] == "elsewhere/train/HR.lmdb"
    assert options["logger"]["use_tb_logger"] is False
    assert "# resolved by: basicsr train -opt base.yml overlay.yml --data elsewhere" in recorded.read_text()


def test_the_records_have_the_command_that_was_typed(trained):
    folder, _ = trained
    typed = ["basicsr", "train", "-opt", "base.yml", "overlay.yml", "--data", "elsewhere"]
    (entry, *_) = json.loads((folder / "experiments" / NAME / "run.json").read_text())
    assert entry["command"] == [*typed, "--force_yml", "train:scheduler:milestones=[1]"]
    recorded = (folder / "experiments" / NAME / f"{NAME}.yml").read_text()
    assert f"# CMD:\n# {' '.join(typed)} --force_yml" in recorded and "/basicsr-" not in recorded


@pytest.mark.slow
def test_the_log_has_no_layers_but_in_debug_mode(trained, tmp_path):
    _, run = trained
    assert "Network: EDSR, with parameters: " in run.stderr and "(conv_first)" not in run.stdout + run.stderr
    write_data(tmp_path / "datasets" / "toy")
    options = changed(edsr(), "datasets", "val_2", to=dataset("train") | {"name": "second"})
    write_options(tmp_path / "o.yml", changed(options, "datasets", "train", "num_worker_per_gpu", to=1))
    run = _run([*MODULE, "train", "-opt", "o.yml", "--debug"], tmp_path)
    assert run.returncode == 0, run.stderr
    assert "(conv_first): Conv2d" in run.stderr
    assert "Validation second" in run.stderr and "only* supported by SRModel" not in run.stderr


def test_the_training_file_is_tested_with_what_it_trained(trained):
    folder, _ = trained
    run = _run([*MODULE, "test", "-opt", "base.yml", "overlay.yml", "--data", "elsewhere"], folder)
    assert run.returncode == 0, run.stderr
    output = run.stdout + run.stderr
    assert "net_g_latest.pth, with param key: [params_ema]" in output
    assert "Validation toy_val" in output
    assert "# psnr: " in output and "Best: " not in output
    images = sorted(path.name for path in (folder / "results" / NAME).rglob("*.png"))
    assert images == [f"im0_{NAME}.png", f"im1_{NAME}.png"]


def test_auto_resume_goes_on_from_the_newest_state_without_a_gpu(trained, tmp_path):
    folder = shutil.copytree(trained[0], tmp_path / "run")
    command = [*MODULE, "train", "-opt", "base.yml", "--data", "elsewhere", "--auto_resume"]
    run = _run(
        [*command, "--force_yml", "train:total_iter=3", "train:scheduler:milestones=[1]"],
        folder,
        CUDA_VISIBLE_DEVICES="",
    )
    assert run.returncode == 0, run.stderr
    assert f"--auto_resume: {folder}/experiments/{NAME}/training_states/2.state" in run.stdout
    assert "Start training from epoch: 0, iter: 2" in run.stdout + run.stderr
    assert (folder / "experiments" / NAME / "models" / "net_g_3.pth").is_file()
    assert [path.name for path in (folder / "experiments").iterdir()] == [NAME]


@pytest.mark.slow
def test_iterations_are_as_many_as_wanted_and_belong_to_one_experiment(tmp_path):
    """Six images in batches of four: an epoch is one iteration, not two, and a validation has its own number."""
    write_data(tmp_path / "datasets" / "toy")
    write_options(tmp_path / "o.yml", changed(edsr(), "datasets", "train", "batch_size_per_gpu", to=4))
    forced = ["--force_yml", "train:total_iter=5", "train:scheduler:milestones=[1]", "val:val_freq=2"]
    run = _run([*MODULE, "train", "-opt", "o.yml", *forced, "logger:save_checkpoint_freq=5"], tmp_path)
    assert run.returncode == 0, run.stderr
    first = tmp_path / "experiments" / NAME
    assert [int(found) for found in re.findall(r"iter: +(\d+), lr", run.stdout + run.stderr)] == [1, 2, 3, 4, 5]
    assert sorted(path.name for path in (first / "metrics").iterdir()) == [f"toy_val_{at}.csv" for at in (2, 4, 5)]
    more = ["name=another", "train:total_iter=7", f"path:resume_state={first}/training_states/5.state"]
    run = _run([*MODULE, "train", "-opt", "o.yml", *forced, *more], tmp_path)
    assert run.returncode == 2
    assert "resume under the name that the state was trained with, or start anew" in run.stderr
    assert not (tmp_path / "experiments" / "another").exists()


def test_a_plugin_that_cannot_be_imported_is_named(tmp_path):
    metadata = tmp_path / "site" / "sick-1.0.dist-info"
    metadata.mkdir(parents=True)
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: sick\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text("[basicsr.plugins]\nsick = sick_plugin\n")
    (tmp_path / "site" / "sick_plugin.py").write_text("import a_module_that_nobody_has\n")
    run = _run([*MODULE, "train", "-opt", "o.yml"], tmp_path, PYTHONPATH=str(tmp_path / "site"))
    assert run.returncode == 2
    assert run.stderr.splitlines()[-1].startswith(
        "basicsr: error: the plugin 'sick' (sick_plugin) cannot be imported: ModuleNotFoundError: "
    )
    assert "Traceback" not in run.stderr


@pytest.mark.slow
def test_two_processes_train_on_cpus(tmp_path):
    write_data(tmp_path / "datasets" / "toy")
    write_options(tmp_path / "o.yml", changed(edsr(), "datasets", "train", "num_worker_per_gpu", to=1))
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
    arguments = ["-m", "mihatp_arch", "train", "--launcher", "pytorch", "-opt", "o.yml"]
    run = _run([*torchrun, *arguments], tmp_path, CUDA_VISIBLE_DEVICES="")
    assert run.returncode == 0, run.stderr
    assert "World size (gpu number): 2" in run.stdout + run.stderr
    assert (tmp_path / "experiments" / NAME / "models" / "net_g_2.pth").is_file()
