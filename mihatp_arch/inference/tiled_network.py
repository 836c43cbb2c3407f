"""Images of any size through a network that sees tiles of one shape."""

from collections.abc import Callable, Container, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mihatp_arch.archs.layers.consistency import project
from mihatp_arch.inference.blend import SEAMS, Block, blended, block_sums, seams_of
from mihatp_arch.inference.lr_image import Image
from mihatp_arch.inference.network import Network
from mihatp_arch.inference.predict import interpolate, predict, predict_ensemble
from mihatp_arch.inference.tiling import Tiling

Sums: TypeAlias = dict[str, NDArray[np.int32]]  # name of the plane (`sr`, `deviation`) -> weighted sums of a block
Seams: TypeAlias = dict[str, dict[str, NDArray[np.int32]]]  # name of the seam -> plane -> sums
_FLOAT = np.dtype(np.float32)
_SHARE_OF_MEMORY = 0.7  # of the free memory of a GPU
_LARGEST_BATCH = 16


@dataclass(frozen=True)
class Finished:
    """A finished block.

    Attributes:
        block: its row and column.
        sr: [H, W, 3] float32 in [0, 1], H and W at most s·block.
        inconsistency: |mean_k(SR) - LR| before the projection, the mean over the channels, [H/s, W/s] float32.
        deviation: of the ensemble, [H/s, W/s] float32; None without one.
    """

    block: Block
    sr: NDArray[np.float32]
    inconsistency: NDArray[np.float32]
    deviation: NDArray[np.float32] | None


