"""The VGG16 of ST-LPIPS: its layers against their definition, and against numbers of the package's own class."""

import sys

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from mihatp_arch.errors import UserError
from mihatp_arch.losses import FeatureNetwork, stlpips
from mihatp_arch.losses.vgg import IMAGENET_MEAN, IMAGENET_STD

STAGES = ((0, 2), (6, 8), (12, 14, 16), (20, 22, 24), (28, 30, 32))  # the convolutions in the file
LAYERS = ["relu1_2", "relu2_2", "relu3_3", "relu4_3", "relu5_3"]
needs_package = pytest.mark.skipif(not stlpips.has_weights("vgg16"), reason="needs: pip install stlpips-pytorch==0.0.2")


def drawn_state() -> dict[str, Tensor]:
    """A file of ST-LPIPS's names and shapes, with random weights."""
    state, before = {"scaling_layer.shift": torch.zeros(1, 3, 1, 1), "lin0.model.1.weight": torch.ones(1, 64, 1, 1)}, 3
    for stage, (width, indices) in enumerate(zip((64, 128, 256, 512, 512), STAGES, strict=True), 1):
        if stage > 1:
            state[f"net.slice{stage}.{indices[0] - 1}.filt"] = torch.zeros(before, 1, 3, 3)
        for index in indices:
            state[f"net.slice{stage}.{index}.weight"] = torch.randn(width, before, 3, 3) * (2 / 9 / before) ** 0.5
            state[f"net.slice{stage}.{index}.bias"] = torch.randn(width) / 10
            before = width
    return state


def defined_features(state: dict[str, Tensor], x: Tensor) -> list[Tensor]:
    """The last ReLU of each stage, written from the package's layers."""
    x = (x - torch.tensor(IMAGENET_MEAN).view(3, 1, 1)) / torch.tensor(IMAGENET_STD).view(3, 1, 1)
    blur, outputs = torch.tensor([1.0, 2, 1]), []
    for stage, indices in enumerate(STAGES, 1):
        if stage > 1:
            kernel = (blur[:, None] * blur / 16).repeat(x.shape[1], 1, 1, 1)
            x = F.pad(F.max_pool2d(x, 2, stride=1), (2, 2, 2, 2), mode="reflect")
            x = F.conv2d(x, kernel, stride=2, groups=x.shape[1])
        for index in indices:
            weight, bias = (state[f"net.slice{stage}.{index}.{name}"] for name in ("weight", "bias"))
            x = F.conv2d(x, weight, bias, padding=1).relu()
        outputs.append(x)
    return outputs


def pattern() -> Tensor:
    y, x = torch.meshgrid(torch.arange(40.0), torch.arange(48.0), indexing="ij")
    return torch.stack([(x * 7 + y * 3) % 31 / 31, (x * 5 + y * 11) % 37 / 37, (x + y) % 13 / 13])[None]


@pytest.mark.parametrize("size", [(18, 18), (37, 50)])
def test_a_file_of_its_names_gives_the_blurred_network(tmp_path, size):
    state = drawn_state()
    torch.save(state, tmp_path / "vgg16.pth")
    network = FeatureNetwork(network="vgg16", weights=str(tmp_path / "vgg16.pth"), layers=LAYERS)
    x = torch.rand(2, 3, *size)
    for ours, defined in zip(network(x), defined_features(state, x), strict=True):
        torch.testing.assert_close(ours, defined, rtol=1e-4, atol=1e-4)


def test_a_file_may_end_after_the_last_layer_that_is_used(tmp_path):
    state = {key: value for key, value in drawn_state().items() if key.startswith(("net.slice1", "net.slice2"))}
    torch.save(state, tmp_path / "cut.pth")
    network = FeatureNetwork(network="vgg16", weights=str(tmp_path / "cut.pth"), layers=["relu1_2", "relu2_2"])
    assert [tuple(feature.shape[1:]) for feature in network(torch.rand(1, 3, 24, 24))] == [(64, 24, 24), (128, 13, 13)]
    with pytest.raises(UserError, match=r"cut\.pth lacks features\.10\.weight and 5 more"):
        FeatureNetwork(network="vgg16", weights=str(tmp_path / "cut.pth"), layers=["relu3_3"])


def test_images_that_are_too_small(tmp_path):
    torch.save(drawn_state(), tmp_path / "vgg16.pth")
    for layer, least in (("relu2_1", 4), ("relu3_1", 6), ("relu4_1", 10), ("relu5_1", 18)):
        network = FeatureNetwork(network="vgg16", weights=str(tmp_path / "vgg16.pth"), layers=[layer])
        assert network(torch.rand(1, 3, least, least))[0].isfinite().all()
        with pytest.raises(UserError, match=f"too small for {layer} of vgg16, which needs {least}x{least}"):
            network(torch.rand(1, 3, least - 1, least))


def test_other_networks_have_no_weights_of_stlpips():
    for network in ("vgg19", "test_resnet"):
        with pytest.raises(UserError, match=f"are those of vgg16, not of {network}: set network: vgg16"):
            FeatureNetwork(network=network, weights="stlpips")


def test_without_the_package_one_line_has_the_command(monkeypatch):
    monkeypatch.setattr(stlpips, "find_spec", lambda name: None)
    with pytest.raises(UserError) as caught:
        FeatureNetwork(network="vgg16", weights="stlpips")
    assert str(caught.value).startswith("features: weights: stlpips: ")
    assert "pip install stlpips-pytorch==0.0.2" in str(caught.value) and "\n" not in str(caught.value)


@needs_package
def test_the_package_s_weights_give_the_numbers_of_its_own_class():
    """Mean and standard deviation of `stlpips.LPIPS(net="vgg", variant="shift_tolerant").net` on the pattern."""
    features = FeatureNetwork(network="vgg16", weights="stlpips", layers=LAYERS)(pattern())
    assert [tuple(feature.shape[1:]) for feature in features] == [
        (64, 40, 48), (128, 21, 25), (256, 11, 13), (512, 6, 7), (512, 4, 4)
    ]  # fmt: skip
    means = [0.0930496, 0.1074238, 0.3383421, 0.7458159, 8.618433]
    deviations = [0.2116727, 0.4014050, 1.3884013, 5.4750667, 68.946777]
    assert [feature.mean().item() for feature in features] == pytest.approx(means, rel=1e-5)
    assert [feature.std().item() for feature in features] == pytest.approx(deviations, rel=1e-5)
    assert "stlpips_pytorch" not in sys.modules
