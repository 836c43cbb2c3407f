"""LPIPS and ST-LPIPS as a training loss: the numbers of their packages, gradients, and what goes wrong with weights."""

import sys

import pytest
import torch
from basicsr.losses import build_loss
from torchvision import models

from mihatp_arch.errors import UserError
from mihatp_arch.losses import LPIPSLoss, PerceptualDistance, stlpips

needs_package = pytest.mark.skipif(
    not stlpips.has_weights("alexnet"), reason="needs: pip install stlpips-pytorch==0.0.2"
)


@pytest.fixture
def imagenet(tmp_path, monkeypatch):
    """Random weights of AlexNet and VGG16 where torchvision looks for the trained ones."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    folder = tmp_path / "hub" / "checkpoints"
    folder.mkdir(parents=True)
    for network, file in ((models.alexnet, "alexnet-owt-7be5be79.pth"), (models.vgg16, "vgg16-397923af.pth")):
        state = {key: value for key, value in network().state_dict().items() if key.startswith("features")}
        torch.save(state, folder / file)
    return folder


@pytest.fixture
def empty(tmp_path, monkeypatch):
    """No weights anywhere, and a proxy that refuses at once."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "hub"))
    for name in ("http_proxy", "https_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(stlpips, "find_spec", lambda name: None)


def pictures(size: int = 48) -> list[torch.Tensor]:
    hr = torch.rand(2, 3, size, size)
    return [(hr + 0.1 * torch.randn_like(hr)).clamp(0, 1), hr]


@pytest.mark.parametrize("net", ["alex", "vgg"])
def test_lpips_is_that_of_its_package(imagenet, net):
    from lpips import LPIPS

    theirs = LPIPS(net=net, pnet_rand=True, verbose=False).eval()
    file = next(imagenet.glob("alexnet*" if net == "alex" else "vgg16*"))
    state, slices = torch.load(file, weights_only=True), (getattr(theirs.net, f"slice{i}") for i in range(1, 6))
    for module in slices:  # its names are torchvision's indices
        own = {key: state[f"features.{key}"] for key in module.state_dict()}
        module.load_state_dict(own)
    sr, hr = pictures(64)
    with torch.no_grad():
        wanted = theirs(sr, hr, normalize=True).flatten()
        torch.testing.assert_close(PerceptualDistance(net, subject="test")(sr, hr), wanted, rtol=1e-5, atol=1e-7)
    assert wanted.min() > 1e-6


@needs_package
@pytest.mark.parametrize(("net", "expected"), [("st-alex", 0.10654886), ("st-vgg", 0.04779871)])
def test_st_lpips_gives_the_numbers_of_its_package(net, expected):
    """`stlpips.LPIPS(net=…, variant="shift_tolerant")(image, image.flip(1), normalize=True)`."""
    y, x = torch.meshgrid(torch.arange(40.0), torch.arange(48.0), indexing="ij")
    image = torch.stack([(x * 7 + y * 3) % 31 / 31, (x * 5 + y * 11) % 37 / 37, (x + y) % 13 / 13])[None]
    assert PerceptualDistance(net, subject="test")(image, image.flip(1)).item() == pytest.approx(expected, rel=1e-5)
    assert "stlpips_pytorch" not in sys.modules


@needs_package
@pytest.mark.parametrize("net", ["st-alex", "st-vgg"])
def test_distance_grows_with_noise_and_is_zero_for_equal_images(net):
    distance, (sr, hr) = PerceptualDistance(net, subject="test"), pictures()
    assert distance(hr, hr).tolist() == [0, 0]
    assert torch.all(distance(0.8 * hr + 0.2 * sr, hr) < distance(sr, hr))


@needs_package
def test_a_step_along_the_gradient_lowers_the_loss_and_the_network_stays_as_it_is():
    loss, (sr, hr) = build_loss({"type": "LPIPSLoss", "net": "st-alex", "loss_weight": 0.5}).train(), pictures()
    assert not any(module.training for module in loss.distance.modules())
    assert not any(parameter.requires_grad for parameter in loss.parameters())
    sr.requires_grad_()
    value, style = loss(sr, hr)
    assert style is None  # BasicSR's models take two terms
    assert value.item() == pytest.approx(0.5 * loss.distance(sr, hr).mean().item())
    value.backward()
    assert sr.grad is not None
    assert loss(sr.detach() - 1e-3 * sr.grad / sr.grad.abs().max(), hr)[0] < value


@needs_package
@pytest.mark.parametrize("net", ["st-alex", "st-vgg"])
def test_the_gradient_is_finite_where_no_feature_is_active(net):
    """The norm of features that are all 0 has an infinite derivative in the packages."""
    distance = PerceptualDistance(net, subject="test")
    for name, parameter in distance.body.named_parameters():
        if name == "features.0.bias":
            parameter.fill_(-100)
    sr = torch.rand(1, 3, 32, 32, requires_grad=True)
    distance(sr, torch.rand(1, 3, 32, 32)).sum().backward()
    assert sr.grad is not None and sr.grad.isfinite().all()


@needs_package
def test_fp32_under_autocast_and_random_numbers_are_left_alone():
    state = torch.get_rng_state()
    distance, (sr, hr) = PerceptualDistance("st-alex", subject="test"), pictures()
    torch.set_rng_state(state)
    plain = distance(sr, hr)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(distance(sr, hr), plain)
    PerceptualDistance("st-vgg", subject="test")
    assert torch.equal(torch.get_rng_state(), state)


@needs_package
def test_images_that_do_not_fit():
    for net, least in (("st-alex", 21), ("st-vgg", 18)):
        distance = PerceptualDistance(net, subject="LPIPSLoss")
        assert distance(*torch.rand(2, 1, 3, least, least)).isfinite().all()
        with pytest.raises(UserError, match=f"LPIPSLoss: images of {least - 1}x40 .* {net}, which needs {least}x"):
            distance(*torch.rand(2, 1, 3, least - 1, 40))
        with pytest.raises(UserError, match="needs RGB images of one shape"):
            distance(torch.rand(1, 1, 32, 32), torch.rand(1, 1, 32, 32))


def test_imagenet_networks_too_need_a_least_size(imagenet):
    for net, least in (("alex", 31), ("vgg", 16)):
        distance = PerceptualDistance(net, subject="test")
        assert distance(*torch.rand(2, 1, 3, least, least)).isfinite().all()
        with pytest.raises(UserError, match=f"needs {least}x{least}"):
            distance(*torch.rand(2, 1, 3, least - 1, least - 1))


def test_missing_and_foreign_weights_are_one_line(empty, tmp_path):
    with pytest.raises(UserError) as caught:
        LPIPSLoss(net="vgg")
    assert "of vgg16 are missing" in str(caught.value) and "\n" not in str(caught.value)
    assert "take net: st-vgg (pip install stlpips-pytorch==0.0.2)" in str(caught.value)
    with pytest.raises(UserError, match="LPIPSLoss: the weights of ST-LPIPS are missing: pip install stlpips-pytorch"):
        LPIPSLoss(net="st-vgg")
    torch.save({"features.0.weight": torch.zeros(64, 3, 3, 3)}, tmp_path / "other.pth")
    for net in ("vgg", "st-vgg", "st-alex"):
        with pytest.raises(UserError, match=r"LPIPSLoss: \S+other\.pth lacks features\.0\.\w+ and \d+ more"):
            LPIPSLoss(net=net, weights=str(tmp_path / "other.pth"))


@pytest.mark.parametrize(
    ("options", "message"),
    [({"net": "st-vgf"}, "net 'st-vgf' is unknown: did you mean 'st-vgg'"), ({"loss_weight": -1}, "not be negative")],
)
def test_wrong_options(options, message):
    with pytest.raises(UserError, match=message):
        LPIPSLoss(**options)
