"""What the network says of a batch of tiles: SR, and on request its mean and deviation over the reversible pool."""

import torch
import torch.nn.functional as F
from torch import Tensor

from mihatp_arch.inference.network import Network
from mihatp_arch.transforms.reversible import D4


def predict(network: Network, lr: Tensor) -> tuple[Tensor, None]:
    """SR of LR: `[B, 3, t, t]` in [0, 1] -> `[B, 3, s·t, s·t]`, not clamped."""
    return network(lr), None


def predict_ensemble(network: Network, lr: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation of T_inv(F(T_for(LR))) (Eq. 2) over the identity and the reversible pool.

    Args:
        network: F.
        lr: `[B, 3, t, t]` in [0, 1].

    Returns:
        The mean `[B, 3, s·t, s·t]`, and the deviation `[B, 1, t, t]`: the standard deviation of each SR pixel over the
        eight images, averaged over the channels and the s×s pixels of each LR pixel.
    """
    images = [network(lr), *(element.inverse(network(element.forward(lr))) for element in D4.values())]
    total = torch.stack(images)
    deviation = total.std(dim=0, correction=0).mean(dim=1, keepdim=True)
    return total.mean(dim=0), F.avg_pool2d(deviation, network.info.scale)


def interpolate(lr: Tensor, scale: int) -> Tensor:
    """Bicubic interpolation, for tiles that the network does not compute: `[B, 3, t, t]` -> `[B, 3, s·t, s·t]`."""
    return F.interpolate(lr, scale_factor=scale, mode="bicubic")
