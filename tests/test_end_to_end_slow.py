"""The whole way at every size: each method and scale, the full networks, several processes. Minutes, not seconds."""

import re
from pathlib import Path

import pytest
from helpers.end_to_end import ONE_SET, basicsr, equal, files, logged, python, schedule, weights

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def data(embedded_data: Path) -> Path:
    return embedded_data


def test_the_full_mihatp_x8_trains_on_a_cpu(data, tmp_path):
    """The network of the paper and all five feature layers; only the weights of the features are random."""
    command = ["-opt", *files("MiHATP", 8, tiny=False), "--data", str(data), "--force_yml", *ONE_SET]
    small = ["train:total_iter=2", "train:contrastive_opt:features:weights=random"]
    small += ["datasets:train:batch_size_per_gpu=1", "datasets:train:num_worker_per_gpu=1", "logger:print_freq=1"]
    log = basicsr(tmp_path, "train", *command, *small)
    assert len(re.findall(r"l_cl: \d\.\d+e-0\d sim_pos", log)) == 2
    models = tmp_path / "experiments" / "MiHATP_x8" / "models"
    assert {path.name for path in models.iterdir()} == {
        f"net_{label}_{end}.pth" for label in "gc" for end in ("2", "latest")
    }
    tested = basicsr(tmp_path, "test", *command)
    assert "with param key: [params_ema]" in tested
    assert logged("psnr", tested) == logged("psnr", log)


def test_the_full_hat_x4_starts(data, tmp_path):
    command = ["-opt", *files("HAT", 4, tiny=False), "--data", str(data), "--force_yml", *ONE_SET]
    small = ["datasets:train:batch_size_per_gpu=1", "datasets:train:num_worker_per_gpu=1"]
    basicsr(tmp_path, "train", *command, *small, "train:total_iter=1", "val=null")
    assert (tmp_path / "experiments" / "HAT_x4" / "models" / "net_g_latest.pth").is_file()


def test_basicsrs_own_pipeline_runs_the_full_swinir_x2(data, tmp_path):
    """The file as it lies there, read by BasicSR's own parser from the folders that it names."""
    (tmp_path / "datasets").mkdir()
    (tmp_path / "datasets" / "COAD").symlink_to(data)
    code = "import os, mihatp_arch; from basicsr.train import train_pipeline; train_pipeline(os.getcwd())"
    forced = ["train:total_iter=1", "datasets:train:batch_size_per_gpu=1", "val=~", "logger:use_tb_logger=false"]
    python(tmp_path, "-c", code, "-opt", *files("SwinIR", 2, tiny=False), "--force_yml", *forced)
    assert (tmp_path / "experiments" / "SwinIR_x2" / "models" / "net_g_latest.pth").is_file()


def test_both_branches_train_on_two_processes(data, tmp_path):
    torchrun = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2", "-m", "mihatp_arch"]
    command = ["train", "--launcher", "pytorch", "-opt", *files("MiHATP", 4), "--data", str(data), "--force_yml"]
    log = python(tmp_path, *torchrun, *command, *ONE_SET, *schedule(2))
    assert "World size (gpu number): 2" in log
    assert "Validation test2" in log  # on rank 0, whose network must not wait for the other's
    models = tmp_path / "experiments" / "MiHATP_x4" / "models"
    assert weights(models / "net_g_2.pth").keys() == weights(models / "net_c_2.pth").keys()
    assert not equal(models / "net_g_2.pth", models / "net_c_2.pth")
