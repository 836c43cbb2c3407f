"""SRCNN: its size, the enlargement inside, borders, any size."""

import pytest
import torch
import torch.nn.functional as F

from mihatp_arch.archs.srcnn_arch import SRCNN
from mihatp_arch.errors import UserError

SMALL = {"kernels": [5, 1, 3], "features": [8, 4]}


@pytest.mark.parametrize(("kernels", "parameters"), [((9, 5, 5), 69_251), ((9, 1, 5), 20_099)])
def test_it_has_the_number_of_parameters_of_the_paper_in_colour(kernels, parameters):
    assert sum(p.numel() for p in SRCNN(kernels=kernels).parameters()) == parameters


@pytest.mark.parametrize("upscale", [1, 2, 3, 4, 8])
@pytest.mark.parametrize("size", [(1, 1), (5, 7), (24, 24)])
def test_any_size_in_train_and_eval(upscale, size):
    net = SRCNN(**SMALL, upscale=upscale)
    x = torch.rand(1, 3, *size)
    for mode in (True, False):
        out = net.train(mode)(x)
        assert out.shape == (1, 3, size[0] * upscale, size[1] * upscale)
        assert out.isfinite().all()
    out.mean().backward()


def _pass_through(net: SRCNN) -> None:
    """Make each convolution hand on its first three channels, shifted to where ReLU leaves them alone."""
    convolutions = [layer for layer in net.layers if isinstance(layer, torch.nn.Conv2d)]
    with torch.no_grad():
        for layer in convolutions:
            layer.weight.zero_()
            layer.bias.zero_()
            for channel in range(3):
                layer.weight[channel, channel, layer.kernel_size[0] // 2, layer.kernel_size[1] // 2] = 1
        convolutions[0].bias.fill_(1)
        convolutions[-1].bias.fill_(-1)


@pytest.mark.parametrize("upscale", [2, 4, 8])
def test_convolutions_that_hand_on_give_bicubic_interpolation(upscale):
    x = torch.rand(2, 3, 6, 9)
    bicubic = F.interpolate(x, scale_factor=upscale, mode="bicubic", align_corners=False)
    assert bicubic.min() < 0 and bicubic.max() > 1  # nothing is clamped
    net = SRCNN(upscale=upscale)
    _pass_through(net)
    torch.testing.assert_close(net(x), bicubic, atol=1e-5, rtol=0)
    net.residual = True
    torch.testing.assert_close(net(x), 2 * bicubic, atol=1e-5, rtol=0)


def test_a_uniform_image_has_no_border():
    out = SRCNN(upscale=2)(torch.full((1, 3, 12, 12), 0.7))
    torch.testing.assert_close(out, out[..., :1, :1].expand_as(out), atol=1e-5, rtol=0)


def test_the_receptive_field_is_that_of_the_kernels():
    net = SRCNN(upscale=1)
    x = torch.zeros(1, 3, 41, 41, requires_grad=True)
    net(x)[0, :, 20, 20].sum().backward()
    rows = x.grad.abs().sum((0, 1, 3)).nonzero().flatten()
    assert (rows.min(), rows.max()) == (20 - 8, 20 + 8)  # 9-5-5: 17×17


@pytest.mark.parametrize("residual", [False, True])
def test_every_parameter_gets_a_gradient_and_a_step_lowers_the_loss(residual):
    net = SRCNN(upscale=2, residual=residual)
    optimizer = torch.optim.Adam(net.parameters(), lr=1e-4)
    x, y = torch.rand(2, 3, 8, 8), torch.rand(2, 3, 16, 16)
    losses = []
    for _ in range(5):
        optimizer.zero_grad()
        loss = F.l1_loss(net(x), y)
        loss.backward()
        assert [n for n, p in net.named_parameters() if p.grad is None or p.grad.abs().max() == 0] == []
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0]


def test_its_weights_load_strictly():
    one, other = SRCNN(**SMALL), SRCNN(**SMALL)
    other.load_state_dict(one.state_dict(), strict=True)
    x = torch.rand(1, 3, 5, 7)
    assert torch.equal(one(x), other(x))


def test_bf16_autocast_stays_close():
    net = SRCNN().eval()
    x = torch.rand(1, 3, 16, 16)
    with torch.no_grad():
        full = net(x)
        with torch.autocast("cpu", torch.bfloat16):
            half = net(x)
    assert half.dtype == torch.bfloat16
    assert (full - half.float()).abs().max() < 0.02


@pytest.mark.parametrize(
    "options",
    [
        {"upscale": 0},
        {"kernels": [9, 5]},
        {"features": [64]},
        {"kernels": [9, 4, 5]},
        {"kernels": [9, -1, 5]},
        {"features": [64, 0]},
        {"in_chans": 0},
        {"kernels": [], "features": []},
    ],
)
def test_options_that_do_not_fit_are_refused(options):
    with pytest.raises(UserError, match="network: "):
        SRCNN(**options)


def test_misspelt_option_is_an_error():
    with pytest.raises(TypeError, match="kernel_sizes"):
        SRCNN(kernel_sizes=[9, 5, 5])