@dataclass(frozen=True)
class TiledNetwork:
    """A network applied tile by tile.

    Attributes:
        network: the network.
        tiling: the tiles.
        batch: tiles in one call. On a GPU each call has as many, so that a tile has the same bits in any image.
        ensemble: average over the reversible pool, at eight times the cost.
        consistent: project SR onto the images whose reduction is LR (`archs/layers/consistency.py`).
    """

    network: Network
    tiling: Tiling
    batch: int = 1
    ensemble: bool = False
    consistent: bool = False

    @property
    def scale(self) -> int:
        return self.network.info.scale

    def sums(self, image: Image, block: Block, *, on_tiles: Callable[[int], object] = lambda tiles: None) -> Sums:
        """The weighted sums of the tiles of one block, before its neighbours' seams are added.

        Args:
            image: the LR image.
            block: row and column of the block.
            on_tiles: called with the number of tiles that the network has just computed.
        """
        tiling, size = self.tiling, (image.width, image.height)
        x, y = (at * tiling.block - tiling.halo for at in (block.column, block.row))
        side = tiling.block + tiling.blend + 2 * tiling.halo
        window = torch.from_numpy(image.window(x, y, side, side)).permute(2, 0, 1)
        tiles = [
            (row, column)
            for row in tiling.tiles_of_block(block.row, image.height)
            for column in tiling.tiles_of_block(block.column, image.width)
        ]
        outputs = [(tile, *planes) for tile, planes in self._outputs(window, tiles, block, image, on_tiles)]
        planes = {"sr": (self.scale, 3), **({"deviation": (1, 1)} if self.ensemble else {})}
        return {
            name: block_sums(
                ((tile, output[index]) for tile, *output in outputs),
                block=block,
                tiling=tiling,
                size=size,
                scale=scale,
                channels=channels,
            )
            for index, (name, (scale, channels)) in enumerate(planes.items())
        }

    def _outputs(
        self,
        window: Tensor,
        tiles: list[tuple[int, int]],
        block: Block,
        image: Image,
        on_tiles: Callable[[int], object],
    ) -> Iterator[tuple[tuple[int, int], list[NDArray[np.float32]]]]:
        """Each tile of a block, with its SR and its deviation, [t, t, C] each."""
        tiling = self.tiling

        def lr(tile: tuple[int, int]) -> Tensor:
            top, left = ((at - first * tiling.tiles) * tiling.core for at, first in zip(tile, block, strict=True))
            return window[:, top : top + tiling.side, left : left + tiling.side]

        chosen = [tile for tile in tiles if image.computed(*tile)]
        apply = predict_ensemble if self.ensemble else predict
        for start in range(0, len(chosen), self.batch):
            part = chosen[start : start + self.batch]
            missing = 0 if self.network.device.type == "cpu" else self.batch - len(part)
            filled = part + part[-1:] * missing
            sr, deviation = apply(self.network, torch.stack([lr(tile) for tile in filled]))
            on_tiles(len(part))
            for index, tile in enumerate(part):
                yield tile, [_channels_last(plane[index]) for plane in (sr, deviation) if plane is not None]
        for tile in tiles:
            if tile not in chosen:
                small = lr(tile)[None]
                sr = interpolate(small, self.scale)[0]
                yield tile, [_channels_last(sr), np.zeros((*small.shape[-2:], 1), np.float32)]

    def seams(self, sums: Sums) -> Seams:
        """What the neighbours of a block need of its sums."""
        parts = {name: seams_of(plane, tiling=self.tiling, scale=self._scale_of(name)) for name, plane in sums.items()}
        return {seam: {name: plane[seam] for name, plane in parts.items()} for seam in SEAMS}

    def finish(self, image: Image, block: Block, sums: Sums, seams: Seams) -> Finished:
        """The finished block; `seams` are those of its neighbours, see `blend.blended`."""
        planes = {
            name: blended(
                plane,
                {seam: parts[name] for seam, parts in seams.items()},
                block=block,
                tiling=self.tiling,
                size=(image.width, image.height),
                scale=self._scale_of(name),
            )
            for name, plane in sums.items()
        }
        sr = torch.from_numpy(planes["sr"]).permute(2, 0, 1)[None]
        height, width = (side // self.scale for side in sr.shape[-2:])
        corner = block.column * self.tiling.block, block.row * self.tiling.block
        lr = torch.from_numpy(image.window(*corner, width, height)).permute(2, 0, 1)[None]
        missing = (torch.nn.functional.avg_pool2d(sr, self.scale) - lr).abs().mean(dim=1)[0]
        sr = (project(sr, lr) if self.consistent else sr).clamp(0, 1)
        deviation = planes["deviation"][..., 0] if "deviation" in planes else None
        return Finished(block, _channels_last(sr[0]), missing.numpy(), deviation)

    def _scale_of(self, plane: str) -> int:
        return self.scale if plane == "sr" else 1

    def blocks(
        self,
        image: Image,
        *,
        skip: Container[Block] = (),
        stored_seams: Callable[[Block], Mapping[str, Mapping[str, NDArray[np.int32]]]] | None = None,
        sums_of: Callable[[Block], Sums] | None = None,
    ) -> Iterator[tuple[Finished, Seams]]:
        """The blocks of an image in raster order, each with the seams that later blocks need.

        Args:
            image: the LR image.
            skip: blocks that are finished already.
            stored_seams: the seams of a finished block.
            sums_of: gives what `sums` gives; other processes may compute it.
        """
        waiting: dict[Block, Seams] = {}
        rows, columns = self.tiling.blocks(image.height), self.tiling.blocks(image.width)
        for row in range(rows):
            for column in range(columns):
                block = Block(row, column)
                if block in skip:
                    continue
                received: Seams = {}
                for seam, (down, right) in SEAMS.items():
                    sender = Block(row - down, column - right)
                    if min(sender) < 0:
                        continue
                    given = waiting.get(sender) or (stored_seams(sender) if stored_seams else {})
                    received[seam] = dict(given[seam])
                sums = sums_of(block) if sums_of else self.sums(image, block)
                waiting[block] = self.seams(sums)
                yield self.finish(image, block, sums, received), waiting[block]
                waiting.pop(Block(row - 1, column - 1), None)
            waiting.pop(Block(row - 1, columns - 1), None)

    def __call__(
        self, image: Image, *, dtype: np.dtype[Any] = _FLOAT, on_block: Callable[[], object] = lambda: None
    ) -> NDArray[Any]:
        """SR of a whole image in memory, [s·H, s·W, 3].

        Args:
            image: the LR image.
            dtype: of the result: uint8, or a float type, in [0, 1].
            on_block: called after each block.
        """
        sr = np.empty((image.height * self.scale, image.width * self.scale, 3), dtype)
        side = self.tiling.block * self.scale
        for finished, _ in self.blocks(image):
            top, left = (at * side for at in finished.block)
            height, width = finished.sr.shape[:2]
            sr[top : top + height, left : left + width] = as_codes(finished.sr) if dtype == np.uint8 else finished.sr
            on_block()
        return sr


def as_codes(pixels: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Pixels in [0, 1] as uint8, rounded to the nearest code."""
    return np.rint(pixels * 255).astype(np.uint8)


def _channels_last(image: Tensor) -> NDArray[np.float32]:
    return np.ascontiguousarray(image.permute(1, 2, 0).numpy())


def batch_for(network: Network, side: int) -> int:
    """Tiles in one call: one for each thread of a CPU; on a GPU as many as fit into its free memory."""
    if network.device.type != "cuda":
        return torch.get_num_threads()
    torch.cuda.reset_peak_memory_stats(network.device)
    before = torch.cuda.memory_allocated(network.device)
    network(torch.zeros(1, 3, side, side))
    needed = max(1, torch.cuda.max_memory_allocated(network.device) - before)
    free, _ = torch.cuda.mem_get_info(network.device)
    free += torch.cuda.memory_reserved(network.device) - torch.cuda.memory_allocated(network.device)  # kept by torch
    return max(1, min(_LARGEST_BATCH, int(free * _SHARE_OF_MEMORY / needed)))
