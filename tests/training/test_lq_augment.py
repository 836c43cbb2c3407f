"""`train.lq_augment`: a share of the LR images is compressed, and nothing else changes."""

import pytest
import torch
from helpers.model import build

from mihatp_arch.errors import UserError
from mihatp_arch.training.lq_augment import LQAugment


def test_a_share_of_the_images_is_compressed_to_8_bits():
    lq = torch.rand(400, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    torch.manual_seed(0)
    out = LQAugment(jpeg=(70, 100), share=0.25)(lq)
    changed = (out != lq).flatten(1).any(1)
    assert 70 <= changed.sum() <= 130
    levels = out[changed] * 255
    torch.testing.assert_close(levels, levels.round(), rtol=0, atol=1e-3)
    assert 0 < (out[changed] - lq[changed]).abs().mean() < 0.2


def test_lower_quality_is_farther_from_the_image():
    lq = torch.nn.functional.interpolate(torch.rand(8, 3, 4, 4), size=32, mode="bicubic").clamp(0, 1)
    errors = [(LQAugment(jpeg=(q, q), share=1)(lq) - lq).square().mean() for q in (20, 70, 95)]
    assert errors[0] > errors[1] > errors[2]


def test_the_same_state_of_the_generator_gives_the_same_images():
    lq = torch.rand(8, 3, 16, 16)
    augment = LQAugment()
    torch.manual_seed(3)
    first = augment(lq)
    torch.manual_seed(3)
    assert torch.equal(augment(lq), first)


@pytest.mark.parametrize("options", [{"jpeg": [0, 50]}, {"jpeg": [90, 80]}, {"jpeg": [70]}, {"share": 1.5}])
def test_values_out_of_range_are_refused(options):
    with pytest.raises(UserError, match=r"train\.lq_augment"):
        LQAugment(**options)


def test_training_compresses_lq_and_validation_does_not(tmp_path):
    model = build(tmp_path, lq_augment={"jpeg": [10, 10], "share": 1.0})
    lq, gt = torch.rand(2, 3, 16, 16), torch.rand(2, 3, 64, 64)
    model.feed_data({"lq": lq, "gt": gt})
    model.test()
    assert torch.equal(model.lq, lq)
    model.optimize_parameters(1)
    assert not torch.equal(model.lq, lq)
