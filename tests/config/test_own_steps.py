"""Models of BasicSR with a training step of their own lack what our step adds, and say so."""

import pytest
from basicsr.models.esrgan_model import ESRGANModel
from basicsr.models.sr_model import SRModel
from basicsr.models.srgan_model import SRGANModel

from mihatp_arch.config.checks.training import check_training
from mihatp_arch.config.read import Options

OWN = {"precision": "bf16", "accumulate": 2, "grad_clip": 1.0, "lq_augment": {"jpeg": [70, 100], "share": 0.3}}
REST = {"optim_g": {}, "scheduler": {}, "pixel_opt": {"type": "L1Loss"}, "total_iter": 1}


@pytest.mark.parametrize("model", [SRGANModel, ESRGANModel])
def test_a_gan_of_basicsr_refuses_what_it_would_ignore(model):
    lines = list(check_training(Options({"train": {**OWN, **REST}}), model))
    assert [key for key in OWN if any(f"train.{key}" in line or f"'{key}'" in line for line in lines)] == list(OWN)
    assert all(f"{model.__name__} of basicsr has its own step without it" in line for line in lines)
    plain = {"precision": "fp32", "accumulate": 1, "grad_clip": None, "lq_augment": None}
    assert list(check_training(Options({"train": {**plain, **REST}}), model)) == []


def test_other_models_have_all_of_them():
    assert list(check_training(Options({"train": {**OWN, **REST}}), SRModel)) == []
