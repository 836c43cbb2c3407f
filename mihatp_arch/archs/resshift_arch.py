"""ResShift (Yue et al., NeurIPS 2023): diffusion from the latent of enlarged LR to the latent of HR, in few steps."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from basicsr.utils.registry import ARCH_REGISTRY
from torch import Tensor

from mihatp_arch.archs.diffusion.base import ImageNoise, Progress
from mihatp_arch.archs.diffusion.latent import LatentDiffusion
from mihatp_arch.archs.diffusion.residual_shift import ResidualShift
from mihatp_arch.archs.diffusion.swin_unet import SwinUNet


@ARCH_REGISTRY.register()
class ResShift(LatentDiffusion):
    """Residual shifting, `[B, 3, H, W]` in [0, 1] -> `[B, 3, s·H, s·W]`: see `Diffusion`. The network predicts x_0.

    Args:
        upscale: s; 2, 4 or 8.
        first_stage: options of `Autoencoder`.
        model_channels: channels of the first level of the U-Net.
        channel_mult: channels of each level, in units of `model_channels`.
        num_res_blocks: residual blocks of a level.
        swin_embed: channels of a Swin layer.
        swin_heads: attention heads of a Swin layer.
        swin_depth: blocks of a Swin layer.
        window_size: width of the attention windows. The latent is padded to multiples of window_size · 2^(levels - 1).
        mlp_ratio: channels inside the MLPs of a Swin layer, in units of `swin_embed`.
        norm_groups: of group normalisation.
        steps: T, of training and sampling.
        kappa: κ.
        min_noise: κ√η_1.
        max_root: √η_T.
        power: p.
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
        model_channels: int = 160,
        channel_mult: Sequence[int] = (1, 2, 2, 4),
        num_res_blocks: int = 2,
        swin_embed: int = 192,
        swin_heads: int = 6,
        swin_depth: int = 2,
        window_size: int = 6,
        mlp_ratio: float = 4,
        norm_groups: int = 32,
        steps: int = 15,
        kappa: float = 2.0,
        min_noise: float = 0.04,
        max_root: float = 0.99,
        power: float = 0.3,
        seed: int = 0,
        samples: int = 1,
    ) -> None:
        multiple = window_size * 2 ** (len(channel_mult) - 1)
        super().__init__(upscale=upscale, first_stage=first_stage, multiple=multiple, seed=seed, samples=samples)
        self.chain = ResidualShift(steps=steps, kappa=kappa, min_noise=min_noise, max_root=max_root, power=power)
        self.unet = SwinUNet(
            in_channels=self.latent_channels + self.condition_channels,
            out_channels=self.latent_channels,
            model_channels=model_channels,
            channel_mult=channel_mult,
            num_res_blocks=num_res_blocks,
            swin_embed=swin_embed,
            swin_heads=swin_heads,
            swin_depth=swin_depth,
            window_size=window_size,
            mlp_ratio=mlp_ratio,
            norm_groups=norm_groups,
        )

    def prediction_and_target(self, lq: Tensor, gt: Tensor) -> tuple[Tensor, Tensor]:
        """f_θ(x_t, y_0, t) and x_0, both `[B, C, h, w]`, for t uniform in 1 … T (paper, eq. 8)."""
        x0 = self.encode(gt)
        t = torch.randint(self.chain.steps, (len(x0),), device=x0.device)
        x_t = self.chain.shift(x0, self.enlarged_latent(lq), t, torch.randn_like(x0))
        return self._x0(x_t, t, self.condition(lq)), x0

    def denoise(self, lq: Tensor, noise: ImageNoise, progress: Progress) -> Tensor:
        """From x_T, which is y_0 and noise, down to x_0; then the decoder of the first stage."""
        y0, condition = self.enlarged_latent(lq), self.condition(lq)
        x = self.chain.prior(y0, noise(*y0.shape[1:]))
        for step in progress(range(self.chain.steps - 1, -1, -1)):
            t = torch.full((len(x),), step, device=x.device)
            mean, deviation = self.chain.posterior(x, self._x0(x, t, condition), t)
            x = mean + deviation * noise(*y0.shape[1:]) if step else mean
        return self.first_stage.decode(x)

    def enlarged_latent(self, lq: Tensor) -> Tensor:
        """y_0: the latent of the LR image that bicubic interpolation has enlarged."""
        return self.encode(F.interpolate(lq, scale_factor=self.upscale, mode="bicubic", align_corners=False))

    def _x0(self, x_t: Tensor, t: Tensor, condition: Tensor) -> Tensor:
        return self.unet(torch.cat([self.chain.scale_input(x_t, t), condition], 1), t).float()
