import json

import pytest
import torch
from safetensors.torch import load_file, save_file

from mihatp_arch.archs.hovernet_arch import HoVerNet
from mihatp_arch.errors import UserError
from mihatp_arch.inference.nuclei.load import load_nuclei_network

OPTIONS = {"mode": "fast", "nr_types": 5, "width": 0.03}


@pytest.fixture(scope="module")
def weights():
    return HoVerNet(**OPTIONS).state_dict()


def is_loaded(network, weights):
    assert (network.mode, network.nr_types, network.training) == ("fast", 5, False)
    assert all(torch.equal(tensor, weights[name]) for name, tensor in network.state_dict().items())


def test_an_official_checkpoint(weights, tmp_path):
    official = {"upsample2x.unpool_mat": torch.ones(2, 2), **{f"module.{name}": at for name, at in weights.items()}}
    torch.save({"desc": official}, tmp_path / "hovernet_fast.tar")
    is_loaded(load_nuclei_network(tmp_path / "hovernet_fast.tar"), weights)


def test_an_experiment_and_its_averaged_weights(weights, tmp_path):
    experiment = tmp_path / "own"
    (experiment / "models").mkdir(parents=True)
    (experiment / "own.yml").write_text(json.dumps({"network_g": {"type": "HoVerNet", **OPTIONS}}))
    zeros = {name: torch.zeros_like(tensor) for name, tensor in weights.items()}
    torch.save({"params": zeros, "params_ema": weights}, experiment / "models/net_g_5.pth")
    is_loaded(load_nuclei_network(experiment), weights)
    is_loaded(load_nuclei_network(experiment / "models/net_g_5.pth"), weights)


def test_an_export_and_the_same_tensors_without_options(weights, tmp_path):
    save_file(weights, tmp_path / "a.safetensors", {"network_g": json.dumps({"type": "HoVerNet", **OPTIONS})})
    save_file(load_file(tmp_path / "a.safetensors"), tmp_path / "b.safetensors")
    for name in "ab":
        is_loaded(load_nuclei_network(tmp_path / f"{name}.safetensors"), weights)


@pytest.mark.parametrize("width", [0.01, 0.03, 0.0937, 0.125, 0.3, 0.47])
def test_the_shapes_tell_the_width(width, tmp_path):
    with torch.device("meta"):
        state = HoVerNet(mode="original", width=width).state_dict()
    shapes = {name: torch.zeros((), dtype=tensor.dtype).expand(tensor.shape) for name, tensor in state.items()}
    torch.save({"desc": shapes}, tmp_path / "own.tar")
    network = load_nuclei_network(tmp_path / "own.tar")
    assert (network.mode, network.nr_types) == ("original", None)


def test_wrong_weights_are_one_line(weights, tmp_path):
    short = {name: tensor for name, tensor in weights.items() if "hv" not in name}
    torch.save({"desc": short}, tmp_path / "short.tar")
    torch.save({"a": torch.zeros(1)}, tmp_path / "other.pth")
    (tmp_path / "text.pth").write_text("no weights")
    (tmp_path / "empty").mkdir()
    for source, says in (
        ("short.tar", "does not fit HoVerNet: .*Missing key"),
        ("other.pth", r"holds no HoVer-Net \(its weights are a"),
        ("text.pth", "cannot be loaded"),
        ("empty", "has no trained network"),
        ("missing.pth", "no such file"),
    ):
        with pytest.raises(UserError, match=says):
            load_nuclei_network(tmp_path / source)
    with pytest.raises(UserError, match="is a DAT, no HoVerNet"):
        load_nuclei_network("he-light-x4")
