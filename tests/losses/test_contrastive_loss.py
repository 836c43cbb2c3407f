"""Eq. 8 and 9 against a loop written from the paper, and the ways of the gradient."""

import math

import pytest
import torch
from basicsr.losses import build_loss
from torch import Tensor

from mihatp_arch.errors import UserError
from mihatp_arch.losses import ContrastiveLoss
from mihatp_arch.losses.contrastive_loss import info_nce

LAYERS = ["relu1_1", "relu2_1", "relu3_1"]


def build(layers: list[str] | None = None, **options) -> ContrastiveLoss:
    return ContrastiveLoss(features={"weights": "random", "layers": layers or LAYERS}, **options)


def batch(B: int = 2, K_p: int = 2, K_n: int = 3, size: int = 16) -> tuple[Tensor, Tensor, Tensor]:
    gt = torch.rand(B, 1, 3, size, size)
    sr, positives, negatives = (gt + 0.1 * torch.randn(B, K, 3, size, size) for K in (1, K_p, K_n))
    return sr[:, 0], positives, negatives


def cosine(a: Tensor, b: Tensor) -> float:
    a, b = a.flatten().double(), b.flatten().double()
    return float(a @ b / math.sqrt(a @ a * (b @ b)))


def paper(loss: ContrastiveLoss, sr: Tensor, positives: Tensor, negatives: Tensor) -> float:
    """Eq. 8 and 9, sum by sum, in Python's floats."""
    N, K_p, K_n, tau = len(sr), positives.shape[1], negatives.shape[1], loss.tau
    L = len(LAYERS)

    def layers(image: Tensor) -> list[Tensor]:
        return [image, *(feature[0] for feature in loss.network(image[None]))]

    R = [layers(sr[i]) for i in range(N)]
    P = [[layers(positives[i, k]) for k in range(K_p)] for i in range(N)]
    X = [[layers(negatives[i, j]) for j in range(K_n)] for i in range(N)]
    loss_cl = 0.0
    for l in range(L + 1):  # noqa: E741  the paper's name
        total = 0.0
        for i in range(N):
            for k in range(K_p):
                p = math.exp(cosine(R[i][l], P[i][k][l]) / tau)
                n = sum(math.exp(cosine(R[i][l], X[i][j][l]) / tau) for j in range(K_n))
                total += math.log(p / (p + n))
        loss_cl += -1 / (N * K_p) * total
    return loss_cl / (L + 1)


@pytest.mark.parametrize("tau", [0.05, 0.5])
def test_equals_the_papers_loop(tau):
    loss, images = build(loss_weight=1.0, tau=tau), batch()
    assert loss(*images)[0].item() == pytest.approx(paper(loss, *images), abs=1e-4)


def test_weight_and_image_space():
    images = batch()
    whole, weighted = build(loss_weight=1.0)(*images)[0], build(loss_weight=0.01)(*images)[0]
    torch.testing.assert_close(weighted, 0.01 * whole)
    without = build(loss_weight=1.0, image_space=False)
    r, p, n = (x.flatten(2) for x in (images[0].unsqueeze(1), images[1], images[2]))
    layer_0 = info_nce(torch.cosine_similarity(r, p, dim=2), torch.cosine_similarity(r, n, dim=2), tau=0.05)
    L = len(LAYERS)
    torch.testing.assert_close(whole * (L + 1), without(*images)[0] * L + layer_0, rtol=0, atol=1e-4)


@pytest.mark.parametrize("image_sim", ["cosine", "centered"])
@pytest.mark.parametrize("feature_sim", ["flatten", "spatial"])
def test_similarities_are_cosines(image_sim, feature_sim):
    loss = build(image_sim=image_sim, feature_sim=feature_sim)
    sr, positives, _ = batch()
    r = loss.layers(sr.unsqueeze(1))
    sims = loss.similarities(r, loss.layers(positives), k=1)
    features = loss.network(sr), [f.unflatten(0, (2, 2)) for f in loss.network(positives.flatten(0, 1))]
    a, b = sr, positives
    if image_sim == "centered":
        a, b = (x - x.mean((-2, -1), keepdim=True) for x in (a, b))
    for i in range(2):
        for k in range(2):
            assert sims[0][i, k].item() == pytest.approx(cosine(a[i], b[i, k]), abs=1e-5)
            for layer in range(len(LAYERS)):
                f, g = features[0][layer][i], features[1][layer][i, k]
                expected = cosine(f, g)
                if feature_sim == "spatial":
                    expected = torch.cosine_similarity(f, g, dim=0).mean().item()
                assert sims[layer + 1][i, k].item() == pytest.approx(expected, abs=1e-5)


