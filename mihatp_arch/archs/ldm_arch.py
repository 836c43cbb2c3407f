"""LDM (Rombach et al., CVPR 2022) for super-resolution: diffusion in the latent space, with LR concatenated.

Sizes and schedule come from the authors' `bsr_sr` configuration; first stage, U-Net and sampler from diffusers.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from basicsr.utils.registry import ARCH_REGISTRY
from torch import Tensor

from mihatp_arch.archs.diffusion.base import ImageNoise, Progress
from mihatp_arch.archs.diffusion.ddim import check_steps, ddim
from mihatp_arch.archs.diffusion.latent import LatentDiffusion
from mihatp_arch.errors import UserError


@ARCH_REGISTRY.register()
class LDM(LatentDiffusion):
    """Latent diffusion, `[B, 3, H, W]` in [0, 1] -> `[B, 3, s·H, s·W]`: see `Diffusion`.

    Args:
        upscale: s; 2, 4 or 8.
        first_stage: options of `Autoencoder`.
        channels: of the levels of the U-Net.
        blocks: residual blocks of a level.
        attention_levels: levels with self-attention, from 0; the middle block always has it.
        head_dim: channels of an attention head.
        norm_groups: of group normalisation.
        timesteps: T of the training.
        beta_start: β_1; √β is linear between the two.
        beta_end: β_T.
        steps: of the sampling (DDIM); divides T.
        eta: 0 samples without new noise, 1 as DDPM.
        seed: of the sampling.
        samples: k; SR is the mean of k samples with the seeds seed, seed + 1, …

    Raises:
        UserError: the options do not fit together.
    """

    def __init__(
        self,
        *,
        upscale: int = 4,
        first_stage: Mapping[str, Any] | None = None,
        channels: Sequence[int] = (160, 320, 320, 640),
        blocks: int = 2,
        attention_levels: Sequence[int] = (3,),
        head_dim: int = 32,
        norm_groups: int = 32,
        timesteps: int = 1000,
        beta_start: float = 0.0015,
        beta_end: float = 0.0155,
        steps: int = 100,
        eta: float = 0.0,
        seed: int = 0,
        samples: int = 1,
    ) -> None:
        from diffusers import DDIMScheduler, UNet2DModel  # takes a second to import

        check_steps(steps, timesteps, eta)
        if any(width % norm_groups for width in channels) or any(
            channels[level] % head_dim for level in attention_levels
        ):
            raise UserError(
                f"network: channels {list(channels)} must be multiples of norm_groups {norm_groups}, and of head_dim "
                f"{head_dim} where there is attention"
            )
        levels = len(channels)
        super().__init__(
            upscale=upscale, first_stage=first_stage, multiple=2 ** (levels - 1), seed=seed, samples=samples
        )
        has_attention = [level in attention_levels for level in range(levels)]
        self.unet: Any = UNet2DModel(
            in_channels=self.latent_channels + self.condition_channels,
            out_channels=self.latent_channels,
            layers_per_block=blocks,
            block_out_channels=tuple(channels),
            down_block_types=tuple("AttnDownBlock2D" if attention else "DownBlock2D" for attention in has_attention),
            up_block_types=tuple(
                "AttnUpBlock2D" if attention else "UpBlock2D" for attention in reversed(has_attention)
            ),
            attention_head_dim=head_dim,
            norm_num_groups=norm_groups,
        )
        self.scheduler = DDIMScheduler(
            timesteps,
            beta_start,
            beta_end,
            "scaled_linear",
            clip_sample=False,
            set_alpha_to_one=False,
            steps_offset=1 if steps < timesteps else 0,  # 991, 981, …, 1
        )
        self.timesteps, self.steps, self.eta = timesteps, steps, eta

    def prediction_and_target(self, lq: Tensor, gt: Tensor) -> tuple[Tensor, Tensor]:
        """ε_θ(x_t, t, LR) and ε, both `[B, C, h, w]`, for t uniform in 1 … T."""
        x0 = self.encode(gt)
        t = torch.randint(self.timesteps, (len(x0),), device=x0.device)
        noise = torch.randn_like(x0)
        x_t = self.scheduler.add_noise(x0, noise, t)  # type: ignore[arg-type]
        return self._epsilon(x_t, t, self.condition(lq)), noise

    def denoise(self, lq: Tensor, noise: ImageNoise, progress: Progress) -> Tensor:
        """DDIM from pure noise, then the decoder of the first stage."""
        height, width = (side * self.upscale // self.first_stage.factor for side in lq.shape[-2:])
        condition = self.condition(lq)
        latent = ddim(
            self.scheduler,
            lambda x, t: self._epsilon(x, torch.full((len(x),), t, device=x.device), condition),
            noise(self.latent_channels, height, width),
            noise,
            progress=progress,
            steps=self.steps,
            eta=self.eta,
        )
        return self.first_stage.decode(latent)

    def _epsilon(self, x_t: Tensor, t: Tensor, condition: Tensor) -> Tensor:
        return self.unet(torch.cat([x_t, condition], 1), t).sample.float()
