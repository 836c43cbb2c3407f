"""Windows of Swin and HAT: window_partition, window_reverse, attn_mask, position indices, overlapping windows.

Feature maps are channels last, `[B, H, W, C]`, with H and W multiples of the window.
"""

from dataclasses import dataclass
from itertools import product
from typing import Any

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor

# Added to scores that must not count. HAT adds -100, whose exp is a denormal number: that doubles the softmax's time.
MASKED = -200.0


def _grid(width: int) -> Tensor:
    """Row and column of every pixel of a square window: `[2, width²]`."""
    return torch.stack(torch.meshgrid(torch.arange(width), torch.arange(width), indexing="ij")).flatten(1)


def relative_position_index(window_size: int) -> Tensor:
    """Row of relative_position_bias_table for each query and key of a window: `[n, n]`, n = window_size², int64."""
    relative = _grid(window_size)[:, :, None] - _grid(window_size)[:, None, :] + window_size - 1
    return relative[0] * (2 * window_size - 1) + relative[1]


def overlapping_position_index(window_size: int, key_size: int) -> Tensor:
    """The same for queries of a window and keys of the wider window around it: `[window_size², key_size²]`, int64.

    HAT's own index has negative entries, which Python counts from the table's end. Modulo its length they are these.
    """
    relative = _grid(key_size)[:, None, :] - _grid(window_size)[:, :, None] + window_size - key_size + 1
    span = window_size + key_size - 1
    return (relative[0] * span + relative[1]) % span**2


def overlapping_window_size(window_size: int, overlap_ratio: float) -> int:
    """Width of OCAB's key windows, rounded as HAT rounds it."""
    return int(window_size * overlap_ratio) + window_size


def shifted_window_attn_mask(window_size: int, shift_size: int) -> Tensor:
    """The attn_mask of shifted windows, `[4, n, n]`, n = window_size²: inside, last column, last row, last corner.

    After the cyclic shift only the last row and the last column of windows join pixels that are no neighbours, so that
    these four masks serve every image size.
    """
    edge = (torch.arange(window_size) >= window_size - shift_size).long()
    inside = torch.zeros_like(edge)
    masks = []
    for rows in (inside, edge):
        for columns in (inside, edge):
            region = (2 * rows[:, None] + columns[None, :]).flatten()
            masks.append((region[:, None] != region[None, :]) * MASKED)
    return torch.stack(masks)


@dataclass(frozen=True)
class WindowPartition:
    """The windows of a batch of maps, shifted or not. Shifted windows that share a mask follow one another.

    Attributes:
        pixel_order: for each pixel of the windows its index in the flat map of B·H·W pixels, int64.
        inverse_order: for each pixel of the flat map its index in the windows.
        mask_counts: number of windows with each of the four masks of `shifted_window_attn_mask`; a single number
            without a shift, where no window has a mask.
    """

    pixel_order: Tensor
    inverse_order: Tensor
    mask_counts: tuple[int, ...]

    @classmethod
    def of(
        cls, shape: tuple[int, int, int], *, window_size: int, shift_size: int, device: torch.device
    ) -> "WindowPartition":
        """The windows of maps of B, H, W = `shape`, after a cyclic shift by `shift_size` pixels."""
        batch, height, width = shape
        pixels = torch.arange(batch * height * width, device=device).view(shape)
        pixels = pixels.roll((-shift_size, -shift_size), (1, 2))
        windows = rearrange(pixels, "b (i y) (j x) -> b i j (y x)", y=window_size, x=window_size)
        groups = [windows]
        if shift_size:
            groups = [
                group for rows in (windows[:, :-1], windows[:, -1:]) for group in (rows[:, :, :-1], rows[:, :, -1:])
            ]
        pixel_order = torch.cat([group.flatten() for group in groups])
        inverse_order = torch.empty_like(pixel_order)
        inverse_order[pixel_order] = torch.arange(len(pixel_order), device=device)
        return cls(pixel_order, inverse_order, tuple(group[..., 0].numel() for group in groups))

    def window_partition(self, x: Tensor) -> Tensor:
        """Map `[B, H, W, C]` -> windows one after the other, `[windows · window_size², C]`."""
        flat = x.reshape(-1, x.shape[-1])
        return _Permute.apply(flat, self.pixel_order, self.inverse_order)  # type: ignore[return-value]

    def window_reverse(self, windows: Tensor, like: Tensor) -> Tensor:
        """The inverse of `window_partition`: windows `[windows · window_size², C]` -> a map in the shape of `like`."""
        flat: Tensor = _Permute.apply(windows, self.inverse_order, self.pixel_order)  # type: ignore[assignment]
        return flat.view(*like.shape[:-1], -1)


def overlapping_window_partition(x: Tensor, window_size: int, key_size: int) -> Tensor:
    """Map `[B, H, W, C]` -> the wider windows around its windows, `[B·windows, key_size², C]`; zero outside the map."""
    return _OverlappingWindowPartition.apply(x, window_size, key_size)  # type: ignore[return-value]


class _OverlappingWindowPartition(torch.autograd.Function):
    """Overlapping windows, whose gradient adds all windows at once that do not overlap.

    The gradient of `unfold` adds pixel by pixel, which takes longer.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, window_size: int, key_size: int) -> Tensor:
        ctx.window_size, ctx.key_size, ctx.shape = window_size, key_size, x.shape
        pad = (key_size - window_size) // 2
        padded = F.pad(x, (0, 0, pad, pad, pad, pad))
        windows = padded.unfold(1, key_size, window_size).unfold(2, key_size, window_size)
        return rearrange(windows, "b i j c y x -> (b i j) (y x) c")

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:  # type: ignore[override]
        window_size, key_size, (B, H, W, C) = ctx.window_size, ctx.key_size, ctx.shape
        rows, columns, pad = H // window_size, W // window_size, (key_size - window_size) // 2
        step = -(-key_size // window_size)  # every step-th window: these do not overlap
        pitch = step * window_size  # pixels from one of them to the next
        grad = grad.view(B, rows, columns, key_size, key_size, C).transpose(2, 3)
        height, width = (
            max(i * window_size + len(range(i, n, step)) * pitch for i in range(step)) for n in (rows, columns)
        )
        total = grad.new_zeros(B, height, width, C)
        for i, j in product(range(min(step, rows)), range(min(step, columns))):
            apart = grad[:, i::step, :, j::step]
            n, m = apart.shape[1], apart.shape[3]
            top, left = i * window_size, j * window_size
            region = total[:, top : top + n * pitch, left : left + m * pitch]
            region.unflatten(2, (m, pitch)).unflatten(1, (n, pitch))[:, :, :key_size, :, :key_size].add_(apart)
        return total[:, pad : pad + H, pad : pad + W], None, None


class _Permute(torch.autograd.Function):
    """Rows in another order. The gradient permutes back, where that of `index_select` would add row by row."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, order: Tensor, inverse: Tensor) -> Tensor:
        ctx.save_for_backward(order, inverse)
        return x.index_select(0, order)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:  # type: ignore[override]
        order, inverse = ctx.saved_tensors
        return _Permute.apply(grad, inverse, order), None, None  # type: ignore[return-value]
