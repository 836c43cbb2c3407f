"""The terms of HoVer-Net's loss on maps that a person can compute by hand."""

import math

import pytest
import torch

from mihatp_arch.losses.hovernet_loss import HoVerNetLoss, NucleiTargets, dice_loss, gradient_loss


def test_dice_of_a_certain_and_of_an_undecided_prediction():
    classes = torch.tensor([[[0, 1], [1, 1]]])
    certain = torch.nn.functional.one_hot(classes, 2).movedim(-1, 1) * 100.0
    assert dice_loss(certain, classes).item() == pytest.approx(0, abs=1e-6)
    # each class has probability 0.5 everywhere: 1 - 2·0.5/(2 + 1) and 1 - 2·1.5/(2 + 3)
    assert dice_loss(torch.zeros(1, 2, 2, 2), classes).item() == pytest.approx(2 / 3 + 2 / 5, abs=1e-3)


def ramp(axis: int) -> torch.Tensor:
    along = torch.arange(12.0)
    return (along[None, :] if axis == 1 else along[:, None]).expand(12, 12)


def test_the_horizontal_map_is_differentiated_along_x_and_the_vertical_one_along_y():
    nuclei = torch.zeros(1, 12, 12, dtype=torch.bool)
    nuclei[:, 4:8, 4:8] = True  # where the border of the picture does not reach
    none = torch.zeros(1, 2, 12, 12)
    right = torch.stack([ramp(1), ramp(0)])[None]
    wrong = torch.stack([ramp(0), ramp(1)])[None]
    assert gradient_loss(wrong, none, nuclei).item() == pytest.approx(0, abs=1e-6)
    # a ramp of 1 per px gives the sum of x·x/(x²+y²) over 5×5 px: half of the 24 px beside the centre
    assert gradient_loss(right, none, nuclei).item() == pytest.approx(12**2, rel=1e-4)


def test_gradients_count_inside_nuclei_alone():
    maps = torch.randn(1, 2, 12, 12, generator=torch.Generator().manual_seed(0))
    assert gradient_loss(maps, maps + 1, torch.zeros(1, 12, 12, dtype=torch.bool)).item() == 0


def test_the_terms_and_their_weights():
    targets = NucleiTargets(
        torch.zeros(1, 8, 8, dtype=torch.bool), torch.ones(1, 2, 8, 8), torch.zeros(1, 8, 8, dtype=torch.int64)
    )
    maps = {"np": torch.zeros(1, 2, 8, 8), "hv": torch.zeros(1, 2, 8, 8)}
    terms = HoVerNetLoss(np_ce=3, hv_msge=0)(maps, targets)
    assert terms.keys() == {"l_np_ce", "l_np_dice", "l_hv_mse"}
    assert terms["l_np_ce"].item() == pytest.approx(3 * math.log(2))
    assert terms["l_hv_mse"].item() == 1
    typed = HoVerNetLoss()(maps | {"tp": torch.zeros(1, 4, 8, 8)}, targets)
    assert typed["l_tp_ce"].item() == pytest.approx(math.log(4))
    assert typed.keys() == {f"l_{name}" for name in ("np_ce", "np_dice", "hv_mse", "hv_msge", "tp_ce", "tp_dice")}
