"""Networks are loaded from whatever holds them; a mistake is one line."""

import json

import pytest
import torch
from safetensors.torch import load_file, save_file

import mihatp_arch
from datasets_prep.common.errors import UserError
from mihatp_arch.archs.srcnn_arch import SRCNN
from mihatp_arch.bundled_weights import bundled_weights
from mihatp_arch.inference.load import bundled_scales, load_network


@pytest.fixture
def experiment(tmp_path):
    """A folder as a training leaves it, with averaged weights beside the last ones."""
    folder = tmp_path / "SRCNN_x2"
    (folder / "models").mkdir(parents=True)
    (folder / "SRCNN_x2.yml").write_text(
        "scale: 2\nnetwork_g: {type: SRCNN, upscale: 2, kernels: [3], features: [], residual: true}\n"
    )
    network = SRCNN(upscale=2, kernels=[3], features=[], residual=True)
    averaged = {name: tensor + 1 for name, tensor in network.state_dict().items()}
    torch.save({"params": network.state_dict(), "params_ema": averaged}, folder / "models" / "net_g_10.pth")
    return folder, averaged


def test_bundled_weights_have_their_scale():
    assert bundled_scales() == [2, 4, 8]
    for scale in bundled_scales():
        info = load_network(scale=scale, device="cpu").info
        assert (info.name, info.scale, info.kernel, info.mpp) == (f"he-light-x{scale}", scale, "area", 0.25)
        assert len(info.sha256) == 64 and info.multiple == 32


def test_an_export_says_what_it_is(local_weights):
    network = load_network(local_weights, device="cpu")
    assert network.info.name == "local.safetensors" and network.info.scale == 2 and network.info.kernel == "area"
    assert network(torch.zeros(1, 3, 5, 7)).shape == (1, 3, 10, 14)


def test_an_experiment_gives_its_averaged_weights(experiment):
    folder, averaged = experiment
    for source in (folder, str(folder), folder / "models" / "net_g_10.pth"):
        network = load_network(source, device="cpu")
        assert network.info.scale == 2
        for name, tensor in network.module.state_dict().items():
            assert torch.equal(tensor, averaged[name])


def test_the_result_of_load_says_what_it_loaded(local_weights):
    upscaler = mihatp_arch.load(local_weights, device="cpu")
    assert upscaler.scale == upscaler.info.scale == 2


def exported(path, network=None, **metadata):
    network = network or {"weight": torch.zeros(1)}
    save_file(network, path, metadata or None)
    return path


def damaged_metadata(folder, weights):
    return exported(folder / "a.safetensors", network_g="{")


def another_network(folder, weights):
    return exported(folder / "a.safetensors", network_g=json.dumps({"type": "SRCNN"}), scale="2")


def unknown_network(folder, weights):
    return exported(folder / "a.safetensors", network_g=json.dumps({"type": "Absent"}), scale="2")


def unknown_option(folder, weights):
    options = json.dumps({"type": "SRCNN", "upscael": 2})
    return exported(folder / "a.safetensors", load_file(weights), network_g=options, scale="2")


def no_architecture(folder, weights):
    return exported(folder / "a.safetensors")


def false_scale(folder, weights):
    options = json.dumps({"type": "SRCNN", "upscale": 2, "kernels": [3], "features": [], "residual": True})
    return exported(folder / "a.safetensors", load_file(weights), network_g=options, scale="4")


def truncated(folder, weights):
    (folder / "a.safetensors").write_bytes(weights.read_bytes()[:-20])
    return folder / "a.safetensors"


def text(folder, weights):
    (folder / "a.pth").write_text("no weights")
    return folder / "a.pth"


def empty_folder(folder, weights):
    (folder / "a").mkdir()
    return folder / "a"


DAMAGED = {
    damaged_metadata: "damaged metadata",
    another_network: "does not fit its network",
    unknown_network: "network that this version does not have",
    unknown_option: "network that this version does not have",
    no_architecture: "of no architecture that spandrel knows",
    false_scale: r"makes \[1, 3, 32, 32\] of \[1, 3, 16, 16\], not \[1, 3, 64, 64\]",
    truncated: "a.safetensors",
    text: "a.pth",
    empty_folder: "has no trained network",
}


@pytest.mark.parametrize("write", DAMAGED, ids=lambda write: write.__name__)
def test_files_without_a_network_are_one_line(tmp_path, local_weights, write):
    with pytest.raises(UserError, match=DAMAGED[write]):
        load_network(write(tmp_path, local_weights), device="cpu")


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ({}, "give weights .* or a scale"),
        ({"source": "he-ligth-x4"}, "did you mean 'he-light-x4'"),
        ({"source": "absent.pth"}, "absent.pth.*no such file"),
        ({"scale": 3}, "no bundled weights enlarge 3 times"),
        ({"source": "he-light-x4", "scale": 2}, "enlarges 4 times, not 2"),
        ({"source": ""}, "weights '': give a name"),
        ({"source": 3}, "weights 3: give a name"),
        ({"scale": "4"}, "scale '4': give a whole number"),
        ({"source": "nuclei-light"}, "'nuclei-light' find nuclei and enlarge nothing: give he-light-x2"),
        ({"source": "he-light-x2", "precision": "fp64"}, "precision 'fp64': choose from fp32, bf16"),
        ({"source": "he-light-x2", "device": "gpu"}, "device 'gpu' cannot be used"),
        ({"source": "he-light-x2", "device": None}, "device 'None' cannot be used"),
        ({"source": "he-light-x2", "device": "cuda:99"}, "device 'cuda:99' cannot be used"),
    ],
)
def test_mistakes_are_one_line(arguments, reason):
    assert "he-light-x4" in bundled_weights()
    with pytest.raises(UserError, match=reason):
        mihatp_arch.load(**arguments)
