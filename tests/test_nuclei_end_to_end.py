"""Synthetic nuclei: prepared, trained on by `basicsr`, resumed and tested, with the option files of HoVer-Net."""

from pathlib import Path

import cv2
import pytest
import torch
from helpers.end_to_end import OPTIONS, basicsr, equal, logged, python, weights
from PIL import Image

from datasets_prep.synthetic.image import synthesize
from mihatp_arch.nuclei.coded_labels import decode
from mihatp_cli.mihatp import main

FILES = ["-opt", *(str(OPTIONS / name) for name in ("train_HoVerNet_light.yml", "overlays/tiny.yml"))]
FILES.append(str(OPTIONS / "overlays" / "tiny_HoVerNet.yml"))


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """A folder with datasets/nuclei/MoNuSeg, of label pictures."""
    folder = tmp_path_factory.mktemp("nuclei")
    (folder / "made" / "images").mkdir(parents=True)
    (folder / "made" / "labels").mkdir()
    for index in range(3):
        rgb, labels = synthesize(256, 256, seed=index)
        Image.fromarray(rgb).save(folder / "made" / "images" / f"TCGA-AA-000{index}.png")
        cv2.imwrite(str(folder / "made" / "labels" / f"TCGA-AA-000{index}.png"), labels)
    out = folder / "datasets" / "nuclei" / "MoNuSeg"
    assert main(["nuclei", "prepare", str(folder / "made"), "-o", str(out)]) == 0
    return folder


def train(folder: Path, name: str, iterations: int, *more: str) -> str:
    given = [f"name={name}", f"train:total_iter={iterations}", "val:val_freq=4", "train:frozen_iterations=1"]
    short = ["num_gpu=0", "logger:save_checkpoint_freq=2", "logger:print_freq=1", "train:scheduler:periods=[4]"]
    return basicsr(folder, "train", *FILES, *more, "--force_yml", *given, *short)


@pytest.mark.slow
def test_a_training_on_synthetic_nuclei_resumes_and_is_tested(folder):
    log = train(folder, "whole", 4)
    assert all(f"l_{term}" in log for term in ("np_ce", "np_dice", "hv_mse", "hv_msge"))
    assert 0 <= logged("dice", log) <= 1 and 0 <= logged("pq", log) <= 1
    train(folder, "resumed", 2)
    train(folder, "resumed", 4, "--auto_resume")
    models = [folder / "experiments" / name / "models" / "net_g_4.pth" for name in ("whole", "resumed")]
    assert equal(*models)
    tested = basicsr(folder, "test", *FILES, "--force_yml", "name=whole", "num_gpu=0", "val:save_img=true")
    assert logged("dice", tested) == pytest.approx(logged("dice", log), abs=1e-4)
    (picture,) = (folder / "results" / "whole" / "visualization" / "test").glob("*.png")
    decode(cv2.imread(str(picture), cv2.IMREAD_UNCHANGED)[..., ::-1])


@pytest.mark.slow
def test_two_processes_train_both_phases(folder):
    """The encoder, which has no gradients in the first two iterations, is trained in the third one."""
    torchrun = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2", "-m", "mihatp_arch"]
    given = ["name=two", "find_unused_parameters=true", "train:frozen_iterations=2", "train:total_iter=3", "val=null"]
    short = ["num_gpu=0", "logger:save_checkpoint_freq=1", "logger:print_freq=1", "train:scheduler:periods=[4]"]
    log = python(folder, *torchrun, "train", "--launcher", "pytorch", *FILES, "--force_yml", *given, *short)
    assert "World size (gpu number): 2" in log
    first, second, third = (weights(folder / f"experiments/two/models/net_g_{number}.pth") for number in (1, 2, 3))
    encoder, decoder = "conv0./.weight", "decoder.np.u0.conv.weight"
    assert torch.equal(first[encoder], second[encoder]) and not torch.equal(second[encoder], third[encoder])
    assert not torch.equal(first[decoder], second[decoder]) and not torch.equal(second[decoder], third[decoder])
