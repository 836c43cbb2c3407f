"""IDM (Gao et al., CVPR 2023): diffusion in pixel space with an implicit decoder, for any magnification up to s.

Sizes and schedule come from the authors' code, https://github.com/Ree1s/IDM, the sampler from diffusers.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from basicsr.utils.registry import ARCH_REGISTRY
from torch import Tensor, nn

from mihatp_arch.archs.diffusion.base import Diffusion, ImageNoise, Progress
from mihatp_arch.archs.diffusion.ddim import check_steps, ddim
from mihatp_arch.archs.diffusion.idm_blocks import Encoder, Modulation, Pyramid
from mihatp_arch.archs.diffusion.idm_unet import UNet, UNetOptions
from mihatp_arch.errors import UserError


class Condition(NamedTuple):
    """The U-Net's condition on LR, equal at every step: an image `[B, 3, H, W]`, and the modulations of the decoder."""

    image: Tensor
    modulations: list[Modulation]


def alpha_products(timesteps: int, beta_start: float, beta_end: float) -> Tensor:
    """ᾱ_0 = 1, ᾱ_1, … ᾱ_T: products of 1 - β_t, with β linear from `beta_start` to `beta_end`; float64."""
    beta = torch.linspace(beta_start, beta_end, timesteps, dtype=torch.float64)
    return torch.cat([beta.new_ones(1), (1 - beta).cumprod(0)])


def side_at(p: float, lq: int, gt: int, unit: int) -> int:
    """The side of HR at the share p of the way from `lq` to `gt`: a multiple of `unit`, at least `lq`."""
    units = round((lq + (gt - lq) * p) / unit)
    return unit * max(units, math.ceil(lq / unit))


