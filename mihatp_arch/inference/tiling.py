"""Where the tiles of an image lie, and how much each tile counts at each pixel.

Along each axis, tile k gives the pixels [k·core, (k+1)·core + blend) of LR. Its weight rises over the first `blend`
pixels and falls over the last ones, so that neighbours cross-fade; at the border of the image it does neither. The
network sees `halo` more pixels on each side. n×n tiles form a block, the unit of storage: a block ends where the next
one begins, and the pixels that its tiles give beyond its end are the seams.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from mihatp_arch.errors import UserError

HALO, BLEND = 8, 16  # px, of the tiles of pictures
LEAST_TILE = 2 * (HALO + BLEND)
_LARGEST_BLEND = 22  # px; the weighted integers of `blend.py` then fit into 32 bits


@dataclass(frozen=True)
class Tiling:
    """Sizes in LR px, the same along both axes.

    Attributes:
        core: distance between two tiles. Where it is a multiple of the side of the windows of a network, the windows
            of neighbouring tiles lie on one grid, and the tiles differ less.
        blend: width of the cross-fade between two tiles, at most `core` and 22.
        halo: pixels that the network sees beyond those that a tile gives.
        tiles: number of tiles along a side of a block.

    Raises:
        UserError: a size is out of its range.
    """

    core: int = 128
    blend: int = 16
    halo: int = 8
    tiles: int = 4

    def __post_init__(self) -> None:
        if min(self.core, self.blend, self.tiles) < 1 or self.halo < 0:
            raise UserError(f"tiles: core {self.core}, blend {self.blend} and halo {self.halo} px must be positive")
        if self.blend > min(self.core, _LARGEST_BLEND):
            raise UserError(
                f"tiles: blend {self.blend} px must be at most {min(self.core, _LARGEST_BLEND)}: take larger tiles"
            )

    @property
    def side(self) -> int:
        """Side of the input of the network."""
        return self.core + self.blend + 2 * self.halo

    @property
    def block(self) -> int:
        """Side of a block."""
        return self.core * self.tiles

    @property
    def total(self) -> int:
        """Sum of the weights at each pixel, over all tiles and both axes."""
        return (2 * self.blend) ** 2

    def count(self, length: int) -> int:
        """Number of tiles along an axis of `length` px."""
        return max(1, -(-(length - self.blend) // self.core))

    def blocks(self, length: int) -> int:
        """Number of blocks along an axis of `length` px."""
        return -(-length // self.block)

    def tiles_of_block(self, block: int, length: int) -> range:
        """Numbers of the tiles of one block along an axis of `length` px; the last block may have none."""
        return range(block * self.tiles, min((block + 1) * self.tiles, self.count(length)))

    def weights(self, tile: int, length: int) -> NDArray[np.int32]:
        """Weights of the `core + blend` px of one tile along an axis of `length` px: [core + blend], 0 to 2·blend."""
        return _weights(self.core, self.blend, tile == 0, tile == self.count(length) - 1)


@lru_cache
def _weights(core: int, blend: int, first: bool, last: bool) -> NDArray[np.int32]:
    weights = np.full(core + blend, 2 * blend, np.int32)
    rising = np.arange(1, 2 * blend, 2, dtype=np.int32)
    if not first:
        weights[:blend] = rising
    if not last:
        weights[core:] = 2 * blend - rising
    weights.setflags(write=False)
    return weights


def fitting(width: int, height: int, *, side: int, multiple: int, halo: int = HALO, blend: int = BLEND) -> Tiling:
    """The tiles of an image of `width`×`height` px: `side` px wide, or less where the image is smaller.

    Args:
        width, height: of the image, px.
        side: largest side of the input of the network, px.
        multiple: the side is a multiple of it, and so is the core of several tiles, where the side leaves enough.
        halo, blend: see `Tiling`. The halo of several tiles may be larger.

    Raises:
        UserError: `side` leaves no core.
    """
    largest = side // multiple * multiple
    smallest = -(-2 * (halo + blend) // multiple) * multiple
    if largest < smallest:
        raise UserError(f"tiles: {side} px are too few: give at least {smallest}")
    needed = -(-(max(width, height) + 2 * halo) // multiple) * multiple
    chosen = min(largest, max(needed, smallest))
    core = chosen - blend - 2 * halo
    if needed > chosen and core - core % multiple >= blend:
        halo += core % multiple // 2
        core = chosen - blend - 2 * halo
    return Tiling(core=core, blend=blend, halo=halo, tiles=max(1, 512 // core))
