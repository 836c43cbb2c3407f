"""T_irr: every operation harms the image, keeps its shape and range, and follows torch's seed."""

import math
from functools import partial

import cv2
import pytest
import torch
from torch.nn import functional as F

from datasets_prep.synthetic.image import synthesize
from mihatp_arch.errors import UserError
from mihatp_arch.losses.contrastive_loss import info_nce
from mihatp_arch.training.probes.contrastive import cosine, gradient, share_closer
from mihatp_arch.transforms import IrreversiblePool
from mihatp_arch.transforms.blur import filter_batch, gaussian_blur
from mihatp_arch.transforms.irreversible import OFF_BY_DEFAULT, SEVERITIES

OPERATIONS = (*SEVERITIES, "down_up")
SIZES = [(64, 64), (24, 24), (17, 33), (7, 5), (2, 3)]


def pool(**options) -> IrreversiblePool:
    """Every operation, on HR: each shows alone."""
    defaults = {"scale": 4, "operations_on": "hr", "operations": dict.fromkeys(SEVERITIES)}
    return IrreversiblePool(**defaults | options)


def textured(batch: int, height: int, width: int) -> torch.Tensor:
    """Coloured blobs and grey detail, in 8-bit steps, as an image has them."""
    blobs = F.interpolate(torch.rand(batch, 3, 6, 6), size=(height, width), mode="bicubic")
    detail = torch.rand(batch, 1, height, width)
    return ((0.2 + 0.5 * blobs + 0.2 * detail).clamp(0, 1) * 255).round() / 255


@pytest.mark.parametrize("operation", OPERATIONS)
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("operations_on", ["lr", "hr"])
def test_every_operation_changes_each_image_within_range(operation, size, operations_on):
    gt = textured(3, *size)
    harmed = pool(operations_on=operations_on).apply(gt, operation)
    assert harmed.shape == gt.shape and harmed.dtype == gt.dtype
    assert harmed.min() >= 0 and harmed.max() <= 1
    assert ((harmed - gt).abs().flatten(1).max(dim=1).values > 1e-3).all()


@pytest.mark.parametrize("operation", OPERATIONS)
def test_follows_the_seed_and_only_it(operation):
    gt, pool_, harmed = textured(2, 24, 24), pool(), []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        harmed.append(pool_.apply(gt, operation))
    assert torch.equal(harmed[0], harmed[1])
    assert torch.equal(harmed[0], harmed[2]) == (operation == "down_up")


@pytest.mark.parametrize("operation", SEVERITIES)
def test_severity_is_drawn_for_each_sample(operation):
    gt = textured(1, 32, 32).repeat(6, 1, 1, 1)
    errors = (pool().apply(gt, operation) - gt).square().mean((1, 2, 3)).sqrt()
    assert errors.std() > 0.02 * errors.mean()


@pytest.mark.parametrize(
    ("operation", "mild", "severe"),
    [
        ("gaussian_blur", [0.5, 0.5], [3, 3]),
        ("defocus", [0.8, 0.8], [3, 3]),
        ("motion_blur", [3, 3], [15, 15]),
        ("gaussian_noise", [2, 2], [25, 25]),
        ("poisson", [0.1, 0.1], [1.5, 1.5]),
        ("jpeg", [90, 90], [10, 10]),
        ("stain_jitter", [0.01, 0.01], [0.2, 0.2]),
    ],
)
def test_more_severe_is_further_away(operation, mild, severe):
    gt = textured(2, 48, 48)
    errors = [(pool(operations={operation: r}, k_n=2).apply(gt, operation) - gt).abs().mean() for r in (mild, severe)]
    assert errors[1] > 1.3 * errors[0]


@pytest.mark.parametrize("operation", ["gaussian_blur", "defocus", "motion_blur", "down_up", "jpeg"])
@pytest.mark.parametrize("size", [(16, 16), (5, 6), (1, 1)])
def test_blurs_leave_flat_images_alone(operation, size):
    flat = torch.full((2, 3, *size), 128 / 255)
    torch.testing.assert_close(pool().apply(flat, operation), flat, rtol=0, atol=3e-3)


def test_gaussian_blur_has_the_asked_width_at_any_angle():
    point = torch.zeros(4, 1, 41, 41)
    point[..., 20, 20] = 1
    spread = gaussian_blur(point, 2.0, 2.0)[:, 0]
    axis = torch.arange(-20.0, 21)
    for weights in (spread.sum(1), spread.sum(2)):
        torch.testing.assert_close((weights * axis**2).sum(1), torch.full((4,), 4.0), rtol=0.02, atol=0)


def test_small_images_are_filtered_as_with_a_repeated_border():
    x, kernels = torch.rand(2, 3, 4, 5), torch.rand(2, 9, 9)
    padded = F.pad(x, (4, 4, 4, 4), mode="replicate")
    for i in range(2):
        expected = F.conv2d(padded[i][:, None], kernels[i][None, None])[:, 0]
        torch.testing.assert_close(filter_batch(x, kernels)[i], expected)


def test_down_up_is_the_bicubic_image_of_the_lr():
    gt = textured(2, 24, 24)
    lq = F.interpolate(gt, scale_factor=0.25, mode="bicubic", antialias=True)
    expected = F.interpolate(lq, size=(24, 24), mode="bicubic").clamp(0, 1)
    assert torch.equal(pool().apply(gt, "down_up"), expected)