def test_is_least_where_the_positive_is_the_image():
    loss, (sr, positives, negatives) = build(), batch()
    near, far = sr.unsqueeze(1), negatives[:, :1]
    losses = [loss(sr, p, negatives)[0].item() for p in (near, positives, far)]
    assert losses[0] < losses[1] and losses[0] < losses[2]


def test_extreme_similarities_stay_finite():
    for p, n in ((1.0, -1.0), (-1.0, 1.0), (1.0, 1.0)):
        sim_p = torch.full((1, 1), p, requires_grad=True)
        loss = info_nce(sim_p, torch.full((1, 4), n), tau=1e-3)
        loss.backward()
        assert loss.isfinite() and sim_p.grad is not None and sim_p.grad.isfinite().all()
    assert info_nce(torch.ones(1, 1), torch.ones(1, 4), tau=1e-3).item() == pytest.approx(math.log(5))


@pytest.mark.parametrize("layer", ["relu1_1", "relu2_1", "relu3_1", "relu4_1", "relu5_1"])
@pytest.mark.parametrize("feature_sim", ["flatten", "spatial"])
def test_every_feature_layer_alone_sends_a_gradient_to_sr_and_positives(layer, feature_sim):
    check_gradients(build([layer], image_space=False, feature_sim=feature_sim))


@pytest.mark.parametrize("image_sim", ["cosine", "centered"])
def test_the_image_layer_alone_sends_a_gradient(image_sim):
    loss = build(["relu1_1"], image_sim=image_sim)
    for parameter in loss.network.parameters():
        parameter.zero_()  # features that are 0 everywhere send no gradient
    check_gradients(loss)


def check_gradients(loss: ContrastiveLoss) -> None:
    sr, positives, negatives = (images.requires_grad_() for images in batch())
    loss(sr, positives, negatives)[0].backward()
    for images in (sr, positives):
        assert images.grad is not None and images.grad.isfinite().all()
        assert (images.grad.flatten(1).abs().amax(dim=1) > 0).all()
    assert negatives.grad is None


def test_a_step_against_the_gradient_lowers_the_loss():
    loss, (sr, positives, negatives) = build(loss_weight=1.0), batch()
    sr.requires_grad_()
    before = loss(sr, positives, negatives)[0]
    (gradient,) = torch.autograd.grad(before, sr)
    after = loss(sr - 1e-2 * gradient / gradient.norm(), positives, negatives)[0]
    assert after < before


def test_detached_positives_get_no_gradient():
    sr, positives, negatives = batch()
    sr.requires_grad_()
    build()(sr, positives.requires_grad_().detach(), negatives)[0].backward()
    assert positives.grad is None and sr.grad is not None


@pytest.mark.parametrize("image_space", [True, False])
def test_without_both_pools_it_is_the_documented_constant(image_space):
    sr = batch()[0].requires_grad_()
    loss, stats = build(image_space=image_space, k_n=4)(sr, None, None)
    assert loss.item() == pytest.approx(0.01 * math.log(5))
    assert stats["sim_pos"] == stats["sim_neg"] == 1
    (sr.abs().mean() + loss).backward()
    assert sr.grad is not None and sr.grad.isfinite().all()


