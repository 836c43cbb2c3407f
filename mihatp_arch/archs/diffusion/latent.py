"""Diffusion in the latent space of a frozen first stage, with LR resized to the latent's grid (LDM, ResShift)."""

from collections.abc import Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from mihatp_arch.archs.autoencoder_arch import Autoencoder
from mihatp_arch.archs.diffusion.base import Diffusion


class LatentDiffusion(Diffusion):
    """A diffusion model with an `Autoencoder` inside that is not trained.

    Args:
        upscale: s.
        first_stage: options of `Autoencoder`; None takes its defaults, VQ-f4.
        multiple: the network takes latents whose sides are multiples of it.
        seed: of the sampling.
        samples: SR is the mean of this number of samples.
    """

    def __init__(
        self, *, upscale: int, first_stage: Mapping[str, Any] | None, multiple: int, seed: int, samples: int
    ) -> None:
        stage = Autoencoder(**first_stage or {}).requires_grad_(False)
        # The multiple in LR pixels: at least one pixel, and large enough for the latent's grid.
        least = max(1, -(-multiple * stage.factor // upscale))
        super().__init__(upscale=upscale, multiple=least, seed=seed, samples=samples)
        self.first_stage = stage
        self.latent_channels = stage.latent_channels

    @property
    def condition_channels(self) -> int:
        """Channels of `condition`."""
        return 3 * max(1, self.first_stage.factor // self.upscale) ** 2

    def condition(self, lq: Tensor) -> Tensor:
        """LR on the grid of the latent: unchanged if s equals its factor f, unshuffled if s < f, enlarged if s > f."""
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
