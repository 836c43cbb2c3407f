"""The loss of HoVer-Net (section 3.2): cross entropy and Dice of the classes, distances and their gradients."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from basicsr.utils.registry import LOSS_REGISTRY
from torch import Tensor, nn

_SIDE = 5  # px, of the kernel of the gradients
_SMOOTH = 1e-3


@dataclass(frozen=True)
class NucleiTargets:
    """What HoVer-Net's maps should be.

    Attributes:
        nuclei: whether a pixel is in a nucleus, [B, H, W] bool.
        hv: horizontal and vertical distance to the centre, [B, 2, H, W].
        types: type of each pixel, [B, H, W] int64.
    """

    nuclei: Tensor
    hv: Tensor
    types: Tensor


@LOSS_REGISTRY.register()
class HoVerNetLoss(nn.Module):
    """The terms of HoVer-Net's loss. The official weights are 1.

    Args:
        np_ce, np_dice: weights of cross entropy and Dice of nucleus against background.
        hv_mse, hv_msge: weights of the square errors of the distances, and of their gradients inside nuclei.
        tp_ce, tp_dice: weights of cross entropy and Dice of the types.
    """

    def __init__(
        self,
        *,
        np_ce: float = 1.0,
        np_dice: float = 1.0,
        hv_mse: float = 1.0,
        hv_msge: float = 1.0,
        tp_ce: float = 1.0,
        tp_dice: float = 1.0,
    ) -> None:
        super().__init__()
        self.weights = {"np_ce": np_ce, "np_dice": np_dice, "hv_mse": hv_mse, "hv_msge": hv_msge}
        self.type_weights = {"tp_ce": tp_ce, "tp_dice": tp_dice}

    def forward(self, maps: Mapping[str, Tensor], targets: NucleiTargets) -> dict[str, Tensor]:
        """The weighted terms, by the names of the log; `maps` are those of `HoVerNet`, in fp32."""
        classes = targets.nuclei.long()
        terms = {
            "np_ce": F.cross_entropy(maps["np"], classes),
            "np_dice": dice_loss(maps["np"], classes),
            "hv_mse": F.mse_loss(maps["hv"], targets.hv),
            "hv_msge": gradient_loss(maps["hv"], targets.hv, targets.nuclei),
        }
        weights = dict(self.weights)
        if "tp" in maps:
            weights |= self.type_weights
            terms |= {
                "tp_ce": F.cross_entropy(maps["tp"], targets.types),
                "tp_dice": dice_loss(maps["tp"], targets.types),
            }
        return {f"l_{name}": weights[name] * term for name, term in terms.items() if weights[name]}


def dice_loss(logits: Tensor, classes: Tensor) -> Tensor:
    """Sum over the classes of 1 - Dice, over all pixels of the batch.

    Args:
        logits: [B, C, H, W].
        classes: class of each pixel, [B, H, W] int64.
    """
    predicted = logits.softmax(1)
    true = F.one_hot(classes, logits.shape[1]).movedim(-1, 1).to(predicted.dtype)
    shared, total = ((plane).sum((0, 2, 3)) for plane in (predicted * true, predicted + true))
    return (1 - (2 * shared + _SMOOTH) / (total + _SMOOTH)).sum()


def gradient_loss(predicted: Tensor, true: Tensor, nuclei: Tensor) -> Tensor:
    """Mean square error of d(horizontal)/dx and d(vertical)/dy inside the nuclei.

    The official code differentiates along the other axis each time, as its `meshgrid` counts rows first.

    Args:
        predicted, true: horizontal and vertical distances, [B, 2, H, W].
        nuclei: [B, H, W] bool.
    """
    error = (_gradients(predicted) - _gradients(true)).square()
    weights = nuclei[:, None].expand_as(error)
    return (error * weights).sum() / (weights.sum() + 1e-8)


def _gradients(maps: Tensor) -> Tensor:
    along = torch.arange(_SIDE, dtype=maps.dtype, device=maps.device) - _SIDE // 2
    y, x = torch.meshgrid(along, along, indexing="ij")
    squares = x**2 + y**2 + 1e-15
    kernels = torch.stack([x / squares, y / squares])[:, None]
    return F.conv2d(maps, kernels, padding=_SIDE // 2, groups=2)
