"""What all diffusion methods share: samples that are an image's own, padding, refusals, DDIM."""

import pytest
import torch
from helpers.diffusion import FIRST_STAGE, SMALL, build
from torch import nn

from mihatp_arch.archs.diffusion.base import ImageNoise
from mihatp_arch.archs.ldm_arch import LDM
from mihatp_arch.errors import UserError

METHODS = tuple(SMALL)


def test_noise_belongs_to_the_image_and_the_seed():
    lq = torch.rand(3, 3, 5, 7)
    noise = ImageNoise(lq, 0)
    first, second = noise(2, 4), noise(2, 4)
    assert first.shape == (3, 2, 4) and not torch.equal(first, second)
    swapped = ImageNoise(lq[[2, 0]], 0)
    assert torch.equal(swapped(2, 4), first[[2, 0]]) and torch.equal(swapped(2, 4), second[[2, 0]])
    assert not torch.equal(ImageNoise(lq, 1)(2, 4), first)
    assert not torch.equal(ImageNoise(lq.transpose(2, 3), 0)(2, 4), first)
    large = ImageNoise(lq, 0)(100, 100)
    assert large.mean().abs() < 0.02 and (large.std() - 1).abs() < 0.02


@pytest.mark.parametrize("upscale", [2, 4, 8])
@pytest.mark.parametrize("method", METHODS)
def test_a_sample_depends_on_its_image_alone(method, upscale):
    """Not on the batch, its order, or the state of torch's own generator; sizes that are not legal are padded."""
    net = build(method, upscale=upscale)
    lq = torch.rand(3, 3, 9, 10)
    before = torch.get_rng_state()
    with torch.no_grad():
        batch = net(lq)
        assert batch.shape == (3, 3, 9 * upscale, 10 * upscale)
        assert batch.min() >= 0 and batch.max() <= 1 and batch.std() > 0.01
        torch.rand(5)
        torch.testing.assert_close(net(lq[[2, 0]]), batch[[2, 0]], atol=1e-4, rtol=0)
        assert torch.equal(net(lq), batch)
    torch.set_rng_state(before)
    net.seed = 1
    assert not torch.allclose(net(lq), batch, atol=1e-3)


@pytest.mark.parametrize("method", METHODS)
def test_the_mean_of_samples_is_that_of_their_seeds(method):
    lq = torch.rand(2, 3, 9, 10)
    single = torch.stack([build(method, seed=seed)(lq) for seed in (3, 4, 5)])
    mean = build(method, seed=3, samples=3)(lq)
    torch.testing.assert_close(mean, single.mean(0))
    assert torch.equal(mean, build(method, seed=3, samples=3)(lq))
    assert torch.equal(build(method, seed=3, samples=1)(lq), single[0])
    # The error of the mean is at most the mean error, for any HR.
    hr = torch.rand_like(mean)
    assert (mean - hr).square().mean() <= (single - hr).square().mean()
    with pytest.raises(UserError, match="samples 0: the mean needs at least one"):
        build(method, samples=0)


@pytest.mark.parametrize("method", METHODS)
def test_a_legal_image_is_not_padded(method):
    """The network sees nothing of a border beyond the image."""
    net = build(method, upscale=2)
    side = net.multiple * 2
    sizes = []
    denoise = net.denoise
    net.denoise = lambda lq, noise, progress: sizes.append(tuple(lq.shape)) or denoise(lq, noise, progress)
    net(torch.rand(1, 3, side, side))
    net(torch.rand(1, 3, side - 1, side))
    assert sizes == [(1, 3, side, side)] * 2


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("upscale", [2, 8])
def test_training_draws_one_step_for_each_sample_and_reaches_every_parameter(method, upscale):
    net = build(method, upscale=upscale).train()
    side = net.multiple * 2
    gt = torch.rand(4, 3, side * upscale, side * upscale)
    predicted, wanted = net(nn.functional.avg_pool2d(gt, upscale), gt)
    assert predicted.shape == wanted.shape and not wanted.requires_grad
    (predicted - wanted).square().mean().backward()
    trained = {name: p for name, p in net.named_parameters() if p.requires_grad}
    assert [name for name, p in trained.items() if p.grad is None or p.grad.abs().max() == 0] == []
    frozen = [name for name, p in net.named_parameters() if not p.requires_grad]
    assert all(name.startswith("first_stage.") for name in frozen)
    assert bool(frozen) == (method != "IDM")


@pytest.mark.parametrize("method", METHODS)
def test_sizes_that_cannot_be_are_refused(method):
    net = build(method, upscale=2)
    assert net.multiple > 1
    with pytest.raises(UserError, match=rf"^lq is 9×{net.smallest - 1}: {method} x2 needs at least {net.smallest} "):
        net(torch.rand(1, 3, net.smallest - 1, 9))
    net(torch.rand(1, 3, net.smallest, net.smallest))
    odd = net.multiple + 1
    with pytest.raises(UserError, match=r"^datasets.train.gt_size: "):
        net(torch.rand(1, 3, odd, odd), torch.rand(1, 3, 2 * odd, 2 * odd))


