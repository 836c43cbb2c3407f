"""The first stage of LDM and ResShift: VQ-f4 or KL-f4 of Rombach et al. (CVPR 2022), which are diffusers' classes."""

from collections.abc import Sequence
from typing import Any, Literal

import torch
import torch.nn.functional as F
from basicsr.utils.registry import ARCH_REGISTRY
from torch import Tensor, distributed, nn

from mihatp_arch.errors import UserError

_PATIENCE = 100  # training steps without a latent, after which a code is laid anew


@ARCH_REGISTRY.register()
class Autoencoder(nn.Module):
    """HR through the latent space and back: Bx3xHxW in [0, 1] -> the same; sides are padded to multiples of `factor`.

    A diffusion model works on (z - μ) / σ, with μ and σ of each channel of the latents: they are measured while this is
    trained; in the published ones μ = 0 and σ = 1/scaling_factor (KL) or 1 (VQ).

    Args:
        kind: `vq` quantises latents to a codebook, `kl` draws them near a normal distribution.
        channels: of each level; a level halves the sides, but for the last.
        blocks: residual blocks of a level.
        latent_channels: channels of z.
        codes: size of the codebook of `vq`.
        norm_groups: of group normalisation.

    Raises:
        UserError: options that do not fit together.
    """

    latent_mean: Tensor
    latent_std: Tensor
    idle: Tensor

    def __init__(
        self,
        *,
        kind: Literal["vq", "kl"] = "vq",
        channels: Sequence[int] = (128, 256, 512),
        blocks: int = 2,
        latent_channels: int = 3,
        codes: int = 8192,
        norm_groups: int = 32,
    ) -> None:
        super().__init__()
        from diffusers import AutoencoderKL, VQModel  # takes a second, which most commands need not wait

        if kind not in ("vq", "kl"):
            raise UserError(f"network: kind {kind!r} of a first stage is neither vq nor kl")
        if not channels or min(blocks, latent_channels, codes, norm_groups, *channels) < 1:
            raise UserError("network: channels, blocks, latent_channels, codes and norm_groups must be 1 or more each")
        if any(width % norm_groups for width in channels):
            raise UserError(f"network: channels {list(channels)} are no multiples of norm_groups {norm_groups}")
        sizes: dict[str, Any] = {
            "in_channels": 3,
            "out_channels": 3,
            "down_block_types": ("DownEncoderBlock2D",) * len(channels),
            "up_block_types": ("UpDecoderBlock2D",) * len(channels),
            "block_out_channels": tuple(channels),
            "layers_per_block": blocks,
            "latent_channels": latent_channels,
            "norm_num_groups": norm_groups,
        }
        self.kind, self.factor, self.latent_channels = kind, 2 ** (len(channels) - 1), latent_channels
        self.vae: Any = (
            VQModel(**sizes, num_vq_embeddings=codes, vq_embed_dim=latent_channels, scaling_factor=1.0)
            if kind == "vq"
            else AutoencoderKL(**sizes)
        )
        self.register_buffer("latent_mean", torch.zeros(latent_channels, 1, 1))
        self.register_buffer("latent_std", torch.zeros(latent_channels, 1, 1))  # 0: nothing measured yet
        if kind == "vq":
            self.vae.quantize.legacy = False  # β = 0.25 weighs the commitment; in LDM's code it weighs the codebook
            self.register_buffer("idle", torch.full((codes,), _PATIENCE))  # training steps that nothing fell on a code

    def encode(self, image: Tensor) -> Tensor:
        """Image in [-1, 1] -> (z - μ) / σ, for `vq` before it is quantised: Bx3xHxW -> BxCx(H/f)x(W/f)."""
        return (self._encode(image) - self.latent_mean) / self._sigma()

    def decode(self, latent: Tensor) -> Tensor:
        """(z - μ) / σ -> image, about [-1, 1]."""
        return self.vae.decode(latent * self._sigma() + self.latent_mean).sample

    def forward(self, image: Tensor, *, with_loss: bool = False) -> tuple[Tensor, Tensor] | Tensor:
        """Image in [0, 1] -> its reconstruction in [0, 1]; with `with_loss` also what holds the latents in shape.

        That is the codebook's loss, or the divergence from a standard normal distribution by value of the image. Only
        then, in training, μ and σ are measured.
        """
        x = 2 * image - 1
        if not with_loss:
            height, width = x.shape[-2:]
            x = F.pad(x, (0, -width % self.factor, 0, -height % self.factor), mode="replicate")
            return (self.decode(self.encode(x))[..., :height, :width] / 2 + 0.5).clamp(0, 1)
        if self.kind == "kl":
            posterior = self.vae.encode(x).latent_dist
            latent, loss = posterior.sample(), posterior.kl().mean() / image[0].numel()
            self._measure(posterior.mode())
            return self.vae.decode(latent).sample / 2 + 0.5, loss
        latent = self._encode(x)
        self._measure(latent)
        self._lay_codes(latent)
        quantised, loss, (_, _, chosen) = self.vae.quantize(latent)
        self._count(chosen)
        return self.vae.decoder(self.vae.post_quant_conv(quantised)) / 2 + 0.5, loss

    def _encode(self, x: Tensor) -> Tensor:
        return self.vae.encode(x).latents if self.kind == "vq" else self.vae.encode(x).latent_dist.mode()

    def _sigma(self) -> Tensor:
        return torch.where(self.latent_std > 0, self.latent_std, 1.0)

    @torch.no_grad()
    def _measure(self, latent: Tensor) -> None:
        std, mean = torch.std_mean(latent.float(), (0, 2, 3), keepdim=True)
        first = not bool(self.latent_std.any())
        self.latent_std.lerp_(std[0], 1.0 if first else 0.01)
        self.latent_mean.lerp_(mean[0], 1.0 if first else 0.01)

    @torch.no_grad()
    def _lay_codes(self, latent: Tensor) -> None:
        """Put codes that nothing falls on where latents are.

        At the start all are so: of codes as they are initialised nearly none would ever be used, and what the first of
        them cannot say (colour) would never be learnt.
        """
        idle = self.idle >= _PATIENCE
        if not bool(idle.any()):
            return
        codebook = self.vae.quantize.embedding.weight
        flat = latent.float().transpose(0, 1).flatten(1).T
        drawn = flat[torch.randint(len(flat), (len(codebook),), device=flat.device)]
        if distributed.is_initialized():
            distributed.broadcast(drawn, 0)
        codebook.copy_(torch.where(idle[:, None], drawn, codebook))
        self.idle.masked_fill_(idle, 0)

    @torch.no_grad()
    def _count(self, chosen: Tensor) -> None:
        self.idle += 1
        self.idle[chosen] = 0
        if distributed.is_initialized():
            distributed.all_reduce(self.idle, distributed.ReduceOp.MIN)
