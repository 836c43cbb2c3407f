"""prepare_for_inference: the same numbers for every batch and size, and other networks as they are."""

import pytest
import torch
from spandrel.architectures.DAT import DAT
from torch import nn

from mihatp_arch.archs.fast.dat_inference import DATBlock
from mihatp_arch.archs.hat_arch import HAT
from mihatp_arch.archs.spandrel_arch import Spandrel
from mihatp_arch.inference.prepare import prepare_for_inference

TILE = 32


@pytest.fixture(params=[{}, {"qkv_bias": False, "split_size": [8, 8]}, {"depth": [3, 1, 2]}])
def dat(request, tmp_path):
    """A DAT in which no weight is at its initial value, so that each has an effect."""
    torch.manual_seed(0)
    options = {"img_size": 16, "embed_dim": 48, "split_size": [4, 16], "depth": [6], "num_heads": [4] * 3, "upscale": 2}
    network = DAT(**options | {"expansion_factor": 2.0, "upsampler": "pixelshuffledirect"} | request.param)
    for name, value in network.state_dict().items():
        if value.is_floating_point() and "mask" not in name and "rpe_biases" not in name:
            value.copy_(torch.rand_like(value) + 0.5 if "running_var" in name else torch.randn_like(value) * 0.2)
    torch.save(network.state_dict(), tmp_path / "dat.pth")
    return Spandrel(file=str(tmp_path / "dat.pth"))


def blocks(network: nn.Module) -> int:
    return sum(isinstance(module, DATBlock) for module in network.modules())


@pytest.mark.parametrize("shape", [(1, TILE, TILE), (3, TILE, TILE), (1, 20, 44)])
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-5), (torch.float64, 1e-13)])
def test_the_prepared_network_gives_the_same_numbers(dat, shape, dtype, tolerance):
    count, height, width = shape
    lr = torch.rand(count, 3, height, width, dtype=dtype)
    prepared = prepare_for_inference(dat.to(dtype), tile=TILE)
    assert blocks(prepared) == sum(len(layer.blocks) for layer in dat.network.layers)
    with torch.inference_mode():
        expected, sr = dat(lr), prepared(lr)
    assert expected.std() > 0.05  # the network does not give zeros
    torch.testing.assert_close(sr, expected, rtol=tolerance, atol=tolerance)


def test_the_network_itself_stays(dat):
    weights = {name: value.clone() for name, value in dat.state_dict().items()}
    prepare_for_inference(dat, tile=TILE)
    assert blocks(dat) == 0
    assert dat.state_dict().keys() == weights.keys()
    assert all(torch.equal(value, weights[name]) for name, value in dat.state_dict().items())


def test_windows_that_a_tile_does_not_fill_stay_as_they_are(dat):
    lr = torch.rand(1, 3, 36, 36, dtype=torch.float64)
    prepared = prepare_for_inference(dat.double(), tile=36)
    with torch.inference_mode():
        torch.testing.assert_close(prepared(lr), dat(lr))


def test_other_networks_are_returned_as_they_are():
    network = HAT(embed_dim=12, depths=[2], num_heads=[2], window_size=8, squeeze_factor=4)
    assert prepare_for_inference(network, tile=TILE) is network
    assert not network.training
