"""`train.lq_augment`: JPEG compression of a share of the LR images, so that the network learns the LR of real scans."""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor

from mihatp_arch.errors import UserError
from mihatp_arch.transforms.irreversible import Jpeg


class LQAugment:
    """Compresses LR images, each with a probability and a quality of its own; HR stays as it is.

    The draws come from torch's global CPU generator, which a resumed training continues.

    Args:
        jpeg: range [low, high] of the quality, within [1, 100].
        share: probability that an image is compressed.

    Raises:
        UserError: a value is out of its range.
    """

    def __init__(self, *, jpeg: Sequence[float] = (70, 100), share: float = 1 / 3) -> None:
        if len(jpeg) != 2 or not 1 <= jpeg[0] <= jpeg[1] <= 100:
            raise UserError(f"train.lq_augment.jpeg: {list(jpeg)} is no range [low, high] of qualities within [1, 100]")
        if not 0 <= share <= 1:
            raise UserError(f"train.lq_augment.share: {share} must lie between 0 and 1")
        self.low, self.high, self.share = float(jpeg[0]), float(jpeg[1]), share
        self._jpeg = Jpeg.build()

    @torch.no_grad()
    def __call__(self, lq: Tensor) -> Tensor:
        """LR `[B, 3, H, W]` in [0, 1] -> the same shape; compressed images have 8 bits, as a file has."""
        chosen = torch.rand(len(lq)) < self.share
        compressed = self._jpeg(lq.float(), self.low, self.high).clamp(0, 1)
        compressed = (compressed * 255).round() / 255
        return torch.where(chosen.to(lq.device).view(-1, 1, 1, 1), compressed.to(lq.dtype), lq)


def augment_lq(lq: Tensor, train_opt: Mapping[str, Any]) -> Tensor:
    """The LR images of one training step, `[B, 3, H, W]`: as they are, or as `train.lq_augment` says."""
    options = train_opt.get("lq_augment")
    if options is None:
        return lq
    return _built(**{name: tuple(value) if name == "jpeg" else value for name, value in options.items()})(lq)


_built = lru_cache(maxsize=1)(LQAugment)  # for the options of a training, which are the same in every step
