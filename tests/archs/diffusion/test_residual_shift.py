"""ResShift's diffusion: the schedule, the chain back from an oracle, its marginals, time steps of each sample's own."""

import pytest
import torch

from mihatp_arch.archs.diffusion.residual_shift import ResidualShift
from mihatp_arch.errors import UserError

ROOTS_15 = [0.02, 0.11717, 0.1763, 0.23363, 0.29157, 0.35101, 0.41236, 0.47586, 0.54167, 0.60991, 0.68066]
ROOTS_15 += [0.75399, 0.82995, 0.90861, 0.99]
ROOTS_4 = [0.1, 0.5201, 0.76138, 0.99]
T4 = {"steps": 4, "min_noise": 0.2}
JUST_KAPPA_BELOW_1 = {"kappa": 0.5, "min_noise": 0.1}  # √η_1 is m then, not m / κ


def step(number, batch=2):
    """Time step `number` for a whole batch."""
    return torch.full((batch,), number)


def images(batch=2):
    return [torch.randn(batch, 3, 4, 5) for _ in range(3)]


@pytest.mark.parametrize(("options", "roots"), [({}, ROOTS_15), (T4, ROOTS_4)])
def test_the_schedule_is_the_authors(options, roots):
    chain = ResidualShift(**options)
    torch.testing.assert_close(chain.eta.sqrt(), torch.tensor(roots), atol=6e-6, rtol=0)
    assert chain.steps == len(roots)
    assert chain.eta.dtype == torch.float32
    assert (chain.eta.diff() > 0).all()


def test_below_kappa_1_the_schedule_starts_at_m():
    assert ResidualShift(**JUST_KAPPA_BELOW_1).eta[0].sqrt() == pytest.approx(0.1)


def test_shift_and_prior_and_input_are_their_equations():
    chain = ResidualShift()
    x0, y0, noise = images()
    for t in (0, 7, 14):
        eta = ROOTS_15[t] ** 2
        expected = x0 + eta * (y0 - x0) + 2 * ROOTS_15[t] * noise
        torch.testing.assert_close(chain.shift(x0, y0, step(t), noise), expected, atol=1e-4, rtol=0)
        expected = x0 / (4 * eta + 1) ** 0.5
        torch.testing.assert_close(chain.scale_input(x0, step(t)), expected, atol=1e-4, rtol=0)
    torch.testing.assert_close(chain.prior(y0, noise), y0 + 1.98 * noise)


@pytest.mark.parametrize("options", [{}, T4, JUST_KAPPA_BELOW_1, {"steps": 2}])
def test_with_an_oracle_the_sampling_ends_in_the_target(options):
    chain = ResidualShift(**options)
    x0, y0, noise = images()
    x = chain.prior(y0, noise)
    for t in reversed(range(chain.steps)):
        mean, deviation = chain.posterior(x, x0, step(t))
        assert deviation.shape == (2, 1, 1, 1)
        assert (deviation == 0).all() if t == 0 else (deviation > 0).all()
        x = mean + deviation * torch.randn_like(x)
    assert torch.equal(x, x0)


@pytest.mark.parametrize("options", [{}, T4, JUST_KAPPA_BELOW_1, {"steps": 2}])
def test_the_chain_back_keeps_the_marginals_of_the_chain_forth(options):
    """Composed without sampling: a step back maps N(m, v) to N(μ(m), k² v + σ²), with k the slope of μ in x_t."""
    chain = ResidualShift(**options)
    x0, y0 = torch.tensor([[0.3], [-1.2]]), torch.tensor([[1.1], [0.4]])
    zero = torch.zeros_like(x0)
    last = chain.steps - 1
    mean, variance = chain.shift(x0, y0, step(last), zero), chain.kappa**2 * chain.eta[last]
    for t in range(last, 0, -1):
        slope = chain.posterior(zero + 1, zero, step(t))[0]
        mean, deviation = chain.posterior(mean, x0, step(t))
        variance = slope**2 * variance + deviation**2
        torch.testing.assert_close(mean, x0 + chain.eta[t - 1] * (y0 - x0), atol=1e-5, rtol=0)
        torch.testing.assert_close(variance, (zero + 1) * chain.kappa**2 * chain.eta[t - 1], atol=1e-5, rtol=0)


def test_every_sample_has_a_time_step_of_its_own():
    chain = ResidualShift(**T4)
    x0, y0, noise = images(3)
    t = torch.tensor([3, 0, 2])
    shifted = chain.shift(x0, y0, t, noise)
    mean, deviation = chain.posterior(noise, x0, t)
    scaled = chain.scale_input(noise, t)
    for i in range(3):
        one = slice(i, i + 1)
        assert torch.equal(shifted[one], chain.shift(x0[one], y0[one], t[one], noise[one]))
        assert torch.equal(scaled[one], chain.scale_input(noise[one], t[one]))
        alone, spread = chain.posterior(noise[one], x0[one], t[one])
        assert torch.equal(mean[one], alone)
        assert torch.equal(deviation[one], spread)


def test_it_adds_nothing_to_a_checkpoint():
    assert not ResidualShift().state_dict()


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"steps": 1}, "network: steps 1 is too few; ResShift needs 2 or more"),
        ({"steps": 0}, "network: steps 0 is too few; ResShift needs 2 or more"),
        ({"steps": -3}, "network: steps -3 is too few; ResShift needs 2 or more"),
        ({"kappa": 0}, "network: kappa 0 "),
        ({"kappa": float("nan")}, "network: kappa nan "),
        ({"min_noise": 0}, "network: min_noise 0 "),
        ({"min_noise": -0.1}, "network: min_noise -0.1 "),
        ({"min_noise": 1.98}, "network: min_noise 1.98 "),
        ({"max_root": 0}, "network: max_root 0 "),
        ({"max_root": 1.5}, "network: max_root 1.5 "),
        ({"power": 0}, "network: power 0 "),
    ],
)
def test_options_that_do_not_fit_are_refused(options, says):
    with pytest.raises(UserError) as refused:
        ResidualShift(**options)
    assert str(refused.value).startswith(says)
    assert "\n" not in str(refused.value)


def test_misspelt_option_is_an_error():
    with pytest.raises(TypeError, match="etas_end"):
        ResidualShift(etas_end=0.99)
