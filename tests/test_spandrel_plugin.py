"""An exported MiHATP in spandrel, which sees the tensors of the file alone."""

import pytest
import torch
import yaml
from basicsr.archs import build_network
from spandrel import MAIN_REGISTRY, ModelLoader, UnsupportedModelError

from mihatp_arch.archs.spandrel_arch import Spandrel
from mihatp_arch.checkpoints import load_tensors, weights_below
from mihatp_arch.errors import UserError
from mihatp_arch.exported_options import OPTIONS
from mihatp_arch.inference.load import load_network
from mihatp_arch.spandrel_plugin import install
from mihatp_arch.training.saving import save_whole
from mihatp_cli.mihatp import main

SMALL = {"type": "MiHATP", "upscale": 2, "embed_dim": 12, "depths": [2], "num_heads": [2], "squeeze_factor": 4}
UNSEEN = {"norm_residual": False, "beta": 0.5, "alpha": 0.3, "offset_range": 1.0}  # no weight shows these options
VARIANTS = [{}, {"upsampler": "pixelshuffledirect", "global_skip": True}, {"position": "bias", "consistency": True}]


@pytest.fixture(params=VARIANTS)
def exported(request, tmp_path):
    return export(SMALL | UNSEEN | {"window_size": 8, "img_size": 16} | request.param, tmp_path)


def export(options, tmp_path):
    folder = tmp_path / "small"
    (folder / "models").mkdir(parents=True)
    (folder / "small.yml").write_text(yaml.safe_dump({"scale": 2, "network_g": options}))
    torch.manual_seed(0)
    state = build_network(dict(options)).state_dict()
    state = {
        name: value + 0.05 * torch.randn_like(value) if value.is_floating_point() else value
        for name, value in state.items()
    }
    save_whole({"params": state, "kernel": "area"}, folder / "models" / "net_g_1.pth")
    assert main(["export", str(folder), "-o", str(tmp_path / "small.safetensors")]) == 0
    return tmp_path / "small.safetensors"


def test_spandrel_opens_an_exported_mihatp(exported):
    registry = MAIN_REGISTRY.copy()
    with pytest.raises((UnsupportedModelError, RuntimeError)):
        ModelLoader(registry=registry).load_from_file(exported)
    install(registry)
    install(registry)  # a second plugin may do so
    descriptor = ModelLoader(registry=registry).load_from_file(exported)
    assert (descriptor.architecture.id, descriptor.scale, descriptor.input_channels) == ("MiHATP", 2, 3)
    lr = torch.rand(1, 3, 13, 20)
    torch.testing.assert_close(descriptor(lr), load_network(exported)(lr).clamp(0, 1))
    assert "MiHATP" not in MAIN_REGISTRY


def test_weights_without_their_options_are_not_taken(exported):
    tensors = load_tensors(exported)
    state = weights_below(exported, tensors, "params")
    assert tensors.keys() - state.keys() == {OPTIONS}
    registry = MAIN_REGISTRY.copy()
    install(registry)
    assert not registry["MiHATP"].detect(state)


@pytest.mark.parametrize("option", ["consistency", "global_skip"])
def test_a_hat_with_more_than_its_weights_show_is_refused(tmp_path, option):
    """spandrel took it for a plain HAT, and gave other images."""
    hat = SMALL | {"type": "HAT", "upsampler": "pixelshuffle", "window_size": 16, "img_size": 32}
    plain = export(hat, tmp_path)
    lr = torch.rand(1, 3, 32, 32)
    torch.testing.assert_close(ModelLoader().load_from_file(plain)(lr), load_network(plain)(lr).clamp(0, 1))
    plain.unlink()
    (tmp_path / "small" / "models" / "net_g_1.pth").unlink()
    (tmp_path / "small" / "models").rmdir()
    more = export(hat | {option: True}, tmp_path)
    with pytest.raises(RuntimeError, match=OPTIONS):
        ModelLoader().load_from_file(more)
    with pytest.raises(UserError, match="is an export of HAT: give network_g the type HAT"):
        Spandrel(file=str(more))
    assert load_network(more)(lr).shape == (1, 3, 64, 64)