@pytest.mark.parametrize("method", METHODS)
def test_no_steps_are_refused(method):
    for steps in (0, -1):
        with pytest.raises(UserError, match=rf"^network: steps {steps}"):
            build(method, steps=steps)


@pytest.mark.parametrize("method", ["LDM", "IDM"])
def test_more_steps_than_the_schedule_has_are_refused(method):
    with pytest.raises(UserError, match=r"^network: steps 41 are more than the 40 timesteps"):
        build(method, steps=41)
    with pytest.raises(UserError, match=r"^network: eta 1.5 lies outside"):
        build(method, eta=1.5)


@pytest.mark.parametrize("method", METHODS)
def test_an_option_that_is_not_there_is_an_error(method):
    with pytest.raises(TypeError, match="stepps"):
        build(method, stepps=3)
    with pytest.raises(UserError, match="upscale 3"):
        build(method, upscale=3)


def test_ldm_and_idm_sample_anew_with_eta():
    for method in ("LDM", "IDM"):
        lq = torch.rand(1, 3, 8, 8)
        sure, random = build(method, eta=0.0), build(method, eta=1.0)
        random.load_state_dict(sure.state_dict())
        assert not torch.allclose(sure(lq), random(lq), atol=1e-3)
        assert torch.equal(random(lq), random(lq))


def test_ldms_steps_are_991_to_1_and_its_betas_those_of_its_configuration():
    net = LDM(first_stage=FIRST_STAGE, **{**SMALL["LDM"], "timesteps": 1000, "steps": 100})
    seen = []
    net._epsilon = lambda x, t, condition: seen.append(int(t[0])) or x
    net(torch.rand(1, 3, 8, 8))
    assert seen == list(range(991, 0, -10))
    beta = torch.linspace(0.0015**0.5, 0.0155**0.5, 1000, dtype=torch.float64) ** 2
    torch.testing.assert_close(net.scheduler.alphas_cumprod.double(), (1 - beta).cumprod(0), atol=1e-6, rtol=1e-5)
    with pytest.raises(UserError, match="steps 300 do not divide the 1000 timesteps"):
        LDM(first_stage=FIRST_STAGE, **{**SMALL["LDM"], "timesteps": 1000, "steps": 300})


@pytest.mark.parametrize("eta", [0.0, 1.0])
def test_with_the_true_noise_ldm_comes_back_to_the_latent(eta):
    """An oracle that knows x_0 and says what noise is in x_t: each step then ends nearer x_0, the last at ᾱ_1."""
    net = build("LDM", timesteps=1000, steps=20, eta=eta)
    x0 = torch.randn(1, 3, 8, 8)

    def oracle(x, t, condition):
        alpha = net.scheduler.alphas_cumprod[t].view(-1, 1, 1, 1)
        return (x - alpha.sqrt() * x0) / (1 - alpha).sqrt()

    net._epsilon = oracle
    found = []
    net.first_stage.decode = lambda latent: found.append(latent) or latent
    net(torch.rand(1, 3, 8, 8))
    left = (1 - net.scheduler.alphas_cumprod[0]).sqrt()
    assert (found[0] - net.scheduler.alphas_cumprod[0].sqrt() * x0).std() < 1.5 * left


def test_with_a_true_x0_resshift_ends_in_the_latent_exactly():
    net = build("ResShift")
    x0 = torch.randn(2, 3, 8, 8)
    net._x0 = lambda x, t, condition: x0
    found = []
    net.first_stage.decode = lambda latent: found.append(latent) or latent
    net(torch.rand(2, 3, 8, 8))
    assert torch.equal(found[0], x0)


@pytest.mark.parametrize(("upscale", "channels"), [(2, 12), (4, 3), (8, 3)])
@pytest.mark.parametrize("method", ["LDM", "ResShift"])
def test_the_condition_is_lr_on_the_grid_of_the_latent(method, upscale, channels):
    net = build(method, upscale=upscale)
    lq = torch.rand(1, 3, 16, 8)
    condition = net.condition(lq)
    assert condition.shape == (1, channels, 16 * upscale // 4, 8 * upscale // 4)
    assert net.condition_channels == channels
    assert condition.mean() == pytest.approx(lq.mean().item(), abs=0.02)


@pytest.mark.parametrize("method", METHODS)
def test_bf16_autocast_is_sound(method):
    net = build(method)
    lq, gt = torch.rand(1, 3, 8, 8), torch.rand(1, 3, 32, 32)
    with torch.autocast("cpu", torch.bfloat16):
        sample = net(lq)
        predicted, wanted = net.train()(lq, gt)
    assert sample.dtype == predicted.dtype == wanted.dtype == torch.float32
    assert sample.isfinite().all() and predicted.isfinite().all()
