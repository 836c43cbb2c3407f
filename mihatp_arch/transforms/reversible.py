"""The reversible transformation pool, T_for and T_inv (paper section 2.1, Eq. 2).

Its default elements only move pixels. They are exactly invertible and commute with down-sampling, so that T_for(HR)
and T_for(LR) are still a pair of HR and LR.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from mihatp_arch.errors import UserError
from mihatp_arch.transforms.choices import check_choice


class Element(Protocol):
    """One transformation of `[B, C, H, W]` and its inverse."""

    @property
    def keeps_shape(self) -> bool: ...

    def forward(self, x: Tensor) -> Tensor: ...

    def inverse(self, x: Tensor) -> Tensor: ...


class Dihedral(NamedTuple):
    """An element of D4, the symmetries of the square: optionally a transposition, then flips along 0 to 2 axes."""

    transpose: bool
    flips: tuple[int, ...]

    @property
    def keeps_shape(self) -> bool:
        return not self.transpose

    def forward(self, x: Tensor) -> Tensor:
        x = x.transpose(-2, -1).contiguous() if self.transpose else x
        return x.flip(self.flips)

    def inverse(self, x: Tensor) -> Tensor:
        x = x.flip(self.flips)
        return x.transpose(-2, -1).contiguous() if self.transpose else x


class ChannelRoll(NamedTuple):
    """A cyclic permutation of the channels: RGB becomes BRG."""

    keeps_shape: bool = True

    def forward(self, x: Tensor) -> Tensor:
        return x.roll(1, dims=-3)

    def inverse(self, x: Tensor) -> Tensor:
        return x.roll(-1, dims=-3)


class Invert(NamedTuple):
    """1 - x, its own inverse up to the rounding of the difference (6e-8 in fp32; exact on integers)."""

    keeps_shape: bool = True

    def forward(self, x: Tensor) -> Tensor:
        return 1 - x

    def inverse(self, x: Tensor) -> Tensor:
        return 1 - x


D4: dict[str, Element] = {
    "hflip": Dihedral(transpose=False, flips=(-1,)),
    "vflip": Dihedral(transpose=False, flips=(-2,)),
    "rot90": Dihedral(transpose=True, flips=(-2,)),
    "rot180": Dihedral(transpose=False, flips=(-2, -1)),
    "rot270": Dihedral(transpose=True, flips=(-1,)),
    "transpose": Dihedral(transpose=True, flips=()),
    "antitranspose": Dihedral(transpose=True, flips=(-2, -1)),
}
# These two give colours that stained tissue does not have, so that they are off by default.
ELEMENTS: dict[str, Element] = {**D4, "channel_permute": ChannelRoll(), "invert": Invert()}


@dataclass(frozen=True)
class Draw:
    """The drawn elements: one name for each sample of a batch; LR and HR images share it."""

    elements: tuple[str, ...]

    def groups(self) -> dict[str, list[int]]:
        """Element -> the rows of the batch that have it."""
        rows: dict[str, list[int]] = {}
        for row, name in enumerate(self.elements):
            rows.setdefault(name, []).append(row)
        return rows


class ReversiblePool:
    """T_for and T_inv of Eq. 2, drawn per sample.

    Args:
        elements: names out of hflip, vflip, rot90, rot180, rot270 (counter-clockwise), transpose, antitranspose,
            channel_permute and invert. None takes the seven non-identity elements of D4, the default.

    Raises:
        UserError: an element is unknown or named twice, or there is none.
    """

    def __init__(self, *, elements: Sequence[str] | None = None) -> None:
        names = tuple(D4) if elements is None else tuple(elements)
        for name in names:
            check_choice(name, ELEMENTS, subject="reversible pool: element")
        if not names or len(set(names)) < len(names):
            raise UserError(f"reversible pool: elements {list(names)} must be one or more, each named once")
        self.elements = names

    def __repr__(self) -> str:
        return f"{type(self).__name__}(elements={list(self.elements)})"

    def draw(self, batch: int, *, height: int, width: int, k: int = 1) -> Draw:
        """Draw K_p elements for each sample, from torch's global CPU generator.

        The elements are in the order of `lq.repeat_interleave(k, dim=0)`; `.unflatten(0, (batch, k))` makes the result
        `[B, K_p, C, H, W]`. The k elements of a sample differ, unless k is larger than the pool.

        Args:
            batch: number of samples B.
            height: of the LR or HR images in pixels; it matters only whether height and width are equal.
            width: of the images in pixels.
            k: K_p, the number of elements for each sample.

        Returns:
            The elements of batch * k images.

        Raises:
            UserError: the images are not square, and every element of the pool swaps height and width.
        """
        pool = [name for name in self.elements if height == width or ELEMENTS[name].keeps_shape]
        if not pool:
            raise UserError(
                f"reversible pool: {', '.join(self.elements)} cannot be had for images of {height}x{width} pixels: "
                "add hflip, vflip or rot180, or train on square patches"
            )
        permutations = -(-k // len(pool))
        order = torch.rand(batch, permutations, len(pool)).argsort(dim=-1).flatten(1)[:, :k]
        return Draw(tuple(pool[i] for i in order.flatten().tolist()))

    def apply(self, x: Tensor, draw: Draw) -> Tensor:
        """T_for: `[B, C, H, W]` of any dtype -> the same shape, sample i under the i-th element of the draw."""
        return _by_element(x, draw, inverse=False)

    def invert(self, x: Tensor, draw: Draw) -> Tensor:
        """T_inv: the exact inverse of `apply` with the same draw (of the element `invert` up to rounding)."""
        return _by_element(x, draw, inverse=True)


def _by_element(x: Tensor, draw: Draw, *, inverse: bool) -> Tensor:
    if len(draw.elements) != x.shape[0]:
        raise ValueError(f"a draw for {len(draw.elements)} samples does not fit a batch of {x.shape[0]}")
    groups = draw.groups()

    def transform(name: str, part: Tensor) -> Tensor:
        element = ELEMENTS[name]
        return element.inverse(part) if inverse else element.forward(part)

    if len(groups) == 1:
        return transform(draw.elements[0], x)
    parts = [transform(name, x[rows]) for name, rows in groups.items()]
    back = torch.tensor([row for rows in groups.values() for row in rows]).argsort()
    return torch.cat(parts)[back.to(x.device)]
