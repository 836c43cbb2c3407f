"""Diffusion on the latents of a frozen first stage, LR brought to their grid (LDM, ResShift)."""

from collections.abc import Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from mihatp_arch.archs.autoencoder_arch import Autoencoder
from mihatp_arch.archs.diffusion.base import Diffusion


class LatentDiffusion(Diffusion):
    """A diffusion model with an `Autoencoder` inside, which is not trained.

    Args:
        upscale: s.
        first_stage: options of `Autoencoder`; None: its defaults, VQ-f4.
        multiple: the sides of the latent that the network takes are multiples of it.
        seed: of the sampling.
    """

    def __init__(self, *, upscale: int, first_stage: Mapping[str, Any] | None, multiple: int, seed: int) -> None:
        stage = Autoencoder(**first_stage or {}).requires_grad_(False)
        # A multiple of HR pixels, seen from LR: neither less than the latent's grid asks for nor less than one pixel.
        super().__init__(upscale=upscale, multiple=max(1, -(-multiple * stage.factor // upscale)), seed=seed)
        self.first_stage = stage
        self.latent_channels = stage.latent_channels

    @property
    def condition_channels(self) -> int:
        """Channels of `condition`."""
        return 3 * max(1, self.first_stage.factor // self.upscale) ** 2

    def condition(self, lq: Tensor) -> Tensor:
        """LR on the grid of the latent: as it is where s is its factor f, folded where s < f, enlarged where s > f."""
        factor = self.first_stage.factor
        if self.upscale < factor:
            return F.pixel_unshuffle(lq, factor // self.upscale)
        if self.upscale > factor:
            return F.interpolate(lq, scale_factor=self.upscale // factor, mode="bicubic", align_corners=False)
        return lq

    @torch.no_grad()
    def encode(self, image: Tensor) -> Tensor:
        """The latent of an image in [-1, 1]."""
        return self.first_stage.encode(image).float()
