"""The consistency projection Π: exact, idempotent, nearest, with the gradient of a projection."""

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st

from mihatp_arch.archs.hat_arch import HAT
from mihatp_arch.archs.layers.consistency import project
from mihatp_arch.archs.mihatp_arch import MiHATP

SMALL = {"embed_dim": 8, "depths": [1], "num_heads": [2], "window_size": 4, "squeeze_factor": 4}


@st.composite
def pairs(draw):
    """HR and an image x of its size, both [B, C, k·H, k·W] in fp64, and k."""
    k = draw(st.sampled_from([1, 2, 3, 4, 8]))
    shape = (draw(st.integers(1, 2)), draw(st.integers(1, 3)), k * draw(st.integers(1, 5)), k * draw(st.integers(1, 5)))
    generator = torch.Generator().manual_seed(draw(st.integers(0, 2**32)))
    hr = torch.rand(shape, generator=generator, dtype=torch.float64)
    error = torch.randn(shape, generator=generator, dtype=torch.float64) + torch.randn((), generator=generator)
    return hr, hr + draw(st.sampled_from([0.0, 0.001, 0.1, 10.0])) * error, k


@given(pairs())
def test_the_block_means_are_lr(images):
    hr, x, k = images
    lr = F.avg_pool2d(hr, k)
    assert F.avg_pool2d(project(x, lr), k).sub(lr).abs().max() < 1e-13
    single = project(x.float(), lr.float())
    assert single.dtype == torch.float32
    assert F.avg_pool2d(single.double(), k).sub(lr).abs().max() < 4e-7 * max(1, x.abs().max())


@given(pairs())
def test_it_is_idempotent(images):
    hr, x, k = images
    lr = F.avg_pool2d(hr, k)
    once = project(x, lr)
    assert torch.allclose(project(once, lr), once, rtol=0, atol=1e-13)


@given(pairs())
def test_it_is_never_farther_from_hr_and_by_how_much(images):
    hr, x, k = images
    lr = F.avg_pool2d(hr, k)
    before, after = (x - hr).square().sum(), (project(x, lr) - hr).square().sum()
    assert after <= before * (1 + 1e-12)
    gained = k**2 * (lr - F.avg_pool2d(x, k)).square().sum()
    assert torch.isclose(before - after, gained, rtol=1e-9, atol=1e-12)


@given(pairs())
def test_lr_of_8_bits_costs_its_rounding_at_most(images):
    hr, x, k = images
    lr = F.avg_pool2d(hr, k)
    rounded = (lr * 255 + 0.5).floor() / 255
    before, after = (x - hr).square().mean(), (project(x, rounded) - hr).square().mean()
    bound = (rounded - lr).square().mean()
    assert bound <= (0.5 / 255) ** 2 * (1 + 1e-9)  # a quarter of a squared grey level
    assert after <= before + bound + 1e-15


@given(pairs())
def test_clamping_afterwards_comes_nearer_still(images):
    hr, x, k = images
    projected = project(x, F.avg_pool2d(hr, k))
    assert (projected.clamp(0, 1) - hr).square().sum() <= (projected - hr).square().sum()


def test_the_mean_of_a_clamped_block_is_not_lr():
    x = project(torch.tensor([[-1.0, 0.5], [0.5, 0.5]]).view(1, 1, 2, 2), torch.full((1, 1, 1, 1), 0.25))
    assert x.mean() == 0.25
    assert x.clamp(0, 1).mean() > 0.25


@given(pairs())
def test_its_gradient_is_projected_onto_the_null_space(images):
    hr, x, k = images
    x.requires_grad_()
    weights = torch.randn(x.shape, dtype=torch.float64)
    (project(x, F.avg_pool2d(hr, k)) * weights).sum().backward()
    assert x.grad is not None
    assert F.avg_pool2d(x.grad, k).abs().max() < 1e-13
    expected = weights - F.interpolate(F.avg_pool2d(weights, k), scale_factor=k)
    assert torch.allclose(x.grad, expected, rtol=0, atol=1e-13)


def test_it_is_computed_in_fp32_under_autocast():
    x, lr = torch.rand(1, 3, 8, 8).bfloat16(), torch.rand(1, 3, 2, 2)
    with torch.autocast("cpu", torch.bfloat16):
        projected = project(x, lr)
    assert projected.dtype == torch.float32
    assert torch.allclose(F.avg_pool2d(projected, 4), lr, rtol=0, atol=4e-7)


@pytest.mark.parametrize("shape", [(1, 3, 8, 9), (1, 3, 9, 8), (1, 1, 8, 8), (2, 3, 8, 8), (1, 3, 1, 1), (1, 3, 8, 4)])
def test_an_image_that_is_no_multiple_of_lr_is_refused(shape):
    with pytest.raises(ValueError, match="no whole multiple"):
        project(torch.rand(shape), torch.rand(1, 3, 2, 2))


@pytest.mark.parametrize("network", [HAT, MiHATP])
@pytest.mark.parametrize("upscale", [2, 4])
def test_a_network_ends_in_the_projection_of_its_own_output(network, upscale):
    plain, consistent = (network(upscale=upscale, consistency=on, **SMALL).eval() for on in (False, True))
    assert consistent.load_state_dict(plain.state_dict()) == ([], [])
    lr = torch.rand(1, 3, 7, 10)
    with torch.no_grad():
        sr = consistent(lr)
        assert torch.equal(sr, project(plain(lr), lr))
    assert torch.allclose(F.avg_pool2d(sr, upscale), lr, rtol=0, atol=1e-6)


def test_a_training_step_goes_through_the_projection():
    network = HAT(upscale=4, consistency=True, **SMALL)
    hr = torch.rand(2, 3, 16, 16)
    (network(F.avg_pool2d(hr, 4)) - hr).abs().mean().backward()
    gradients = [parameter.grad for parameter in network.parameters()]
    assert all(gradient is not None and gradient.isfinite().all() for gradient in gradients)
    assert any(gradient.abs().max() > 0 for gradient in gradients)
