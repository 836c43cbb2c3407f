"""The contrastive loss in image and feature space (paper section 2.3, Eq. 8 and 9)."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
from basicsr.utils.registry import LOSS_REGISTRY
from torch import Tensor, nn
from torch.nn import functional as F

from mihatp_arch.errors import UserError
from mihatp_arch.losses.features import FeatureNetwork
from mihatp_arch.transforms.choices import check_choice


class LayerLoss(NamedTuple):
    """One layer of Eq. 8.

    Attributes:
        sim_pos: Sim(r, p), `[B, K_p]`.
        sim_neg: Sim(r, n), `[B, K_n]`.
        loss: Eq. 9.
    """

    sim_pos: Tensor
    sim_neg: Tensor
    loss: Tensor


@LOSS_REGISTRY.register()
class ContrastiveLoss(nn.Module):
    """lambda * Loss_CL of Eq. 5, 8 and 9: pulls the SR image r to the positives p, and pushes it from the negatives n.

    Layer 0 is the image itself, layers 1 to L belong to a frozen feature network. Sim is the cosine similarity.

    Args:
        loss_weight: lambda of Eq. 5.
        tau: temperature of Eq. 9.
        image_space: whether layer 0 counts (IS in the paper's Table 3).
        k_n: K_n of Eq. 9 in a loss without negatives (ITP off).
        features: options of `FeatureNetwork`; None takes its defaults.
        image_sim: Sim at layer 0: `cosine` of the images, as in the paper, or `centered`, the cosine after the mean of
            each channel is subtracted. Stained tissue is bright, so that plain cosines lie within 0.02 of 1.
        feature_sim: Sim at layers 1 to L: `flatten`, one cosine over C, H and W, or `spatial`, the cosine over C
            averaged over all positions (as in PCL-SR).
        negatives_bf16: run the feature network on the negatives under bf16 autocast. The loss took 0.8 of the time on
            a CPU, `sim_neg` moved by 2e-5, the gradient to `sr` by 1.6 % (vgg19, random weights, 192×192).

    Raises:
        UserError: an option is out of its range or unknown.
    """

    def __init__(
        self,
        *,
        loss_weight: float = 0.01,
        tau: float = 0.05,
        image_space: bool = True,
        k_n: int = 4,
        features: Mapping[str, Any] | None = None,
        image_sim: str = "cosine",
        feature_sim: str = "flatten",
        negatives_bf16: bool = False,
    ) -> None:
        super().__init__()
        if not tau > 0:
            raise UserError(f"ContrastiveLoss: tau: {tau} must be above 0 (the paper has 0.05)")
        if loss_weight < 0:
            raise UserError(f"ContrastiveLoss: loss_weight: {loss_weight} must not be negative (the paper has 0.01)")
        if not isinstance(k_n, int) or k_n < 1:
            raise UserError(f"ContrastiveLoss: k_n: {k_n!r} must be a whole number of at least 1")
        check_choice(image_sim, ("cosine", "centered"), subject="ContrastiveLoss: image_sim")
        check_choice(feature_sim, ("flatten", "spatial"), subject="ContrastiveLoss: feature_sim")
        for name in features or {}:
            check_choice(name, ("network", "weights", "layers"), subject="ContrastiveLoss: features: option")
        self.loss_weight, self.tau, self.image_space, self.k_n = loss_weight, tau, image_space, k_n
        self.image_sim, self.feature_sim, self.negatives_bf16 = image_sim, feature_sim, negatives_bf16
        self.network = FeatureNetwork(**(features or {}))

    def extra_repr(self) -> str:
        return (
            f"loss_weight={self.loss_weight}, tau={self.tau}, image_space={self.image_space}, k_n={self.k_n}, "
            f"image_sim={self.image_sim!r}, feature_sim={self.feature_sim!r}, "
            f"negatives_bf16={self.negatives_bf16}"
        )

    def forward(
        self, sr: Tensor, positives: Tensor | None, negatives: Tensor | None
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Eq. 8, times lambda, in fp32 also under autocast.

        Gradients reach `sr`, and `positives` if these are not detached, but never `negatives`.

        Args:
            sr: I^SR of Eq. 1, `[B, 3, H, W]` around [0, 1].
            positives: X^P of Eq. 2, `[B, K_p, 3, H, W]`, or None without the reversible pool: then Sim(r, p) = 1.
            negatives: X^N of Eq. 3, `[B, K_n, 3, H, W]`, or None without the irreversible pool: then Sim(r, n) = 1.

        Returns:
            The weighted loss, and for the log `sim_pos` and `sim_neg`, detached means over samples and layers.
            Without both pools the loss is the constant lambda * log(1 + K_n).

        Raises:
            UserError: the shapes do not fit together, or the feature network cannot take the images.
        """
        layers = self.layer_losses(sr, positives, negatives)
        stats = {
            "sim_pos": torch.stack([layer.sim_pos.mean() for layer in layers]).mean().detach(),
            "sim_neg": torch.stack([layer.sim_neg.mean() for layer in layers]).mean().detach(),
        }
        return self.loss_weight * torch.stack([layer.loss for layer in layers]).mean(), stats

    def layer_losses(self, sr: Tensor, positives: Tensor | None, negatives: Tensor | None) -> list["LayerLoss"]:
        """The terms of the sum in Eq. 8, layer by layer; arguments and errors are those of `forward`."""
        _check_shapes(sr, positives, negatives)
        with torch.autocast(sr.device.type, enabled=False):
            r, p = self._layers_of_sr_and_positives(
                sr.unsqueeze(1), positives, features=positives is not None or negatives is not None
            )
            # The network is frozen: images without a gradient leave no graph.
            n = None if negatives is None else self.layers(negatives.detach(), bf16=self.negatives_bf16)
            sim_p, sim_n = self.similarities(r, p, k=1), self.similarities(r, n, k=self.k_n)
            return [LayerLoss(*sims, info_nce(*sims, tau=self.tau)) for sims in zip(sim_p, sim_n, strict=True)]

    def layers(self, x: Tensor, *, bf16: bool = False) -> list[Tensor]:
        """Images `[B, K, 3, H, W]` -> layer 0 (the images), if it counts, and layers 1 to L `[B, K, C_l, H_l, W_l]`."""
        features = [feature.unflatten(0, x.shape[:2]) for feature in self.network(x.flatten(0, 1), bf16=bf16)]
        return [x.float(), *features] if self.image_space else features

    def _layers_of_sr_and_positives(
        self, sr: Tensor, positives: Tensor | None, *, features: bool
    ) -> tuple[list[Tensor], list[Tensor] | None]:
        """The layers of r and of the positives, in one pass if both need a gradient."""
        if not features:  # no similarity needs r
            return [sr], None
        if positives is None or not positives.requires_grad:
            return self.layers(sr), None if positives is None else self.layers(positives)
        both = self.layers(torch.cat([sr, positives], 1))
        r, p = zip(*(layer.split([1, positives.shape[1]], 1) for layer in both), strict=True)
        return list(r), list(p)

    def similarities(self, r: list[Tensor], x: list[Tensor] | None, *, k: int) -> list[Tensor]:
        """Sim of r^l `[B, 1, C_l, H_l, W_l]` to the layers x^l `[B, K, C_l, H_l, W_l]` of other images: `[B, K]` each.

        Without other images every Sim is 1 and K is `k`, as the paper defines a pool that is left out.
        """
        if x is None:
            return [r_l.new_ones(r_l.shape[0], k, dtype=torch.float32) for r_l in r]
        names = [self.image_sim if self.image_space and layer == 0 else self.feature_sim for layer in range(len(r))]
        return [SIM[name](r_l, x_l) for name, r_l, x_l in zip(names, r, x, strict=True)]


def info_nce(sim_p: Tensor, sim_n: Tensor, *, tau: float) -> Tensor:
    """Eq. 9, the loss of one layer, from Sim(r, p) `[B, K_p]` and Sim(r, n) `[B, K_n]`."""
    # -log(e^p / (e^p + sum_j e^n_j)) = log(1 + sum_j e^(n_j - p)): no overflow, and close similarities do not cancel.
    n_minus_p = (sim_n.unsqueeze(1) - sim_p.unsqueeze(2)) / tau
    return F.softplus(torch.logsumexp(n_minus_p, dim=2)).mean()


def _norm(x: Tensor, *, dim: int) -> Tensor:
    # Over millions of elements a sum of squares has an error of 1e-7 on the CPU, torch.linalg.vector_norm of 3e-5.
    return x.square().sum(dim).clamp_min(1e-8).sqrt()


def _flatten(a: Tensor, b: Tensor) -> Tensor:
    """Cosine over C, H and W together, as F.cosine_similarity, but without a normalised copy of every image."""
    if a.stride(2) == 1:  # channels last in memory: in this order flatten copies nothing
        a, b = a.movedim(2, -1), b.movedim(2, -1)
    a, b = a.flatten(2), b.flatten(2)
    # No matmul: over millions of elements its fp32 sums have an error of 1e-4, too much at τ = 0.05.
    return (a * b).sum(2) / (_norm(a, dim=2) * _norm(b, dim=2))


def _centered(a: Tensor, b: Tensor) -> Tensor:
    a, b = (x - x.mean(dim=(-2, -1), keepdim=True) for x in (a, b))
    return _flatten(a, b)


def _spatial(a: Tensor, b: Tensor) -> Tensor:
    cosine = (a * b).sum(2) / (_norm(a, dim=2) * _norm(b, dim=2))
    return cosine.mean(dim=(-2, -1))


# Sim of `[B, 1, C, H, W]` to `[B, K, C, H, W]`: `[B, K]`
SIM = {"cosine": _flatten, "centered": _centered, "flatten": _flatten, "spatial": _spatial}


def _check_shapes(sr: Tensor, positives: Tensor | None, negatives: Tensor | None) -> None:
    for name, images in (("positives", positives), ("negatives", negatives)):
        if images is None:
            continue
        if images.dim() != 5 or images.shape[1] == 0 or (images.shape[0], *images.shape[2:]) != tuple(sr.shape):
            raise UserError(
                f"ContrastiveLoss: {name} {tuple(images.shape)} must be [B, K, C, H, W] beside sr {tuple(sr.shape)}"
            )