@pytest.mark.parametrize("k_n", [1, 4, 7])
def test_negatives_are_k_n_operations_and_down_up_always_one(k_n):
    gt, pool_ = textured(2, 24, 24), IrreversiblePool(k_n=k_n, scale=4)
    negatives = pool_(gt)
    assert negatives.shape == (2, k_n, 3, 24, 24)
    assert torch.equal(negatives[:, 0], pool_.apply(gt, "down_up"))
    seen = set()
    for _ in range(60):
        names = pool_.draw()
        assert names[0] == "down_up" and len(names) == len(set(names)) == k_n
        seen.update(names)
    assert seen.isdisjoint(OFF_BY_DEFAULT)
    assert len(seen) == (1 if k_n == 1 else 7)


@pytest.mark.parametrize("operation", SEVERITIES)
def test_operations_are_applied_to_the_image_of_down_up(operation):
    gt = textured(2, 24, 24)
    images = []
    for x, operations_on in ((gt, "lr"), (pool().apply(gt, "down_up"), "hr")):
        torch.manual_seed(4)
        images.append(pool(operations_on=operations_on).apply(x, operation))
    assert torch.equal(*images)


@pytest.fixture(params=["synthetic", "real"])
def tissue(request) -> list[torch.Tensor]:
    """HR patches of H&E, `[1, 3, 192, 192]`: synthetic ones, or real tiles."""
    if request.param == "synthetic":
        images = [synthesize(192, 192, seed=seed)[0] for seed in range(6)]
    else:
        paths = sorted((request.getfixturevalue("shared") / "data/monuseg/images").glob("*.png"))[::5]
        images = [cv2.imread(str(path))[400:592, 400:592, ::-1] for path in paths]
    return [torch.from_numpy(image.copy()).permute(2, 0, 1)[None] / 255 for image in images]


@pytest.mark.parametrize("scale", [2, 4, 8])
def test_negatives_are_worse_than_bicubic_and_pull_sr_towards_hr(tissue, scale):
    """SR is 0.8 dB better than bicubic, on the way to HR. Layer 0 of Eq. 8 needs no feature network."""
    torch.manual_seed(0)
    cosines, closer = [], []
    for hr in tissue:
        bicubic = F.interpolate(F.avg_pool2d(hr, scale), scale_factor=scale, mode="bicubic").clamp(0, 1)
        sr, negatives = hr + 10 ** (-0.8 / 20) * (bicubic - hr), IrreversiblePool(scale=scale)(hr)
        mean_error = (negatives[:, 1:] - hr.unsqueeze(1)).square().mean()
        assert mean_error > (bicubic - hr).square().mean()

        def layer_0(x, sr=sr, negatives=negatives):
            similarities = [
                F.cosine_similarity(x.flatten(1)[:, None], y.flatten(2), 2) for y in (sr[:, None], negatives)
            ]
            return info_nce(*similarities, tau=0.05)

        cosines.append(cosine(gradient(layer_0, sr), gradient(partial(F.l1_loss, target=hr), sr)))
        closer.append(share_closer(sr, negatives, hr))
    assert torch.stack(cosines).mean() > 0.05
    assert max(closer) == 0


def test_negatives_carry_no_gradient_and_keep_the_images():
    gt = textured(2, 24, 24).requires_grad_()
    before = gt.detach().clone()
    assert not pool(k_n=8)(gt).requires_grad
    assert torch.equal(gt, before)


def test_layout_and_autocast_do_not_matter():
    gt, pool_ = textured(2, 32, 32), pool()
    for operation in OPERATIONS:
        results = []
        for x in (gt, gt.contiguous(memory_format=torch.channels_last)):
            torch.manual_seed(3)
            with torch.autocast("cpu", dtype=torch.bfloat16, enabled=x is not gt):
                results.append(pool_.apply(x, operation))
        torch.testing.assert_close(results[0], results[1], rtol=0, atol=1e-6)


def test_two_stains_change_by_what_is_asked():
    density = torch.tensor([0.65, 0.70, 0.29])  # haematoxylin alone
    gt = (-0.8 * density).exp().view(1, 3, 1, 1).expand(1, 3, 4, 4)
    harmed = pool(operations={"stain_jitter": [0.1, 0.1]}, k_n=2).apply(gt, "stain_jitter")
    torch.testing.assert_close(-harmed.log(), -gt.log() * 1.1)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"operations": {"jpg": None}}, "'jpg' is unknown: did you mean 'jpeg'"),
        ({"operations": {"jpeg": [60, 20]}}, "no range"),
        ({"operations": {"jpeg": [0, 20]}}, r"within \[1, 100\]"),
        ({"operations": {"jpeg": 20}}, "no range"),
        ({"operations": ["jpeg"]}, "must map"),
        ({"operations": {"gaussian_noise": [math.nan, 3]}}, "no range"),
        ({"operations": {"down_up": [2, 4]}}, "takes the scale"),
        ({"operations": {"jpeg": None}, "k_n": 3}, "between 1 and 2"),
        ({"k_n": 0}, "k_n"),
        ({"operations_on": "sr"}, "'sr' is unknown"),
        ({"scale": 1}, "scale"),
    ],
)
def test_errors_are_one_line(options, message):
    with pytest.raises(UserError, match=message) as caught:
        pool(**options)
    assert "\n" not in str(caught.value)


def test_grey_images_are_refused():
    with pytest.raises(UserError, match="RGB"):
        pool()(torch.rand(2, 1, 8, 8))
