"""Where the pixels of square windows lie: position indices, the masks of shifted windows, and the order of windows."""

from dataclasses import dataclass
from itertools import product
from typing import Any

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor

# What must not count; HAT adds -100, whose exp is a denormal number, which takes the softmax twice the time of a zero.
MASKED = -200.0


def _grid(width: int) -> Tensor:
    """Row and column of every position of a square window: (2, width²)."""
    return torch.stack(torch.meshgrid(torch.arange(width), torch.arange(width), indexing="ij")).flatten(1)


def window_index(window: int) -> Tensor:
    """Row of the bias table for each pair of a query and a key in one window: (n, n), n = window², int64."""
    relative = _grid(window)[:, :, None] - _grid(window)[:, None, :] + window - 1
    return relative[0] * (2 * window - 1) + relative[1]


def overlap_index(window: int, key: int) -> Tensor:
    """The same for queries of a window and keys of the wider one centred on it: (window², key²), int64.

    HAT's own index is negative in part and relies on Python's wrap-around; modulo the table's length it is this one.
    """
    relative = _grid(key)[:, None, :] - _grid(window)[:, :, None] + window - key + 1
    span = window + key - 1
    return (relative[0] * span + relative[1]) % span**2


def key_window(window_size: int, overlap_ratio: float) -> int:
    """Width of OCAB's key windows, as HAT rounds it."""
    return int(window_size * overlap_ratio) + window_size


def shift_masks(window_size: int, shift: int) -> Tensor:
    """What a shifted window adds to its scores: (4, n, n), n = window²; inside, last column, last row, corner.

    After the cyclic shift only the last row and column of windows join pixels that are not neighbours, so four masks
    serve every image size.
    """
    edge = (torch.arange(window_size) >= window_size - shift).long()
    inside = torch.zeros_like(edge)
    masks = []
    for rows in (inside, edge):
        for columns in (inside, edge):
            region = (2 * rows[:, None] + columns[None, :]).flatten()
            masks.append((region[:, None] != region[None, :]) * MASKED)
    return torch.stack(masks)


@dataclass(frozen=True)
class Partition:
    """A batch of maps in windows, one window after the other; of shifted windows, those with the same mask together.

    Attributes:
        order: the pixel (of B·H·W) at every place, int64.
        back: the place of every pixel.
        counts: windows with each mask of `shift_masks`; one number without a shift, where there is no mask.
    """

    order: Tensor
    back: Tensor
    counts: tuple[int, ...]

    @classmethod
    def of(cls, shape: tuple[int, int, int], *, window_size: int, shift: int, device: torch.device) -> "Partition":
        """For B, H, W = `shape`, H and W multiples of the window, shifted cyclically."""
        batch, height, width = shape
        pixels = torch.arange(batch * height * width, device=device).view(shape).roll((-shift, -shift), (1, 2))
        windows = rearrange(pixels, "b (i y) (j x) -> b i j (y x)", y=window_size, x=window_size)
        parts = [windows]
        if shift:
            parts = [part for rows in (windows[:, :-1], windows[:, -1:]) for part in (rows[:, :, :-1], rows[:, :, -1:])]
        order = torch.cat([part.flatten() for part in parts])
        back = torch.empty_like(order)
        back[order] = torch.arange(len(order), device=device)
        return cls(order, back, tuple(part[..., 0].numel() for part in parts))

    def windows(self, x: Tensor) -> Tensor:
        """BxHxWxC -> windows·n x C."""
        return _Permute.apply(x.reshape(-1, x.shape[-1]), self.order, self.back)  # type: ignore[return-value]

    def maps(self, windows: Tensor, like: Tensor) -> Tensor:
        """The inverse of `windows`, in the shape of the map `like`."""
        return _Permute.apply(windows, self.back, self.order).view(*like.shape[:-1], -1)  # type: ignore[union-attr]


def overlapping_windows(x: Tensor, window: int, key: int) -> Tensor:
    """BxHxWxC -> (B·windows) x key² x C: the wider windows centred on the windows of x, zero outside it."""
    return _Overlapping.apply(x, window, key)  # type: ignore[return-value]


class _Overlapping(torch.autograd.Function):
    """Windows that overlap: the gradient adds those that do not at once, where that of `unfold` adds pixel by pixel."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, window: int, key: int) -> Tensor:
        ctx.window, ctx.key, ctx.shape = window, key, x.shape
        pad = (key - window) // 2
        windows = F.pad(x, (0, 0, pad, pad, pad, pad)).unfold(1, key, window).unfold(2, key, window)
        return rearrange(windows, "b i j c y x -> (b i j) (y x) c")

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:  # type: ignore[override]
        window, key, (B, H, W, C) = ctx.window, ctx.key, ctx.shape
        rows, columns, pad, apart = H // window, W // window, (key - window) // 2, -(-key // window)
        pitch = apart * window  # of windows that do not overlap
        grad = grad.view(B, rows, columns, key, key, C).transpose(2, 3)
        height, width = (
            max(i * window + len(range(i, n, apart)) * pitch for i in range(apart)) for n in (rows, columns)
        )
        total = grad.new_zeros(B, height, width, C)
        for i, j in product(range(min(apart, rows)), range(min(apart, columns))):
            some = grad[:, i::apart, :, j::apart]
            n, m = some.shape[1], some.shape[3]
            part = total[:, i * window : i * window + n * pitch, j * window : j * window + m * pitch]
            part.unflatten(2, (m, pitch)).unflatten(1, (n, pitch))[:, :, :key, :, :key].add_(some)
        return total[:, pad : pad + H, pad : pad + W], None, None


class _Permute(torch.autograd.Function):
    """Rows in another order: the gradient takes the way back, where that of `index_select` would add row to row."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, order: Tensor, back: Tensor) -> Tensor:
        ctx.save_for_backward(order, back)
        return x.index_select(0, order)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:  # type: ignore[override]
        order, back = ctx.saved_tensors
        return _Permute.apply(grad, back, order), None, None  # type: ignore[return-value]
