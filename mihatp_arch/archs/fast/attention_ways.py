"""Three ways to compute the attention of windows on a CPU: the same numbers, up to the rounding of their type."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from mihatp_arch.archs.fast.calibration import chosen_way
from mihatp_arch.archs.fast.chunked_attention import all_at_once, chunked_attention

_WINDOWS = 16  # of a measurement; more windows take the same time each
_PLAIN_BYTES = 16 << 20  # most memory of the scores of all windows


@dataclass(frozen=True)
class AttentionInputs:
    """softmax(scale q kᵀ + bias + mask) v: `[B, h, n, d]`, where B may count windows.

    Attributes:
        packed: q, k and v along the first axes of one, two or three tensors `[…, B, h, n, d]`.
        bias: broadcasts to `[B, h, n, m]`.
        scale: factor of the products.
        attn_mask: `[kinds, n, m]`, added to the scores, without a gradient; needs a bias of `[1, h, n, m]`.
        mask_counts: number of windows with each mask, which follow one another.
    """

    packed: tuple[Tensor, ...]
    bias: Tensor | None
    scale: float
    attn_mask: Tensor | None = None
    mask_counts: Sequence[int] = ()

    @property
    def qkv(self) -> tuple[Tensor, Tensor, Tensor]:
        q, k, v = (x for tensor in self.packed for x in tensor)
        return q, k, v

    @property
    def one_bias(self) -> bool:
        """Whether all windows have the same bias, or none."""
        return self.bias is None or len(self.bias) == 1

    @property
    def needs_gradient(self) -> bool:
        tensors = (*self.packed, self.bias)
        return torch.is_grad_enabled() and any(x is not None and x.requires_grad for x in tensors)

    @property
    def mask_index(self) -> Tensor:
        """The number of the mask of each window: `[B]`."""
        return torch.tensor([kind for kind, count in enumerate(self.mask_counts) for _ in range(count)])

    def first(self, windows: int) -> "AttentionInputs":
        """The same of the first windows alone."""
        counts: list[int] = []
        for count in self.mask_counts:
            counts.append(min(count, windows - sum(counts)))
        bias = self.bias if self.bias is None or self.one_bias else self.bias[:windows]
        packed = tuple(x[:, :windows] for x in self.packed)
        return AttentionInputs(packed, bias, self.scale, self.attn_mask, tuple(counts))


def written_out(x: AttentionInputs) -> Tensor:
    """The formula, operation by operation."""
    q, k, v = x.qkv
    scores = (q * x.scale) @ k.transpose(-2, -1)
    scores = scores if x.bias is None else scores + x.bias
    scores = scores if x.attn_mask is None else scores + x.attn_mask[x.mask_index][:, None]
    return scores.softmax(-1) @ v


def fastest_on_cpu(x: AttentionInputs, *, fixed: str | None = None) -> Tensor:
    """The attention by the way that is fixed, given (`MIHATP_FAST`) or measured.

    Args:
        x: the problem.
        fixed: the way without a measurement; by default that in chunks in training and in bf16, else PyTorch's.
    """
    q, k, _ = x.qkv
    windows, heads, n, d = q.shape
    ways = [name for name in _WAYS if name == "sdpa" or x.one_bias]
    if "plain" in ways and windows * heads * n * k.shape[2] * q.element_size() > _PLAIN_BYTES:
        ways.remove("plain")
    if fixed is None:
        fixed = "chunked" if x.one_bias and (x.needs_gradient or q.dtype == torch.bfloat16) else "sdpa"
    batch = min(1 << max(windows - 1, 0).bit_length(), _WINDOWS)
    kind = "no bias" if x.bias is None else "bias" if x.attn_mask is None else "masks"
    key = f"{batch}x{heads}x{n}x{k.shape[2]}x{d} {str(q.dtype).removeprefix('torch.')} {kind}"
    way = chosen_way("attention", key, ways, lambda way: _WAYS[way](x.first(_WINDOWS)), fixed=fixed)
    return _WAYS[way](x)


def sdpa(x: AttentionInputs) -> Tensor:
    """PyTorch's attention, for the windows of each mask by itself."""
    q, k, v = x.qkv
    if x.attn_mask is None or x.bias is None:
        return F.scaled_dot_product_attention(q, k, v, attn_mask=x.bias, scale=x.scale)
    by_mask = zip(*(y.split(list(x.mask_counts)) for y in (q, k, v)), x.attn_mask, strict=True)
    return torch.cat(
        [F.scaled_dot_product_attention(*qkv, attn_mask=x.bias + mask, scale=x.scale) for *qkv, mask in by_mask]
    )


def _chunked(x: AttentionInputs) -> Tensor:
    bias = None if x.bias is None else x.bias[0]
    mask_index = None if x.attn_mask is None else x.mask_index
    return chunked_attention(x.packed, bias, x.attn_mask, mask_index, x.scale)


def _plain(x: AttentionInputs) -> Tensor:
    """The scores of all windows in memory at once."""
    if x.needs_gradient:
        return written_out(x)
    bias = None if x.bias is None else x.bias[0]
    return all_at_once(*x.qkv, bias, x.attn_mask, None if x.attn_mask is None else x.mask_index, x.scale)


_WAYS = {"chunked": _chunked, "sdpa": sdpa, "plain": _plain}
