"""The geometry of a pyramid: its levels, their TIFF tiles, and the blocks in which the SR image is computed."""

from dataclasses import dataclass

from datasets_prep.common.errors import UserError

TILE = 512  # px, side of a TIFF tile
CELL = TILE // 2  # px, side of a tile after halving: a quarter of the tile of the next level


def level_count(width: int, height: int) -> int:
    """Number of levels, each half of the one before, until the longer side fits in one TIFF tile."""
    return 1 + (-(-max(width, height) // TILE) - 1).bit_length()


@dataclass(frozen=True)
class Layout:
    """Sizes of an SR image and of everything that is made of it. All sizes are in px, all grids are (rows, columns).

    Level `l` is halved `l` times. The canvas is the image, padded at the right and at the bottom to a multiple of
    2^(levels-1) px. So each level is exactly half of the one before, and OpenSlide's downsamples are powers of two.

    Attributes:
        width, height: size of the SR image, px.
        block_size: side of a block, px, a multiple of 512. Blocks begin at multiples of it.

    Raises:
        UserError: a size is out of range.
    """

    width: int
    height: int
    block_size: int = 2048

    def __post_init__(self) -> None:
        if min(self.width, self.height) < 1:
            raise UserError(f"an image of {self.width}x{self.height} pixels: both sides must have 1 or more")
        if self.block_size < TILE or self.block_size % TILE:
            raise UserError(f"a block of {self.block_size} pixels: give a multiple of {TILE}")

    @property
    def levels(self) -> int:
        """Number of levels, 1 or more."""
        return level_count(self.width, self.height)

    @property
    def whole_levels(self) -> int:
        """Number of finest levels at which a block consists of whole TIFF tiles: 3 for blocks of 2048 px."""
        tiles = self.block_size // TILE
        return min(self.levels, (tiles & -tiles).bit_length())

    @property
    def blocks(self) -> tuple[int, int]:
        """Grid of the blocks."""
        return -(-self.height // self.block_size), -(-self.width // self.block_size)

    def size(self, level: int) -> tuple[int, int]:
        """(width, height) of a level, px; of the canvas for level 0."""
        multiple = 2 ** (self.levels - 1)
        return (-(-self.width // multiple) * multiple >> level, -(-self.height // multiple) * multiple >> level)

    def tiles(self, level: int) -> tuple[int, int]:
        """Grid of the TIFF tiles of a level."""
        width, height = self.size(level)
        return -(-height // TILE), -(-width // TILE)

    def block_shape(self, row: int, column: int) -> tuple[int, int]:
        """(height, width) of a block, px: less than `block_size` at the lower and right border of the image."""
        top, left = row * self.block_size, column * self.block_size
        return min(self.block_size, self.height - top), min(self.block_size, self.width - left)
