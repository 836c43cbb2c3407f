"""The option files of diffusion methods and first stages: the data of the others, and latents that do not bound."""

from pathlib import Path

import pytest
import torch
import yaml
from basicsr.archs import build_network

from mihatp_arch.config.option_files.first_stages import STAGES
from mihatp_arch.config.option_files.table import METHODS
from mihatp_arch.config.read import read_options

FOLDER = Path(__file__).resolve().parents[2] / "options"
SCALES = (2, 4, 8)
DIFFUSION = ("IDM", "LDM", "ResShift")
FILES = [
    (method.name, scale)
    for method in METHODS
    for scale in method.scales
    if method.name in DIFFUSION or "Stage" in method.model_type
]


def read(name: str) -> dict:
    return read_options([FOLDER / f"{name}.yml"]).values


@pytest.mark.parametrize(("method", "scale"), FILES)
def test_diffusion_has_the_data_of_the_others_and_settings_of_its_own(method, scale):
    ours, theirs = read(f"train_{method}_x{scale}"), read(f"train_SRCNN_x{scale}")
    for options in (ours, theirs):
        del options["datasets"]["train"]["batch_size_per_gpu"]
    for section in ("datasets", "scale", "num_gpu", "manual_seed"):
        assert ours[section] == theirs[section]
    assert ours["val"]["metrics"] == theirs["val"]["metrics"]
    if method in DIFFUSION:
        assert ours["train"]["total_iter"] == theirs["train"]["total_iter"]
        assert ours["train"]["ema_decay"] >= 0.999
    if "first_stage" in ours["network_g"]:
        stage = read(f"train_{STAGES[scale]}_x{scale}")
        assert ours["network_g"]["first_stage"] == {k: v for k, v in stage["network_g"].items() if k != "type"}
        assert ours["path"]["pretrain_network_first_stage"] == f"experiments/{stage['name']}/models/net_g_latest.pth"
        benchmark = yaml.safe_load((FOLDER / f"benchmark_x{scale}.yml").read_text(encoding="utf-8"))
        assert benchmark["methods"][method]["first_stage"] == STAGES[scale]


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("method", ["LDM", "ResShift"])
def test_a_latent_holds_at_least_the_numbers_of_lr(method, scale):
    """A smaller latent bounds the method below an interpolation of LR."""
    network = read(f"train_{method}_x{scale}")["network_g"]
    stage = network["first_stage"]
    factor = 2 ** (len(stage["channels"]) - 1)
    assert stage["latent_channels"] / factor**2 >= 3 / scale**2
    with torch.device("meta"):
        built = build_network(network)
    assert 192 % (built.multiple * scale) == 0