@pytest.mark.parametrize("detach", [False, True])
def test_passes_of_the_network_together_are_the_separate_ones(detach):
    loss, (sr, positives, negatives) = build(loss_weight=1.0), batch()
    sr.requires_grad_(), positives.requires_grad_()
    r, p, n = (loss.layers(x) for x in (sr.unsqueeze(1), positives.detach() if detach else positives, negatives))
    sims = zip(loss.similarities(r, p, k=1), loss.similarities(r, n, k=1), strict=True)
    apart = torch.stack([info_nce(*sim, tau=0.05) for sim in sims]).mean()
    images = [sr] if detach else [sr, positives]
    expected = torch.autograd.grad(apart, images)
    calls = []
    loss.network.register_forward_hook(lambda *args: calls.append(args[2][0].requires_grad))
    together = loss(sr, positives.detach() if detach else positives, negatives)[0]
    torch.testing.assert_close(together, apart)
    for a, b in zip(torch.autograd.grad(together, images), expected, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-3, atol=1e-6)
    assert calls == ([True, False, False] if detach else [True, False])


def test_negatives_in_bf16_move_their_similarity_by_little():
    images = batch()
    images[0].requires_grad_()
    plain, bf16 = build()(*images), build(negatives_bf16=True)(*images)
    assert plain[1]["sim_pos"] == bf16[1]["sim_pos"]
    assert 0 < (plain[1]["sim_neg"] - bf16[1]["sim_neg"]).abs() < 1e-3
    assert torch.autograd.grad(bf16[0], images[0])[0].dtype == torch.float32


def test_without_one_pool_its_similarity_is_one():
    loss, (sr, positives, negatives) = build(loss_weight=1.0, k_n=4), batch()
    r = loss.layers(sr.unsqueeze(1))
    sim_p, sim_n = (loss.similarities(r, loss.layers(images), k=1) for images in (positives, negatives))
    no_rtp = [info_nce(torch.ones(2, 1), n, tau=0.05) for n in sim_n]
    no_itp = [info_nce(p, torch.ones(2, 4), tau=0.05) for p in sim_p]
    for images, expected in (((None, negatives), no_rtp), ((positives, None), no_itp)):
        sr.requires_grad_()
        value = loss(sr, *images)[0]
        torch.testing.assert_close(value, torch.stack(expected).mean())
        assert torch.autograd.grad(value, sr)[0].abs().sum() > 0


def test_log_has_the_mean_similarities():
    loss, (sr, positives, negatives) = build(), batch()
    _, stats = loss(sr.requires_grad_(), positives, negatives)
    for key, images in (("sim_pos", positives), ("sim_neg", negatives)):
        r = loss.layers(sr.unsqueeze(1))
        expected = torch.stack([sim.mean() for sim in loss.similarities(r, loss.layers(images), k=1)]).mean()
        torch.testing.assert_close(stats[key], expected.detach())
        assert not stats[key].requires_grad


def test_fp32_under_autocast():
    loss, images = build(), batch()
    plain = loss(*images)[0]
    with torch.autocast("cpu", dtype=torch.bfloat16):
        value = loss(*images)[0]
        assert loss(*(x.bfloat16() for x in images))[0].dtype == torch.float32
    assert value.dtype == torch.float32 and torch.equal(value, plain)


def test_basicsr_builds_it():
    loss = build_loss({"type": "ContrastiveLoss", "tau": 0.1, "features": {"weights": "random", "layers": [1]}})
    assert isinstance(loss, ContrastiveLoss) and loss.tau == 0.1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"tau": 0}, "tau: 0 must be above 0"),
        ({"loss_weight": -1}, "loss_weight"),
        ({"k_n": 0}, "k_n"),
        ({"image_sim": "cosin"}, "'cosin' is unknown: did you mean 'cosine'"),
        ({"feature_sim": "global"}, "choose from flatten, spatial"),
        ({"features": {"weight": "random"}}, "'weight' is unknown: did you mean 'weights'"),
    ],
)
def test_bad_options_are_one_line(options, message):
    with pytest.raises(UserError, match=message):
        ContrastiveLoss(**options)


def test_shapes_that_do_not_fit_are_one_line():
    loss, (sr, positives, negatives) = build(["relu1_1"]), batch()
    for arguments in ((sr, positives[:1], negatives), (sr, positives, negatives[..., :8]), (sr, sr, negatives)):
        with pytest.raises(UserError, match="must be"):
            loss(*arguments)
    with pytest.raises(UserError, match="must be"):
        loss(sr, positives, negatives[:, :0])
