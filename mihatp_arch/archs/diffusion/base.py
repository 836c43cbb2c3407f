"""What LDM, IDM and ResShift share: training and sampling in one `forward`, noise of each image's own, legal sizes."""

from collections.abc import Callable, Iterable, Iterator
from hashlib import sha256

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from tqdm import tqdm

from mihatp_arch.errors import UserError

Steps = Callable[[Iterable[int]], Iterator[int]]  # goes through the steps of the sampling, with a bar or without


class ImageNoise:
    """Standard normal noise for the images of a batch, each from a generator that its own pixels seed.

    So a sample is the same in any batch, in any order, on any device.

    Args:
        lq: BxCxHxW in [0, 1]; pixels count as bytes.
        seed: another one gives other samples.
    """

    def __init__(self, lq: Tensor, seed: int) -> None:
        self._device = lq.device
        pixels = (lq.detach().float().clamp(0, 1) * 255).round().to(torch.uint8).cpu()
        self._generators = [torch.Generator().manual_seed(_number(image, seed)) for image in pixels]

    def __call__(self, *shape: int) -> Tensor:
        """Noise Bx*shape; each call draws anew."""
        drawn = [torch.randn(shape, generator=generator) for generator in self._generators]
        return torch.stack(drawn).to(self._device)


def _number(image: Tensor, seed: int) -> int:
    text = f"{seed} {tuple(image.shape)}".encode() + image.contiguous().numpy().tobytes()
    return int.from_bytes(sha256(text).digest()[:8], "big") >> 1


class Diffusion(nn.Module):
    """A conditional diffusion model: `forward(lq)` samples, `forward(lq, gt)` gives what a loss compares.

    Args:
        upscale: s; 2, 4 or 8.
        multiple: the sides of `lq` that the network takes are multiples of it; others are padded by reflection.
        seed: of the noise of the sampling.

    Raises:
        UserError: options that do not fit together.
    """

    def __init__(self, *, upscale: int, multiple: int, seed: int = 0) -> None:
        super().__init__()
        if upscale not in (2, 4, 8):
            raise UserError(f"network: upscale {upscale} is not supported; use 2, 4 or 8")
        self.upscale, self.multiple, self.seed = upscale, multiple, seed

    @property
    def smallest(self) -> int:
        """The least side of `lq`: a smaller one cannot be reflected to a multiple."""
        return self.multiple // 2 + 1

    def forward(self, lq: Tensor, gt: Tensor | None = None) -> tuple[Tensor, Tensor] | Tensor:
        """Bx3xHxW in [0, 1] -> Bx3x(s·H)x(s·W) in [0, 1]; with `gt`: the network's output, and what it should be.

        t and the noise of the latter come from torch's own generator, one for each sample.
        """
        if gt is None:
            return self.sample(lq)
        if any(side % self.multiple for side in lq.shape[-2:]):
            raise UserError(
                f"datasets.train.gt_size: {type(self).__name__} x{self.upscale} is trained on multiples of "
                f"{self.multiple * self.upscale} pixels, not on {gt.shape[-2]}×{gt.shape[-1]}"
            )
        return self.learn(2 * lq - 1, 2 * gt - 1)

    @torch.no_grad()
    def sample(self, lq: Tensor, *, progress: bool = False) -> Tensor:
        """Sample SR for LR, in [0, 1] each; `progress` shows a bar over the steps.

        Raises:
            UserError: an image that is too small.
        """
        height, width = lq.shape[-2:]
        if min(height, width) < self.smallest:
            raise UserError(
                f"lq is {width}×{height}: {type(self).__name__} x{self.upscale} needs at least {self.smallest} pixels "
                "a side"
            )
        noise = ImageNoise(lq, self.seed)
        padded = F.pad(2 * lq - 1, (0, -width % self.multiple, 0, -height % self.multiple), mode="reflect")

        def steps(wanted: Iterable[int]) -> Iterator[int]:
            return iter(tqdm(list(wanted), desc="sampling", unit="step", leave=False, disable=not progress))

        found = self.draw(padded, noise, steps).float()
        return (found[..., : height * self.upscale, : width * self.upscale] / 2 + 0.5).clamp(0, 1)

    def learn(self, lq: Tensor, gt: Tensor) -> tuple[Tensor, Tensor]:
        """What the network says, and what it should say, for images in [-1, 1]; one t for each sample."""
        raise NotImplementedError

    def draw(self, lq: Tensor, noise: ImageNoise, steps: Steps) -> Tensor:
        """A sample in [-1, 1], about, for `lq` in [-1, 1] of legal size."""
        raise NotImplementedError
