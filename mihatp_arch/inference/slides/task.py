"""What the processes that compute the blocks of a slide must know, and how they share the blocks."""

from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Executor, Future
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from datasets_prep.slides.open import open_for_reading
from datasets_prep.slides.protocol import SlideReader
from datasets_prep.slides.skipping import SkippingSlide
from mihatp_arch.inference.blend import Block
from mihatp_arch.inference.load import load_network
from mihatp_arch.inference.lr_image import Image
from mihatp_arch.inference.network import Network, Precision
from mihatp_arch.inference.slides.pixels import LevelPixels
from mihatp_arch.inference.tiled_network import Sums, TiledNetwork
from mihatp_arch.inference.tiling import Tiling


@dataclass(frozen=True)
class NetworkSource:
    """How a process loads a network; arguments of `load_network`."""

    source: str | None
    scale: int | None = None
    device: str = "auto"
    precision: Precision = "fp32"


@dataclass(frozen=True)
class SlideTask:
    """The work on one slide.

    Attributes:
        path: the slide.
        assume_mpp: µm per level-0 px where the slide states none.
        level: the level that is the LR image.
        skip_damaged: read white where the slide cannot be decoded.
        white: read white where nothing is computed.
        computed: whether the network computes each tile: bytes 0 or 1, row by row.
        columns: number of tiles in a row.
        tiling: the tiles.
        batch: tiles in one call of the network.
        ensemble: average over the reversible pool.
        consistent: project SR onto the images whose reduction is LR.
    """

    path: Path
    assume_mpp: float | None
    level: int
    skip_damaged: bool
    white: bool
    computed: bytes
    columns: int
    tiling: Tiling
    batch: int
    ensemble: bool
    consistent: bool

    @property
    def computed_tiles(self) -> NDArray[np.bool_]:
        """Whether the network computes each tile, [rows, columns]."""
        return np.frombuffer(self.computed, np.bool_).reshape(-1, self.columns)

    def image(self, slide: SlideReader) -> Image:
        """The LR image of the open slide."""
        width, height = slide.level_sizes[self.level]
        computed = self.computed_tiles
        levels = SkippingSlide(slide) if self.skip_damaged else slide
        read = LevelPixels(levels, self.level, ~computed if self.white else None, self.tiling.core)
        return Image(width, height, read, lambda row, column: bool(computed[row, column]))

    def tiled(self, network: Network) -> TiledNetwork:
        """The network with the tiles of this slide."""
        return TiledNetwork(network, self.tiling, batch=self.batch, ensemble=self.ensemble, consistent=self.consistent)


@dataclass(frozen=True)
class Workers:
    """Processes that compute blocks.

    Attributes:
        executor: of this machine.
        count: number of its processes.
        network: how they load the network.
    """

    executor: Executor
    count: int
    network: NetworkSource

    def sums(self, task: SlideTask, blocks: Iterable[Block]) -> Iterator[Sums]:
        """Yields the sums of the blocks in their order. As many blocks are on their way as there are processes."""
        rest = iter(blocks)
        waiting: deque[Future[Sums]] = deque()
        while True:
            for block in islice(rest, self.count + 1 - len(waiting)):
                waiting.append(self.executor.submit(_sums, self.network, task, block))
            if not waiting:
                return
            yield waiting.popleft().result()


@lru_cache(maxsize=2)
def loaded(source: NetworkSource) -> Network:
    """The network, loaded once in this process. Raises `UserError` when it cannot be loaded."""
    return load_network(source.source, scale=source.scale, device=source.device, precision=source.precision)


def _sums(network: NetworkSource, task: SlideTask, block: Block) -> Sums:
    """The sums of one block, in a worker process."""
    torch.set_num_threads(1)
    return task.tiled(loaded(network)).sums(_image(task), block)


@lru_cache(maxsize=1)
def _image(task: SlideTask) -> Image:
    return task.image(open_for_reading(task.path, assume_mpp=task.assume_mpp))
