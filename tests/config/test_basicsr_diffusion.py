"""What diffusion methods cannot do is refused before anything is written."""

from typing import Any

import pytest
import torch
from basicsr.utils.logger import initialized_logger
from helpers.basicsr import changed, edsr
from helpers.small_ldm import LDM, STAGE

from mihatp_arch.archs import Autoencoder
from mihatp_arch.config.checks.try_build import check_build
from mihatp_arch.config.read import Options


def ldm(folder, **network: Any) -> dict[str, Any]:
    """Options of a small LDM whose first stage lies in `folder`."""
    torch.save({"params": Autoencoder(**STAGE).state_dict()}, folder.parent / "stage.pth")
    options = changed(edsr(), "network_g", to=LDM | network) | {"model_type": "DiffusionModel"}
    options["path"] = {"pretrain_network_first_stage": str(folder.parent / "stage.pth")}
    return options


@pytest.mark.parametrize(
    ("network", "message"),
    [
        ({"steps": 0}, "network_g: steps 0: sampling takes at least one"),
        ({"steps": 21}, "network_g: steps 21 are more than the 20 timesteps of the schedule"),
        ({"steps": 7}, "network_g: steps 7 do not divide the 20 timesteps"),
        ({"channels": [8, 9]}, "channels [8, 9] must be multiples of norm_groups 4"),
        ({"channels": [8] * 6}, "datasets.val: 'im0' is 48x48, too small for LDM: it needs 68 a side"),
        ({"first_stage": STAGE | {"latent_channels": 4}}, "does not fit network_first_stage: "),
        ({"upscale": 8}, "upscale is 8, but scale is 4; they must be equal"),
    ],
)
def test_a_network_that_cannot_be(refused, tmp_path, network, message):
    assert message in refused(ldm(tmp_path, **network))


def test_a_first_stage_of_another_latent_size(refused, tmp_path):
    options = ldm(tmp_path)
    torch.save({"params": Autoencoder(**STAGE, latent_channels=4).state_dict()}, tmp_path.parent / "stage.pth")
    line = refused(options)
    assert "path.pretrain_network_first_stage" in line and "latent_mean is 4x1x1 there and 3x1x1 in this" in line


def test_a_first_stage_that_is_not_there(refused, tmp_path):
    options = ldm(tmp_path)
    options["path"]["pretrain_network_first_stage"] = "experiments/VQF4_x4/models/net_g_latest.pth"
    line = refused(options)
    assert "there is no file 'experiments/VQF4_x4/models/net_g_latest.pth' (`basicsr train -opt " in line
    options["path"]["pretrain_network_first_stage"] = "experiments/KLF2_x2/models/net_g_latest.pth"
    assert "(`basicsr train -opt options/train_KLF2_x2.yml` makes one)" in refused(options)
    options["path"] = {}
    assert "LDM needs a trained first stage: `basicsr train -opt options/train_VQF4_x4.yml` makes one" in refused(
        options
    )


def test_patches_that_are_no_multiples(refused, tmp_path):
    options = changed(ldm(tmp_path, channels=[8] * 4), "datasets", "train", "gt_size", to=48)
    assert "datasets.train.gt_size: 48 is no multiple of 32, which this network needs" in refused(options)
    stage = {"type": "Autoencoder", **STAGE, "channels": [4, 4, 4, 4]}
    options = changed(edsr(), "network_g", to=stage) | {"model_type": "FirstStageModel"}
    options = changed(options, "datasets", "train", "gt_size", to=20)
    assert "datasets.train.gt_size: 20 is no multiple of 8, which this network needs" in refused(options)


def test_the_checks_leave_basicsrs_logger_to_basicsr(tmp_path):
    """One that is set up before its file is known would never write it."""
    before = dict(initialized_logger)
    initialized_logger.clear()
    try:
        assert check_build(Options(ldm(tmp_path), {}), "train") == []
        assert not initialized_logger
    finally:
        initialized_logger.update(before)


def test_a_check_of_our_networks_makes_no_weights():
    """The weights would take 324 TB, which a test (on the CPU) cannot have."""
    options = changed(edsr(), "network_g", to={"type": "SRCNN", "upscale": 4, "features": [10**6, 10**6]})
    options["network_g"]["kernels"] = [9, 9, 9]
    assert check_build(Options(options, {}), "train") == []
    assert len(check_build(Options(options, {}), "test")) == 1


def test_losses_and_models_that_do_not_fit(refused, tmp_path):
    options = changed(ldm(tmp_path), "train", "pixel_opt", to=None)
    assert "train.pixel_opt: DiffusionModel needs it; give type: MSELoss" in refused(options)
    other = edsr() | {"model_type": "DiffusionModel"}
    assert "DiffusionModel trains LDM, IDM or ResShift, not EDSR" in refused(other)
    assert "FirstStageModel trains Autoencoder, not EDSR" in refused(edsr() | {"model_type": "FirstStageModel"})
    options = changed(ldm(tmp_path), "val", "precision", to="fp16")
    assert "val.precision" in refused(options)
