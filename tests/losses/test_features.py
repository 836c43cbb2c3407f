"""The frozen feature network: torchvision's own features, its weights' sources, and what goes wrong with them."""

import logging

import huggingface_hub
import pytest
import timm
import torch
from basicsr.archs.vgg_arch import VGG_PRETRAIN_PATH
from basicsr.utils import get_root_logger
from torch import nn
from torchvision.models.vgg import cfgs, make_layers

from mihatp_arch.errors import UserError
from mihatp_arch.losses import FeatureNetwork

INDICES = {"relu1_1": 1, "relu2_1": 6, "relu3_1": 11, "relu4_1": 20, "relu5_1": 29}  # torchvision's, by hand
SMALL = "test_resnet"  # timm's smallest ResNet


@pytest.fixture(scope="module")
def vgg19_state() -> dict[str, torch.Tensor]:
    """A state dict as torchvision's vgg19 has it, with random weights and a stump of its classifier."""
    state = {f"features.{key}": value for key, value in make_layers(cfgs["E"]).state_dict().items()}
    return {**state, "classifier.0.weight": torch.zeros(2, 2)}


@pytest.fixture
def offline(monkeypatch, tmp_path):
    """No weights anywhere, and a proxy that refuses at once, so that downloads fail without a network."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "hub"))
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)  # or it tries again for most of a minute
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "hf"))
    return tmp_path


def torchvision_features(state: dict[str, torch.Tensor], x: torch.Tensor, indices: list[int]) -> list[torch.Tensor]:
    network = make_layers(cfgs["E"])
    network.load_state_dict({k.removeprefix("features."): v for k, v in state.items() if k.startswith("features.")})
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    x = (x - mean.view(3, 1, 1)) / std.view(3, 1, 1)
    with torch.no_grad():
        return [network[: index + 1](x.clone()) for index in indices]


@pytest.mark.parametrize(
    ("layers", "indices"),
    [
        (None, list(INDICES.values())),
        (["conv1_1", "relu1_1", "conv2_2", "pool2"], [0, 1, 7, 9]),  # in-place ReLUs follow the collected convolutions
        ([11, 0, "relu2_1"], [11, 0, 6]),
    ],
)
def test_a_file_gives_torchvisions_own_features(tmp_path, vgg19_state, layers, indices):
    torch.save(vgg19_state, tmp_path / "vgg19.pth")
    network = FeatureNetwork(weights=str(tmp_path / "vgg19.pth"), layers=layers)
    x = torch.rand(2, 3, 32, 40)
    for ours, theirs in zip(network(x), torchvision_features(vgg19_state, x, indices), strict=True):
        torch.testing.assert_close(ours, theirs)


def test_vgg16_is_torchvisions_and_its_imagenet_weights_are_found_in_the_same_folders(offline):
    layers = make_layers(cfgs["D"])
    state = {f"features.{key}": value for key, value in layers.state_dict().items()}
    file = (offline / VGG_PRETRAIN_PATH).with_name("vgg16-397923af.pth")
    file.parent.mkdir(parents=True)
    torch.save(state, file)
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    x = torch.rand(2, 3, 32, 40)
    normalised = (x - mean.view(3, 1, 1)) / std.view(3, 1, 1)
    names = ["relu1_2", "relu2_2", "relu3_3", "relu4_3", "relu5_3"]
    with torch.no_grad():
        wanted = [layers[: index + 1](normalised.clone()) for index in (3, 8, 15, 22, 29)]
    for ours, theirs in zip(FeatureNetwork(network="vgg16", layers=names)(x), wanted, strict=True):
        torch.testing.assert_close(ours, theirs)
    file.unlink()
    with pytest.raises(UserError, match=r"of vgg16 are missing .* download https://\S+vgg16-397923af\.pth to"):
        FeatureNetwork(network="vgg16")


def test_nothing_after_the_last_layer_is_kept():
    network = FeatureNetwork(weights="random", layers=["relu1_1", "relu2_1"])
    assert sum(isinstance(module, nn.Conv2d) for module in network.modules()) == 3


@pytest.mark.parametrize("place", [VGG_PRETRAIN_PATH, "hub/hub/checkpoints/vgg19-dcbb9e9d.pth"])
def test_imagenet_weights_are_found_where_basicsr_and_torch_keep_them(offline, vgg19_state, place):
    (offline / place).parent.mkdir(parents=True)
    torch.save(vgg19_state, offline / place)
    x = torch.rand(1, 3, 8, 8)
    (feature,) = FeatureNetwork(layers=["relu1_1"])(x)
    torch.testing.assert_close(feature, torchvision_features(vgg19_state, x, [1])[0])


def test_missing_imagenet_weights_say_what_to_get_and_where_to(offline):
    with pytest.raises(UserError) as caught:
        FeatureNetwork()
    message = str(caught.value)
    assert "vgg19-dcbb9e9d.pth to experiments/pretrained_models/vgg19-dcbb9e9d.pth" in message
    assert "weights: random" in message and "\n" not in message
    assert "network: vgg16 with weights: stlpips (pip install stlpips-pytorch==" in message
    assert not list(offline.rglob("*.pth*")), "a failed download leaves nothing"


def test_missing_pretrained_weights_of_timm_are_an_error(offline):
    with pytest.raises(UserError, match="could not be had"):
        FeatureNetwork(network=SMALL)


def test_bad_weight_files(tmp_path, vgg19_state):
    with pytest.raises(UserError, match="there is no file"):
        FeatureNetwork(weights=str(tmp_path / "none.pth"))
    (tmp_path / "damaged.pth").write_bytes(b"PK\x03\x04 not a checkpoint")
    with pytest.raises(UserError, match="holds no state dict"):
        FeatureNetwork(weights=str(tmp_path / "damaged.pth"))
    torch.save({"model": nn.Linear(2, 2)}, tmp_path / "code.pth")
    with pytest.raises(UserError, match="holds no state dict"):  # weights_only: a file is data, never code
        FeatureNetwork(weights=str(tmp_path / "code.pth"))
    torch.save({"features.0.weight": vgg19_state["features.0.weight"]}, tmp_path / "short.pth")
    with pytest.raises(UserError, match=r"lacks features\.0\.bias and 0 more"):
        FeatureNetwork(weights=str(tmp_path / "short.pth"), layers=["relu1_1"])
    torch.save({**vgg19_state, "features.0.bias": torch.zeros(3)}, tmp_path / "shape.pth")
    with pytest.raises(UserError, match="does not fit: size mismatch") as caught:
        FeatureNetwork(weights=str(tmp_path / "shape.pth"))
    assert "\n" not in str(caught.value)


def test_random_weights_are_the_same_each_time_warn_and_leave_the_generator(caplog):
    logger = get_root_logger()
    logger.addHandler(caplog.handler)
    x = torch.rand(1, 3, 32, 32)
    features = []
    try:
        for seed in (1, 2):
            torch.manual_seed(seed)
            state = torch.get_rng_state()
            features.append(FeatureNetwork(weights="random")(x))
            assert torch.equal(state, torch.get_rng_state())
    finally:
        logger.removeHandler(caplog.handler)
    assert all(torch.equal(a, b) for a, b in zip(*features, strict=True))
    assert [record.levelno for record in caplog.records] == [logging.WARNING] * 2
    assert "random weights" in caplog.text


def test_random_features_do_not_vanish_with_depth():
    scales = [
        feature.square().mean().sqrt().item() for feature in FeatureNetwork(weights="random")(torch.rand(2, 3, 64, 64))
    ]
    assert len(scales) == 5
    assert all(0.1 < scale < 10 for scale in scales)


def test_stays_frozen_and_in_eval_mode():
    network = nn.Sequential(FeatureNetwork(weights="random", network=SMALL)).train()
    assert not any(module.training for module in network[0].modules())
    assert not any(parameter.requires_grad for parameter in network.parameters())


def test_gradient_reaches_the_image_and_the_image_is_not_overwritten():
    x = torch.rand(1, 3, 16, 16, requires_grad=True)
    before = x.detach().clone()
    features = FeatureNetwork(weights="random")(x)
    assert features[-1].shape == (1, 512, 1, 1)
    features[-1].sum().backward()
    assert x.grad is not None and x.grad.abs().sum() > 0
    assert torch.equal(x, before)


def test_fp32_under_autocast():
    network, x = FeatureNetwork(weights="random", layers=["relu1_1", "relu2_1"]), torch.rand(1, 3, 8, 8)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        features = network(x)
        assert network(x.bfloat16())[0].dtype == torch.float32
    for ours, plain in zip(features, network(x), strict=True):
        assert torch.equal(ours, plain)


def test_timm_networks_load_their_own_layout_and_normalise_as_they_were_trained(tmp_path):
    model = timm.create_model(SMALL, features_only=True, out_indices=(0, 2)).eval()
    full = timm.create_model(SMALL)
    torch.save(full.state_dict(), tmp_path / "full.pth")
    network = FeatureNetwork(network=SMALL, weights=str(tmp_path / "full.pth"), layers=[0, 2])
    model.load_state_dict({key: full.state_dict()[key] for key in model.state_dict()})
    x = torch.rand(1, 3, 24, 24)
    config = full.pretrained_cfg
    mean, std = (torch.tensor(config[name]).view(3, 1, 1) for name in ("mean", "std"))
    for ours, theirs in zip(network(x), model((x - mean) / std), strict=True):
        torch.testing.assert_close(ours, theirs)


def test_channels_come_first_from_networks_that_put_them_last():
    network = FeatureNetwork(network="swin_tiny_patch4_window7_224", weights="random", layers=[0])
    assert network(torch.rand(1, 3, 224, 224))[0].shape == (1, 96, 56, 56)


def test_timm_networks_with_renamed_stages_load_too(tmp_path):
    full = timm.create_model("test_convnext")
    torch.save(full.state_dict(), tmp_path / "full.pth")
    network = FeatureNetwork(network="test_convnext", weights=str(tmp_path / "full.pth"))
    held = [tensor for tensor in network.body.state_dict().values() if tensor.dim() == 4]
    assert held and all(any(torch.equal(tensor, source) for source in full.state_dict().values()) for tensor in held)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"layers": ["relu1_7"]}, "'relu1_7' is unknown: did you mean 'relu1_"),
        ({"layers": [40]}, "40 is unknown"),
        ({"layers": []}, "one or more"),
        ({"layers": "relu1_1"}, "must be a list"),
        ({"network": "vgg91"}, "'vgg91' is unknown: did you mean 'vgg"),
        ({"network": SMALL, "layers": [0, 17]}, "out_indices"),
        ({"network": SMALL, "layers": ["relu1_1"]}, "out_indices"),
    ],
)
def test_unknown_networks_and_layers(options, message):
    with pytest.raises(UserError, match=message) as caught:
        FeatureNetwork(weights="random", **options)
    assert "\n" not in str(caught.value)


def test_images_that_do_not_fit():
    network = FeatureNetwork(weights="random")
    with pytest.raises(UserError, match="15x99 pixels are too small for relu5_1 of vgg19, which needs 16x16"):
        network(torch.rand(1, 3, 15, 99))
    with pytest.raises(UserError, match="RGB"):
        network(torch.rand(1, 1, 32, 32))
    assert FeatureNetwork(weights="random", layers=["relu1_1"])(torch.rand(1, 3, 1, 1))[0].shape == (1, 64, 1, 1)
    with pytest.raises(UserError, match=r"takes images of \(160, 160\)"):
        FeatureNetwork(network="test_vit", weights="random")(torch.rand(1, 3, 48, 48))
