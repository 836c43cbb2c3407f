"""HAT: the official network's numbers, its checkpoints, any size."""

import json
from functools import partial

import numpy as np
import pytest
import torch
from basicsr.utils.matlab_functions import imresize
from torch.nn import functional as F

from mihatp_arch.archs.hat_arch import HAT, pad_to_multiple
from mihatp_arch.archs.layers.windows import MASKED
from mihatp_arch.archs.mihatp_arch import MiHATP
from mihatp_arch.errors import UserError

TINY = {"embed_dim": 12, "depths": [2, 2], "num_heads": [2, 2], "window_size": 4, "squeeze_factor": 4}


def test_paper_size_has_the_published_number_of_parameters():
    with torch.device("meta"):
        assert sum(p.numel() for p in HAT(upscale=4).parameters()) == 20_772_507


@pytest.mark.parametrize("fused", [True, False])
def test_golden_output_of_the_official_network(shared, fused):
    golden = np.load(shared / "golden" / "hat_tiny_golden.npz")
    net = HAT(**json.loads(str(golden["config"])), fused_attn=fused).eval()
    state = {k.removeprefix("state/"): torch.from_numpy(golden[k]) for k in golden.files if k.startswith("state/")}
    assert state["relative_position_index_OCA"].min() < 0
    net.load_state_dict(state, strict=True)
    with torch.no_grad():
        error = (net(torch.from_numpy(golden["input"])) - torch.from_numpy(golden["output"])).abs().max()
    assert error < 1e-5
    assert net.relative_position_index_OCA.min() >= 0


@pytest.mark.parametrize("window", [4, 8])
@pytest.mark.parametrize("upscale", [2, 3, 4])
def test_equals_spandrels_hat_on_random_weights(window, upscale):
    peer_module = pytest.importorskip("spandrel.architectures.HAT.__arch.HAT")
    options = {
        "embed_dim": 24,
        "depths": (2, 2),
        "num_heads": (2, 3),
        "window_size": window,
        "squeeze_factor": 6,
        "mlp_ratio": 2.0,
        "upscale": upscale,
    }
    peer = peer_module.HAT(**options, upsampler="pixelshuffle", drop_path_rate=0.0).eval()
    with torch.no_grad():
        for parameter in peer.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.05)
    net = HAT(**options).eval()
    net.load_state_dict(peer.state_dict(), strict=True)
    with torch.no_grad():
        for size in ((window, window), (2 * window, 3 * window), (5 * window, window)):
            x = torch.rand(2, 3, *size)
            torch.testing.assert_close(net(x), peer(x), atol=1e-5, rtol=1e-5)
    peer.load_state_dict(net.state_dict(), strict=True)


