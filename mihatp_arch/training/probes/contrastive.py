"""Measurements of the contrastive loss that change nothing of the training: what Eq. 8 and 9 do beside Eq. 6."""

from collections.abc import Callable

import torch
from torch import Tensor


def gradient(loss: Callable[[Tensor], Tensor], sr: Tensor) -> Tensor:
    """The gradient of `loss(sr)` with respect to SR images `[B, 3, H, W]`; no other gradient changes."""
    with torch.enable_grad():
        leaf = sr.detach().requires_grad_()
        return torch.autograd.grad(loss(leaf), leaf)[0]


def cosine(a: Tensor, b: Tensor) -> Tensor:
    """The cosine between two gradients of the same shape, over all their elements; 0 where one of them is 0."""
    a, b = a.double(), b.double()
    return (a * b).sum() / (a.norm() * b.norm()).clamp_min(1e-30)


def share_closer(sr: Tensor, negatives: Tensor, gt: Tensor) -> Tensor:
    """The share of the negatives `[B, K_n, 3, H, W]` that are nearer to HR than SR `[B, 3, H, W]`, by MSE."""
    error = (sr - gt).square().mean((1, 2, 3))
    errors = (negatives - gt.unsqueeze(1)).square().mean((2, 3, 4))
    return (errors < error.unsqueeze(1)).float().mean()