@ARCH_REGISTRY.register()
class IDM(Diffusion):
    """Implicit diffusion model, `[B, 3, H, W]` in [0, 1] -> `[B, 3, s·H, s·W]`: see `Diffusion`.

    The network predicts ε.

    With `continuous` training, each sample's HR has a size of its own: a random share p of the way from LR to full HR.
    The network is told p. Sampling uses p = 1.

    Args:
        upscale: s; 2, 4 or 8.
        num_feat: channels of the first level of the U-Net; even.
        mult: channels of each level, in units of `num_feat`; two levels at least.
        num_blocks: residual blocks of a level.
        dropout: in the residual blocks.
        attention_levels: levels with self-attention, from 0; the middle block always has it.
        norm_groups: of group normalisation.
        encoder_feat: channels of the encoder of LR.
        encoder_blocks: residual blocks of the encoder of LR.
        hidden: of the MLPs of the implicit decoder.
        mlp_gelu: whether these MLPs have an activation; the authors' code has none.
        timesteps: T of the training.
        beta_start: β_1; β is linear from β_1 to β_T.
        beta_end: β_T.
        steps: of the sampling (DDIM); divides T.
        eta: 0 samples without new noise, 1 (with steps = T) as SR3.
        continuous: train with random p instead of p = 1.
        full_scale_share: share of samples with p = 1 in `continuous` training; the others have p uniform in (0, 1).
        seed: of the sampling.
        samples: k; SR is the mean of k samples with the seeds seed, seed + 1, …

    Raises:
        UserError: the options do not fit together.
    """

    gamma: Tensor

    def __init__(
        self,
        *,
        upscale: int = 4,
        num_feat: int = 64,
        mult: Sequence[int] = (1, 2, 4, 8, 8),
        num_blocks: int = 2,
        dropout: float = 0.2,
        attention_levels: Sequence[int] = (3,),
        norm_groups: int = 32,
        encoder_feat: int = 64,
        encoder_blocks: int = 16,
        hidden: int = 256,
        mlp_gelu: bool = False,
        timesteps: int = 2000,
        beta_start: float = 1e-6,
        beta_end: float = 1e-2,
        steps: int = 200,
        eta: float = 0.0,
        continuous: bool = True,
        full_scale_share: float = 0.5,
        seed: int = 0,
        samples: int = 1,
    ) -> None:
        check_steps(steps, timesteps, eta)
        if not 0 < beta_start <= beta_end < 1:
            raise UserError(f"network: beta_start {beta_start} and beta_end {beta_end} must rise between 0 and 1")
        if not (0 <= full_scale_share <= 1 and 0 <= dropout < 1):
            raise UserError(
                f"network: full_scale_share {full_scale_share} must lie in [0, 1], dropout {dropout} in [0, 1)"
            )
        if min(num_blocks, encoder_feat, encoder_blocks, hidden, norm_groups) < 1:
            raise UserError(
                f"network: num_blocks {num_blocks}, encoder_feat {encoder_feat}, encoder_blocks {encoder_blocks}, "
                f"hidden {hidden} and norm_groups {norm_groups} must be 1 or more each"
            )
        if len(mult) < 2 or min(mult) < 1:
            raise UserError(f"network: mult {list(mult)} must be two levels or more, of 1 or more each")
        if num_feat < 1 or num_feat % 2 or num_feat % norm_groups:
            raise UserError(f"network: num_feat {num_feat} must be even, and a multiple of norm_groups {norm_groups}")
        if not set(attention_levels) <= set(range(len(mult))):
            raise UserError(
                f"network: attention_levels {list(attention_levels)}: the levels of mult are 0 to {len(mult) - 1}"
            )
        unit = 2 ** (len(mult) - 1)
        super().__init__(upscale=upscale, multiple=unit // math.gcd(unit, upscale), seed=seed, samples=samples)
        self.unit = unit
        widths = [num_feat * factor for factor in mult]
        self.encoder = Encoder(encoder_feat, encoder_blocks)
        self.pyramid = Pyramid(widths)
        self.unet = UNet(UNetOptions(widths, num_blocks, attention_levels, norm_groups, dropout, hidden, mlp_gelu))
        self.apply(_orthogonal_init)
        self.timesteps, self.steps, self.eta = timesteps, steps, eta
        self.full_scale_share = full_scale_share if continuous else 1.0
        self._set_schedule(timesteps, beta_start, beta_end)

    def _set_schedule(self, timesteps: int, beta_start: float, beta_end: float) -> None:
        from diffusers import DDIMScheduler  # takes a second to import

        alphas = alpha_products(timesteps, beta_start, beta_end)
        self.register_buffer("gamma", alphas.sqrt().float(), persistent=False)
        self.scheduler = DDIMScheduler(
            timesteps, beta_start, beta_end, "linear", clip_sample=True, timestep_spacing="trailing"
        )
        self.scheduler.alphas_cumprod = alphas[1:]  # diffusers has float32, in which 1 - ᾱ_1 has an error of 1 %

    def prediction_and_target(self, lq: Tensor, gt: Tensor) -> tuple[Tensor, Tensor]:
        """ε_θ and ε; each sample has a noise level, a noise and a p of its own. Samples of one size run together.

        Both are `[B, 3, H, W]` if all samples have one size, else the flat pixels of all samples.
        """
        predictions: list[Tensor] = []
        noises: list[Tensor] = []
        for size, members in self._sizes(lq, gt).items():
            x0 = gt[members]
            if size != gt.shape[-2:]:
                x0 = F.interpolate(x0, size, mode="bicubic", align_corners=False, antialias=True).clamp(-1, 1)
            gamma, noise = self.noise_levels(len(members)), torch.randn_like(x0)
            level = gamma[:, None, None, None]
            x_t = level * x0 + (1 - level.square()).sqrt() * noise
            low, high = sum(lq.shape[-2:]), sum(gt.shape[-2:])
            condition = self.condition(lq[members], size, (sum(size) - low) / (high - low))
            predictions.append(self.epsilon(x_t, gamma, condition))
            noises.append(noise)
        if len(predictions) == 1:
            return predictions[0], noises[0]
        return torch.cat([x.flatten() for x in predictions]), torch.cat([x.flatten() for x in noises])

    def denoise(self, lq: Tensor, noise: ImageNoise, progress: Progress) -> Tensor:
        """DDIM from pure noise at full size, x_0 clipped to [-1, 1] at each step."""
        height, width = (side * self.upscale for side in lq.shape[-2:])
        condition = self.condition(lq, (height, width), 1.0)
        return ddim(
            self.scheduler,
            lambda x, t: self.epsilon(x, self.gamma[t + 1].expand(len(x)), condition),  # diffusers counts t from 0
            noise(3, height, width),
            noise,
            progress=progress,
            steps=self.steps,
            eta=self.eta,
        )

    def condition(self, lq: Tensor, size: Sequence[int], s: float) -> Condition:
        """The condition of the U-Net on `lq`, `[B, 3, h, w]` in [-1, 1], for images of `size`; s is the share p."""
        image = self.encoder(lq, size)
        return Condition(image, self.pyramid(image, lq.new_full((len(lq),), s)))

    def epsilon(self, x_t: Tensor, gamma: Tensor, condition: Condition) -> Tensor:
        """ε_θ(x_t, γ, LR), `[B, 3, H, W]` float32; γ = √ᾱ is `[B]`."""
        return self.unet(torch.cat([condition.image, x_t], 1), gamma, condition.modulations).float()

    def noise_levels(self, count: int) -> Tensor:
        """γ of `count` samples, uniform between √ᾱ_t and √ᾱ_{t-1}, for t uniform in 1 … T."""
        t = torch.randint(1, self.timesteps + 1, (count,), device=self.gamma.device)
        return torch.lerp(self.gamma[t], self.gamma[t - 1], torch.rand(count, device=t.device))

    def _sizes(self, lq: Tensor, gt: Tensor) -> dict[tuple[int, int], list[int]]:
        """Draw a size of HR for each sample: size -> indices of its samples."""
        full = torch.rand(len(lq)) < self.full_scale_share
        samples: dict[tuple[int, int], list[int]] = {}
        for index, p in enumerate(torch.rand(len(lq)).masked_fill(full, 1).tolist()):
            height, width = (
                side_at(p, low, high, self.unit) for low, high in zip(lq.shape[-2:], gt.shape[-2:], strict=True)
            )
            samples.setdefault((height, width), []).append(index)
        return samples


def _orthogonal_init(module: nn.Module) -> None:
    """The authors' initialisation: orthogonal weights, zero bias. Equalised layers have their own."""
    if isinstance(module, (nn.Conv2d, nn.Linear)):
        nn.init.orthogonal_(module.weight)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
