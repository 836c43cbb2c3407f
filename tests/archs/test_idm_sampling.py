"""IDM: its noise schedule, and how an image is sampled."""

import pytest
import torch
from helpers.small_idm import small

from mihatp_arch.archs.diffusion.base import ImageNoise
from mihatp_arch.archs.idm_arch import alpha_products


def test_a_sample_is_its_images_own():
    net = small(eta=1.0, upscale=2)
    lq = torch.rand(3, 3, 6, 7)
    torch.manual_seed(1)
    together = net(lq)
    torch.manual_seed(2)
    assert torch.equal(together, net(lq))
    torch.testing.assert_close(net(lq.flip(0)).flip(0), together, atol=1e-5, rtol=0)
    torch.testing.assert_close(torch.cat([net(one[None]) for one in lq]), together, atol=1e-5, rtol=0)


def test_seed_and_eta_change_a_sample():
    net = small(upscale=2)
    lq = torch.rand(1, 3, 6, 6)
    first = net(lq)
    net.seed = 1
    assert (net(lq) - first).abs().max() > 0.01
    net.seed, net.eta = 0, 1.0
    again = net(lq)
    assert (again - first).abs().max() > 0.01
    assert torch.equal(again, net(lq))


def test_the_schedule_is_its_products():
    alphas = alpha_products(2000, 1e-6, 1e-2)
    assert alphas.shape == (2001,)
    assert alphas[0] == 1
    product = 1.0
    for t in range(2000):
        product *= 1 - (1e-6 + t * (1e-2 - 1e-6) / 1999)
    assert alphas[-1].item() == pytest.approx(product, rel=1e-9)
    assert alphas[1].item() == pytest.approx(1 - 1e-6, abs=1e-12)
    net = small(timesteps=2000)
    torch.testing.assert_close(net.gamma, alphas.sqrt().float())
    torch.testing.assert_close(net.scheduler.alphas_cumprod, alphas[1:])
    assert net.scheduler.final_alpha_cumprod == 1


def test_noise_levels_lie_between_those_of_neighbouring_steps():
    net = small(timesteps=2, steps=1, beta_start=0.1, beta_end=0.5)
    gamma = net.noise_levels(4000)
    one, two = 0.9**0.5, 0.45**0.5
    assert gamma.min() == pytest.approx(two, abs=0.01)
    assert gamma.max() == pytest.approx(1, abs=0.01)
    assert (gamma > one).float().mean() == pytest.approx(0.5, abs=0.05)  # t = 1 and t = 2 are as likely
    assert gamma[gamma > one].mean() == pytest.approx((1 + one) / 2, abs=0.01)
    assert len(small().noise_levels(8).unique()) == 8


@pytest.mark.parametrize("eta", [0.0, 1.0])
def test_the_true_noise_leads_to_the_true_image(eta, monkeypatch):
    net = small(upscale=2, eta=eta, timesteps=200, steps=50)
    x0 = torch.rand(2, 3, 12, 16) * 2 - 1

    def epsilon(x_t, gamma, condition):
        level = gamma[:, None, None, None].double()
        return ((x_t.double() - level * x0) / (1 - level**2).sqrt()).float()

    monkeypatch.setattr(net, "epsilon", epsilon)
    torch.testing.assert_close(net(torch.rand(2, 3, 6, 8)), x0 / 2 + 0.5, atol=1e-4, rtol=0)


def test_all_steps_with_eta_1_are_those_of_sr3(monkeypatch):
    """Against the posterior q(x_{t-1} | x_t, x_0) with x_0 clipped, its own variance, and none at the last step."""
    net = small(upscale=2, eta=1.0, timesteps=6, steps=6, beta_start=0.01, beta_end=0.6)
    lq = torch.rand(1, 3, 6, 6)
    seen = []

    def epsilon(x_t, gamma, condition):
        seen.append((x_t, gamma))
        return torch.tanh(3 * x_t + 1)

    monkeypatch.setattr(net, "epsilon", epsilon)
    last = net.denoise(lq, ImageNoise(lq, 5), iter)
    noise = ImageNoise(lq, 5)
    beta, alphas = torch.linspace(0.01, 0.6, 6, dtype=torch.float64), alpha_products(6, 0.01, 0.6)
    x = noise(3, 12, 12)
    for t, (x_t, gamma) in zip(range(6, 0, -1), seen, strict=True):
        torch.testing.assert_close(x_t, x, atol=1e-5, rtol=0)
        assert gamma.item() == pytest.approx(alphas[t].sqrt().item())
        x0 = ((x - (1 - alphas[t]).sqrt() * torch.tanh(3 * x + 1)) / alphas[t].sqrt()).clamp(-1, 1)
        share = 1 - alphas[t]
        mean = (
            alphas[t - 1].sqrt() * beta[t - 1] / share * x0 + (1 - beta[t - 1]).sqrt() * (1 - alphas[t - 1]) / share * x
        )
        x = mean + ((1 - alphas[t - 1]) / share * beta[t - 1]).sqrt() * noise(3, 12, 12)
    torch.testing.assert_close(last, x, atol=1e-5, rtol=0)


def test_fewer_steps_start_at_t_and_are_spread_evenly(monkeypatch):
    net = small(upscale=2)
    told = []
    monkeypatch.setattr(net, "epsilon", lambda x_t, gamma, condition: told.append(gamma) or x_t)
    net(torch.rand(2, 3, 6, 6))
    torch.testing.assert_close(torch.stack(told), net.gamma[[50, 40, 30, 20, 10]][:, None].expand(5, 2))


def test_the_condition_is_made_once_for_all_steps(monkeypatch):
    net = small(upscale=2)
    calls = []
    whole = net.condition
    monkeypatch.setattr(net, "condition", lambda *args: calls.append(args[1:]) or whole(*args))
    net(torch.rand(1, 3, 6, 6))
    assert calls == [((12, 12), 1.0)]
