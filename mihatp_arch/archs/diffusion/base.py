"""The base of LDM, IDM and ResShift: training and sampling in one `forward`, reproducible noise, legal sizes."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator
from hashlib import sha256

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from datasets_prep.common.processes.progress import progress_bar
from mihatp_arch.errors import UserError

Progress = Callable[[Iterable[int]], Iterator[int]]  # iterates over time steps, with a progress bar or without


class ImageNoise:
    """Standard normal noise for the images of a batch, each from a generator that its own pixels seed.

    A sample is therefore the same in any batch, in any order, on any device.

    Args:
        lq: `[B, C, H, W]` in [0, 1]; the pixels are rounded to bytes.
        seed: another seed gives other samples.
    """

    def __init__(self, lq: Tensor, seed: int) -> None:
        self._device = lq.device
        pixels = (lq.detach().float().clamp(0, 1) * 255).round().to(torch.uint8).cpu()
        self._generators = [torch.Generator().manual_seed(_image_seed(image, seed)) for image in pixels]

    def __call__(self, *shape: int) -> Tensor:
        """New noise `[B, *shape]` at each call."""
        noise = [torch.randn(shape, generator=generator) for generator in self._generators]
        return torch.stack(noise).to(self._device)


def _image_seed(image: Tensor, seed: int) -> int:
    text = f"{seed} {tuple(image.shape)}".encode() + image.contiguous().numpy().tobytes()
    return int.from_bytes(sha256(text).digest()[:8], "big") >> 1


class Diffusion(nn.Module, ABC):
    """A conditional diffusion model: `forward(lq)` samples, `forward(lq, gt)` gives the two tensors of the loss.

    Args:
        upscale: s; 2, 4 or 8.
        multiple: the network takes `lq` whose sides are multiples of it; other images are padded by reflection.
        seed: of the noise of the sampling.
        samples: k; SR is the mean of k samples, with the seeds seed, seed + 1, … seed + k - 1.

    Raises:
        UserError: the options do not fit together.
    """

    def __init__(self, *, upscale: int, multiple: int, seed: int = 0, samples: int = 1) -> None:
        super().__init__()
        if samples < 1:
            raise UserError(f"network: samples {samples}: the mean needs at least one")
        if upscale not in (2, 4, 8):
            raise UserError(f"network: upscale {upscale} is not supported; use 2, 4 or 8")
        self.upscale, self.multiple, self.seed, self.samples = upscale, multiple, seed, samples

    @property
    def smallest(self) -> int:
        """The least side of `lq`; a smaller image cannot be padded to a multiple by reflection."""
        return self.multiple // 2 + 1

    def forward(self, lq: Tensor, gt: Tensor | None = None) -> tuple[Tensor, Tensor] | Tensor:
        """`[B, 3, H, W]` in [0, 1] -> `[B, 3, s·H, s·W]` in [0, 1]; with `gt`: the network's output and its target.

        In training, torch's global generator draws t and the noise, for each sample its own.
        """
        if gt is None:
            return self.sample(lq)
        if any(side % self.multiple for side in lq.shape[-2:]):
            raise UserError(
                f"datasets.train.gt_size: {type(self).__name__} x{self.upscale} is trained on multiples of "
                f"{self.multiple * self.upscale} pixels, not on {gt.shape[-2]}×{gt.shape[-1]}"
            )
        return self.prediction_and_target(2 * lq - 1, 2 * gt - 1)

    @torch.no_grad()
    def sample(self, lq: Tensor, *, progress: bool = False) -> Tensor:
        """SR for LR, both in [0, 1]: a sample, or the mean of `samples`; `progress` shows a bar over the time steps.

        The mean has a higher PSNR than one sample, and less detail.

        Raises:
            UserError: the image is too small.
        """
        height, width = lq.shape[-2:]
        if min(height, width) < self.smallest:
            raise UserError(
                f"lq is {width}×{height}: {type(self).__name__} x{self.upscale} needs at least {self.smallest} pixels "
                "a side"
            )
        padded = F.pad(2 * lq - 1, (0, -width % self.multiple, 0, -height % self.multiple), mode="reflect")

        def with_progress(steps: Iterable[int]) -> Iterator[int]:
            return iter(progress_bar(list(steps), desc="sampling", unit="step", leave=False, shown=progress))

        total = lq.new_zeros(())
        for seed in range(self.seed, self.seed + self.samples):
            sr = self.denoise(padded, ImageNoise(lq, seed), with_progress).float()
            total = total + (sr[..., : height * self.upscale, : width * self.upscale] / 2 + 0.5).clamp(0, 1)
        return total / self.samples

    @abstractmethod
    def prediction_and_target(self, lq: Tensor, gt: Tensor) -> tuple[Tensor, Tensor]:
        """The network's output and its target, for images in [-1, 1]; each sample has its own t."""

    @abstractmethod
    def denoise(self, lq: Tensor, noise: ImageNoise, progress: Progress) -> Tensor:
        """The reverse process: a sample in about [-1, 1] for `lq` in [-1, 1] of legal size."""
