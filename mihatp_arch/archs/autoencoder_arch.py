"""The first stage of LDM and ResShift: VQ-f4 or KL-f4 of Rombach et al. (CVPR 2022), which are diffusers' classes."""

from collections.abc import Sequence
from typing import Any, Literal

import torch
import torch.nn.functional as F
from basicsr.utils.registry import ARCH_REGISTRY
from torch import Tensor, distributed, nn

from mihatp_arch.errors import UserError

_RESET_AFTER = 100  # training steps that a code is unused before it is reset


@ARCH_REGISTRY.register()
class Autoencoder(nn.Module):
    """Encode and decode an image: `[B, 3, H, W]` in [0, 1] in and out; sides are padded to multiples of `factor`.

    A diffusion model works on (z - μ) / σ, where μ and σ belong to a channel of the latents. Training this network
    measures them. The authors' weights have μ = 0, and σ = 1/scaling_factor (KL) or 1 (VQ).

    Args:
        kind: `vq` quantises latents to a codebook; `kl` pulls them towards a normal distribution.
        channels: of each level; every level but the last halves the sides.
        blocks: residual blocks of a level.
        latent_channels: channels of z.
        codes: size of the codebook of `vq`.
        norm_groups: of group normalisation.

    Raises:
        UserError: the options do not fit together.
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
        from diffusers import AutoencoderKL, VQModel  # takes a second to import

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
            self.vae.quantize.legacy = (
                False  # β = 0.25 weights the commitment loss; in LDM's code it weights the codebook loss
            )
            self.register_buffer(
                "idle", torch.full((codes,), _RESET_AFTER)
            )  # training steps since a latent used each code

    @property
    def last_layer(self) -> nn.Parameter:
        """The weight of the last convolution of the decoder."""
        return self.vae.decoder.conv_out.weight

    def encode(self, image: Tensor) -> Tensor:
        """Image in [-1, 1] -> (z - μ) / σ, for `vq` before quantisation: `[B, 3, H, W]` -> `[B, C, H/f, W/f]`."""
        return (self._encode(image) - self.latent_mean) / self._sigma()

    def decode(self, latent: Tensor) -> Tensor:
        """(z - μ) / σ -> image in about [-1, 1]."""
        return self.vae.decode(latent * self._sigma() + self.latent_mean).sample

    def forward(self, image: Tensor, *, with_loss: bool = False) -> tuple[Tensor, Tensor] | Tensor:
        """Image in [0, 1] -> its reconstruction in [0, 1]; with `with_loss` also the loss of the latents.

        That is the codebook loss (`vq`), or the divergence from a standard normal distribution, divided by the number
        of values of an image (`kl`). A pass with `with_loss` also measures μ and σ.
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
        self._reset_codes(latent)
        quantised, loss, (_, _, chosen) = self.vae.quantize(latent)
        self._count_idle(chosen)
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
    def _reset_codes(self, latent: Tensor) -> None:
        """Codebook reset: moves every code that no latent has used for 100 steps onto a random latent.

        The first step resets all codes: hardly any of the initial ones would ever be used, and the few used ones could
        not represent colour.
        """
        idle = self.idle >= _RESET_AFTER
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
    def _count_idle(self, chosen: Tensor) -> None:
        self.idle += 1
        self.idle[chosen] = 0
        if distributed.is_initialized():
            distributed.all_reduce(self.idle, distributed.ReduceOp.MIN)
