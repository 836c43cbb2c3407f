"""SHISRCNet's SR module: its size, the selection, dilations, batch normalisation, any size."""

import pytest
import torch
from torch import nn

from mihatp_arch.archs.shisrcnet_arch import BatchNorm, MFEBlock, SHISRCNet
from mihatp_arch.errors import UserError

SMALL = {"num_feat": 8, "num_blocks": 2}


@pytest.mark.parametrize(("upscale", "parameters"), [(2, 733_120), (4, 880_832), (8, 1_028_544)])
def test_it_has_the_number_of_parameters_of_the_authors_code(upscale, parameters):
    assert sum(p.numel() for p in SHISRCNet(upscale=upscale).parameters()) == parameters


@pytest.mark.parametrize(("upscale", "size"), [(4, (1, 1)), (4, (5, 7)), (4, (24, 24)), (2, (5, 7)), (8, (5, 7))])
@pytest.mark.parametrize("batch", [1, 2])
def test_any_size_in_train_and_eval(upscale, size, batch):
    """Each size at one scale, each scale at one size: upsampling does not depend on the size."""
    net = SHISRCNet(**SMALL, upscale=upscale)
    x = torch.rand(batch, 3, *size)
    for mode in (True, False):
        out = net.train(mode)(x)
        assert out.shape == (batch, 3, size[0] * upscale, size[1] * upscale)
        assert out.isfinite().all()
        out.mean().backward()


def test_the_selection_sums_to_one_in_every_channel():
    block = MFEBlock(8, (1, 2, 4, 8))
    ys = [torch.randn(3, 8, 5, 7) * 10 for _ in range(4)]
    for mode in (True, False):
        weights = block.train(mode).select(ys)
        assert weights.shape == (4, 3, 8, 1, 1)
        torch.testing.assert_close(weights.sum(0), torch.ones(3, 8, 1, 1))
        assert weights.min() > 0.15  # sigmoid(ReLU) lies between 0.5 and 1, softmax of four of these in 0.168 … 0.355
        assert weights.max() < 0.36
        assert weights.std() > 0


def test_a_block_is_its_equations():
    """Against the sum written out, in evaluation, where no normalisation moves."""
    block = MFEBlock(4, (1, 2, 4, 8)).eval()
    for module in block.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.running_mean, -0.1, 0.1)
            nn.init.uniform_(module.running_var, 0.5, 2)
    x = torch.randn(2, 4, 9, 11)
    y0 = block.extract[0](x)
    y1 = block.extract[1](y0 + x)
    y2 = block.extract[2](y1 + x)
    y3 = block.extract[3](y2 + x)
    pooled = [gate(y.mean((2, 3), keepdim=True)) for gate, y in zip(block.gates, (y0, y1, y2, y3), strict=True)]
    e0, e1, e2, e3 = (one.sigmoid().exp() for one in pooled)
    mixed = (e0 * y0 + e1 * y1 + e2 * y2 + e3 * y3) / (e0 + e1 + e2 + e3)
    torch.testing.assert_close(block(x), block.project(mixed + x))


@pytest.mark.parametrize(("rates", "reach"), [((1,), 1), ((2, 4), 6), ((1, 2, 4, 8), 15)])
def test_a_block_reaches_as_far_as_its_dilations_together(rates, reach):
    block = MFEBlock(4, rates).eval()
    with torch.no_grad():
        for name, parameter in block.named_parameters():
            parameter.fill_(0.0 if "gates" in name else 0.1)  # gates see the whole image; positive: past every ReLU
    x = torch.ones(1, 4, 41, 41, requires_grad=True)
    block(x)[0, :, 20, 20].sum().backward()
    for axes in ((0, 1, 3), (0, 1, 2)):
        seen = x.grad.abs().sum(axes).nonzero().flatten()
        assert (seen.min(), seen.max()) == (20 - reach, 20 + reach)


def test_every_parameter_gets_a_gradient():
    net = SHISRCNet(**SMALL, upscale=2)
    net(torch.rand(4, 3, 12, 12))  # running statistics
    net.eval()  # in training the bias of a gate is normalised away
    net(torch.rand(4, 3, 12, 12)).square().mean().backward()
    assert [n for n, p in net.named_parameters() if p.grad is None or p.grad.abs().max() == 0] == []


def test_evaluation_uses_the_running_statistics_and_leaves_them():
    net = SHISRCNet(**SMALL, upscale=2)
    x = torch.rand(4, 3, 12, 12)
    before = net.state_dict()["body.0.extract.0.1.running_mean"].clone()
    net.train()(x)
    after = {key: value.clone() for key, value in net.state_dict().items()}
    assert not torch.equal(before, after["body.0.extract.0.1.running_mean"])
    net.eval()
    torch.testing.assert_close(net(x)[:1], net(x[:1]))  # an image does not depend on its neighbours
    assert all(torch.equal(value, after[key]) for key, value in net.state_dict().items())


def test_batch_normalisation_is_pytorchs_where_there_is_a_batch():
    ours, theirs = BatchNorm(4), nn.BatchNorm2d(4)
    for size in ((2, 4, 1, 1), (1, 4, 1, 2), (3, 4, 5, 6)):
        x = torch.randn(size)
        assert torch.equal(ours(x), theirs(x))
    assert all(torch.equal(a, b) for a, b in zip(ours.state_dict().values(), theirs.state_dict().values(), strict=True))
    before = ours.running_mean.clone()
    one = torch.randn(1, 4, 1, 1)
    with pytest.raises(ValueError, match="more than 1 value"):
        theirs(one)
    torch.testing.assert_close(ours(one), theirs.eval()(one))
    assert torch.equal(ours.running_mean, before)


def test_its_weights_load_strictly():
    one, other = SHISRCNet(**SMALL), SHISRCNet(**SMALL)
    one(torch.rand(2, 3, 8, 8))
    other.load_state_dict(one.state_dict(), strict=True)
    x = torch.rand(1, 3, 5, 7)
    assert torch.equal(one.eval()(x), other.eval()(x))


@pytest.mark.parametrize("mode", [True, False])
def test_bf16_autocast_stays_close(mode):
    net = SHISRCNet(upscale=2).train(mode)
    x = torch.rand(4, 3, 16, 16)
    with torch.no_grad():
        full = net(x)
        with torch.autocast("cpu", torch.bfloat16):
            half = net(x)
            assert net(x[:1, :, :1, :1]).isfinite().all()
    assert (full - half.float()).abs().max() < 0.02


@pytest.mark.parametrize(
    "options",
    [
        {"upscale": 1},
        {"upscale": 3},
        {"upscale": 6},
        {"upscale": -2},
        {"rates": []},
        {"rates": [1, 0]},
        {"num_blocks": 0},
        {"num_feat": 0},
    ],
)
def test_options_that_do_not_fit_are_refused(options):
    with pytest.raises(UserError, match="network: "):
        SHISRCNet(**options)


def test_misspelt_option_is_an_error():
    with pytest.raises(TypeError, match="rate"):
        SHISRCNet(rate=[1, 2])
