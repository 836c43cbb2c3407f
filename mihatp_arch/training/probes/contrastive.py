"""What the contrastive loss does in one step: Eq. 8 layer by layer, and its gradient beside that of Eq. 6."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from mihatp_arch.losses.contrastive_loss import ContrastiveLoss


@dataclass(frozen=True)
class Images:
    """The images that the contrastive loss compares in one step, without gradients.

    Attributes:
        gt: HR, `[B, 3, H, W]`.
        sr: I^SR of Eq. 1, `[B, 3, H, W]`.
        positives: X^P of Eq. 2, `[B, K_p, 3, H, W]`.
        negatives: X^N of Eq. 3, `[B, K_n, 3, H, W]`; the first of each image is that of `down_up`.
    """

    gt: Tensor
    sr: Tensor
    positives: Tensor | None
    negatives: Tensor | None


def contrastive_values(images: Images, loss: ContrastiveLoss, pixel_loss: Callable[..., Tensor]) -> dict[str, Tensor]:
    """Numbers for the log, by their names there; no generator is used and no gradient of a network changes.

    * `sim_pos_<l>`, `sim_neg_<l>`: means of Sim at layer l. Layer 0 is the image.
    * `cl_<l>`: Eq. 9 at layer l over log(1 + K_n), its value where all similarities are equal.
    * `cl_to_l1`: |gradient of λ·Loss_CL| over |gradient of Eq. 6|, with respect to SR.
    * `cl_cosine`: the cosine of these two gradients; below 0 they work against each other.
    * `neg_closer`: the share of the negatives that are nearer to HR than SR.
    """
    k_n = loss.k_n if images.negatives is None else images.negatives.shape[1]
    values: dict[str, Tensor] = {}

    def contrastive(sr: Tensor) -> Tensor:
        layers = loss.layer_losses(sr, images.positives, images.negatives)
        for number, layer in enumerate(layers, 0 if loss.image_space else 1):
            values[f"sim_pos_{number}"] = layer.sim_pos.detach().mean()
            values[f"sim_neg_{number}"] = layer.sim_neg.detach().mean()
            values[f"cl_{number}"] = layer.loss.detach() / math.log(1 + k_n)
        return torch.stack([layer.loss for layer in layers]).mean()

    if images.positives is None and images.negatives is None:  # a constant, which has no gradient
        contrastive(images.sr)
        return values
    ours = gradient(contrastive, images.sr)
    pixels = gradient(lambda sr: pixel_loss(sr, images.gt), images.sr)
    values["cl_to_l1"] = loss.loss_weight * ours.norm() / pixels.norm().clamp_min(1e-30)
    values["cl_cosine"] = cosine(ours, pixels)
    if images.negatives is not None:
        values["neg_closer"] = share_closer(images.sr, images.negatives, images.gt)
    return values


def better_than_down_up(images: Images) -> bool:
    """Whether SR is nearer to HR than the negative of `down_up`, which stands for bicubic interpolation."""
    if images.negatives is None:
        return False
    bicubic = images.negatives[:, 0]
    return bool((images.sr - images.gt).square().mean() < (bicubic - images.gt).square().mean())


def gradient(loss: Callable[[Tensor], Tensor], sr: Tensor) -> Tensor:
    """The gradient of `loss(sr)` with respect to SR images `[B, 3, H, W]`; no other gradient changes."""
    with torch.enable_grad():
        leaf = sr.detach().requires_grad_()
        return torch.autograd.grad(loss(leaf), leaf)[0]


def cosine(a: Tensor, b: Tensor) -> Tensor:
    """The cosine between two gradients of the same shape, over all their elements; 0 where one of them is 0."""
    a, b = a.double(), b.double()
    return ((a * b).sum() / (a.norm() * b.norm()).clamp_min(1e-30)).float()


def share_closer(sr: Tensor, negatives: Tensor, gt: Tensor) -> Tensor:
    """The share of the negatives `[B, K_n, 3, H, W]` that are nearer to HR than SR `[B, 3, H, W]`, by MSE."""
    error = (sr - gt).square().mean((1, 2, 3))
    errors = (negatives - gt.unsqueeze(1)).square().mean((2, 3, 4))
    return (errors < error.unsqueeze(1)).float().mean()
