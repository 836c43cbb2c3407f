"""DAT built from options: equal to spandrel's on the same weights, without the constants in its file."""

import pytest
import torch
from basicsr.archs import build_network
from helpers.basicsr import changed, edsr, write_data, write_options

from mihatp_arch.archs.dat_arch import DAT
from mihatp_arch.archs.spandrel_arch import Spandrel
from mihatp_arch.errors import UserError
from mihatp_cli.basicsr import main

TINY = {"embed_dim": 32, "depth": [4], "num_heads": [2], "split_size": [8, 16]}


def tiny(scale: int = 2, **options) -> DAT:
    torch.manual_seed(0)
    return build_network({"type": "DAT", "upscale": scale, **TINY, **options}).eval()


@pytest.fixture
def official(tmp_path):
    """A file as the authors write it, with the constant buffers."""
    network = tiny().network
    for module in network.modules():
        module._non_persistent_buffers_set.clear()
    torch.save({"params": network.state_dict()}, tmp_path / "official.pth")
    return str(tmp_path / "official.pth")


@pytest.mark.parametrize("size", [(16, 16), (33, 21), (1, 1)])
def test_equals_the_network_that_spandrel_builds_of_an_official_file(official, size):
    x = torch.rand(1, 3, *size)
    ours, theirs = tiny(start=official), Spandrel(file=official).eval()
    with torch.no_grad():
        sr = ours(x)
        assert sr.shape == (1, 3, 2 * size[0], 2 * size[1])
        if min(size) >= 16:
            assert torch.equal(sr, theirs(x))


def test_its_file_has_weights_alone(official):
    ours, theirs = tiny().state_dict(), torch.load(official, weights_only=True)["params"]
    assert ours.keys() < theirs.keys()
    constants = {"attn_mask_0", "attn_mask_1", "relative_position_index", "rpe_biases"}
    assert {name.rpartition(".")[2] for name in theirs.keys() - ours.keys()} == constants
    tiny().load_state_dict(theirs)  # strictly: its constants are ignored


def test_a_larger_scale_starts_as_the_smaller_one_with_repeated_pixels(official):
    x = torch.rand(1, 3, 16, 16)
    with torch.no_grad():
        small, large = tiny(start=official)(x), tiny(4, start=official)(x)
    assert torch.allclose(large, small.repeat_interleave(2, -1).repeat_interleave(2, -2), atol=1e-6)


def test_a_start_that_does_not_fit_is_one_line(official):
    with pytest.raises(UserError, match="does not fit these options"):
        tiny(start=official, embed_dim=64)
    with pytest.raises(UserError, match="does not fit these options"):
        tiny(3, start=official)  # 3 is no multiple of 2
    with pytest.raises(UserError, match="no file"):
        tiny(start="missing.pth")


def test_depth_and_heads_must_have_the_same_length():
    with pytest.raises(UserError, match="same length"):
        tiny(depth=[2, 2])


def test_a_training_on_single_images_is_refused_because_of_its_pooled_batch_norm(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    write_data(tmp_path / "datasets" / "toy")
    options = changed(edsr(), "network_g", to={"type": "DAT", "upscale": 4, **TINY})
    file = str(write_options(tmp_path / "o.yml", changed(options, "datasets", "train", "batch_size_per_gpu", to=1)))
    assert main(["train", "-opt", file]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "datasets.train.batch_size_per_gpu: 1 is too few for network_g: a BatchNorm" in line
    assert not (tmp_path / "experiments").exists()