@pytest.mark.parametrize("shape", [(2, 3, 10, 9), (1, 3, 32, 32)])  # padded; large enough for every fast way
def test_fused_and_plain_have_the_same_gradients(shape):
    fused, plain = HAT(**TINY, drop_path_rate=0.0), HAT(**TINY, drop_path_rate=0.0, fused_attn=False)
    plain.load_state_dict(fused.state_dict())
    x = torch.rand(shape)
    for net in (fused, plain):
        net(x).square().mean().backward()
    for (name, a), b in zip(fused.named_parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(a.grad, b.grad, atol=1e-6, rtol=1e-4, msg=lambda m, name=name: f"{name}: {m}")


@pytest.mark.parametrize(
    ("upscale", "size"),
    [(4, (1, 1)), (4, (7, 5)), (4, (24, 24)), (4, (33, 50)), (2, (7, 5)), (3, (7, 5)), (8, (7, 5))],
)
def test_any_size_in_train_and_eval(upscale, size):
    """Each size at one scale, each scale at one size: padding and upsampling do not depend on each other."""
    net = HAT(**TINY, upscale=upscale)
    x = torch.rand(2, 3, *size)
    for mode in (True, False):
        out = net.train(mode)(x)
        assert out.shape == (2, 3, size[0] * upscale, size[1] * upscale)
        assert out.isfinite().all()
    out.mean().backward()


@pytest.mark.parametrize("upscale", [2, 3, 8])
def test_direct_upsampler_is_one_convolution(upscale):
    net = HAT(**TINY, upscale=upscale, upsampler="pixelshuffledirect")
    assert net(torch.rand(1, 3, 5, 6)).shape == (1, 3, 5 * upscale, 6 * upscale)
    assert {k for k in net.state_dict() if "upsample" in k or "conv_last" in k} == {
        "upsample.0.weight",
        "upsample.0.bias",
    }


@pytest.mark.parametrize("size", [(1, 1), (2, 3), (4, 4), (5, 30)])
def test_padding_reflects_and_then_repeats(size):
    x = torch.arange(size[0] * size[1], dtype=torch.float32).view(1, 1, *size)
    padded = pad_to_multiple(x, 8)
    assert padded.shape[-2] % 8 == padded.shape[-1] % 8 == 0
    assert torch.equal(padded[..., : size[0], : size[1]], x)
    if size == (5, 30):
        assert torch.equal(padded, torch.nn.functional.pad(x, (0, 2, 0, 3), "reflect"))


def test_drop_path_is_random_in_training_only():
    net = HAT(**TINY, drop_path_rate=0.9)
    x = torch.rand(8, 3, 8, 8)
    assert not torch.equal(net.train()(x), net(x))
    assert torch.equal(net.eval()(x), net(x))


def test_every_parameter_gets_a_gradient():
    net = HAT(**{**TINY, "squeeze_factor": 1}, drop_path_rate=0.0)  # 12 units: no layer of dead ReLUs
    net(torch.rand(1, 3, 12, 12)).square().mean().backward()
    assert [n for n, p in net.named_parameters() if p.grad is None or p.grad.abs().max() == 0] == []


def test_bf16_autocast_stays_close():
    net = HAT(**TINY).eval()
    x = torch.rand(1, 3, 16, 16)
    with torch.no_grad():
        full = net(x)
        with torch.autocast("cpu", torch.bfloat16):
            half = net(x)
    assert (full - half.float()).abs().max() < 0.02


@pytest.mark.parametrize(
    "options",
    [
        {"embed_dim": 13},
        {"depths": [2]},
        {"upscale": 5},
        {"squeeze_factor": 30},
        {"window_size": 1},
        {"overlap_ratio": 0.25},
        {"upsampler": "nearest+conv"},
        {"depths": [], "num_heads": []},
        {"depths": [2, -1]},
        {"num_heads": [2, 0]},
        {"overlap_ratio": -0.5},
        {"drop_path_rate": 1.0},
    ],
)
def test_options_that_do_not_fit_are_refused(options):
    with pytest.raises(UserError, match="network: "):
        HAT(**{**TINY, **options})


def test_misspelt_option_is_an_error():
    with pytest.raises(TypeError, match="upsamplerr"):
        HAT(**TINY, upsamplerr="pixelshuffle")


def test_mask_value_hides_a_score():
    assert torch.tensor([0.0, MASKED + 20]).softmax(0)[1] < 1e-30


@pytest.mark.parametrize("network", [HAT, partial(MiHATP, sample_grid=4)])
@pytest.mark.parametrize("upsampler", ["pixelshuffle", "pixelshuffledirect"])
def test_an_untrained_network_with_a_global_skip_is_bicubic_interpolation(network, upsampler):
    net = network(
        img_size=8,
        window_size=4,
        embed_dim=12,
        depths=[1],
        num_heads=[2],
        squeeze_factor=4,
        upsampler=upsampler,
        global_skip=True,
    )
    lq = torch.rand(2, 3, 9, 10)
    out = net(lq)
    torch.testing.assert_close(out, F.interpolate(lq, scale_factor=4, mode="bicubic", antialias=True))
    inner = out[1, 0, 12:-12, 12:-12].detach().numpy()
    expected = imresize(lq[1].permute(1, 2, 0).numpy(), 4)[12:-12, 12:-12, 0]  # MATLAB's; the borders differ
    np.testing.assert_allclose(inner, expected, atol=1e-5)
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.add_(0.01 * torch.randn_like(parameter))
    (net(lq) - 0.5).abs().mean().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in net.parameters())
