"""The discriminator of the first stages: its size, the pixels that a score sees, its start."""

import pytest
import torch

from mihatp_arch.archs import NLayerDiscriminator
from mihatp_arch.errors import UserError


def test_it_has_the_published_size_and_a_score_sees_70_pixels():
    torch.manual_seed(0)
    net = NLayerDiscriminator().eval()
    assert sum(p.numel() for p in net.parameters()) == 2_765_633  # pix2pix with batch normalisation, three channels
    image = torch.rand(1, 3, 192, 192, requires_grad=True)
    scores = net(image)
    assert scores.shape == (1, 1, 22, 22)
    scores[0, 0, 11, 11].backward()
    assert image.grad is not None
    seen = image.grad.abs().sum((0, 1)).nonzero()
    assert (seen.max(0).values - seen.min(0).values + 1).tolist() == [70, 70]


def test_it_starts_as_pix2pix():
    torch.manual_seed(0)
    layers = [layer.requires_grad_(False) for layer in NLayerDiscriminator().main]
    assert layers[2].weight.std().item() == pytest.approx(0.02, rel=0.02) and layers[2].bias is None
    assert layers[3].weight.mean().item() == pytest.approx(1, abs=0.01) and not layers[3].bias.any()


def test_the_smallest_image_has_one_score():
    net = NLayerDiscriminator(num_feat=4, num_layers=2).eval()
    assert net(torch.rand(1, 3, net.smallest, net.smallest)).shape == (1, 1, 1, 1)
    with pytest.raises(RuntimeError):
        net(torch.rand(1, 3, net.smallest - 4, net.smallest))


def test_options_that_cannot_be_are_refused():
    with pytest.raises(UserError, match="num_layers of NLayerDiscriminator must be 1 or more"):
        NLayerDiscriminator(num_layers=0)
