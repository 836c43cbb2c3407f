"""The nuclei of the tiles of a slide: the network in this process, the post-processing in any."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from datasets_prep.slides.protocol import Levels
from mihatp_arch.archs.hovernet_arch import HoVerNet
from mihatp_arch.inference.nuclei.level import NucleiLevel, NucleiTile, NucleiTiling
from mihatp_arch.inference.nuclei.morphometry import measure
from mihatp_arch.inference.nuclei.stitch import TileNuclei, own_nuclei
from mihatp_arch.nuclei.postprocess import Maps, segment
from mihatp_arch.nuclei.predict import predict


@dataclass(frozen=True)
class TileMaps:
    """What the network says of a tile.

    Attributes:
        tile: the tile.
        maps: of its box.
        rgb: its pixels, [H, W, 3].
        mpp: µm per px.
    """

    tile: NucleiTile
    maps: Maps
    rgb: NDArray[np.uint8]
    mpp: float


@dataclass(frozen=True)
class TilePredictor:
    """Applies a network to tiles of a slide.

    Attributes:
        network: in evaluation mode.
        slide: open.
        level: how it is read.
        tiling: its tiles.
        batch: windows in one call.
    """

    network: HoVerNet
    slide: Levels
    level: NucleiLevel
    tiling: NucleiTiling
    batch: int

    def windows(self, tiles: Iterable[NucleiTile]) -> int:
        """Number of windows of the network in all tiles."""
        return sum(self.tiling.windows(tile, margin=self.network.margin) for tile in tiles)

    def maps(self, tiles: Iterable[NucleiTile], *, on_windows: Callable[[int], object]) -> Iterator[TileMaps]:
        """Yields the maps of each tile when they are asked for; `on_windows` is called with numbers of windows."""
        margin = self.network.margin
        for tile in tiles:
            x, y, width, height = tile.box
            rgb = self.level.read(self.slide, (x - margin, y - margin, width + 2 * margin, height + 2 * margin))
            maps = predict(
                self.network,
                rgb,
                window=self.tiling.window,
                batch=self.batch,
                bordered=True,
                device=next(self.network.parameters()).device,
                on_windows=on_windows,
            )
            inner = np.ascontiguousarray(rgb[margin : margin + height, margin : margin + width])
            yield TileMaps(tile, maps, inner, self.level.plan.mpp)


def nuclei_of(tile: TileMaps) -> TileNuclei:
    """Post-process a tile, and measure its nuclei."""
    x, y, *_ = tile.tile.box
    labels = segment(tile.maps)
    nuclei = measure(labels, tile.rgb, mpp=tile.mpp, types=tile.maps.types, corner=(x * tile.mpp, y * tile.mpp))
    return own_nuclei(nuclei, [length * tile.mpp for length in tile.tile.core])
