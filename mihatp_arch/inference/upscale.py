"""Pictures of any kind through a tiled network: arrays, PIL images, streams of them."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, TypeVar, cast

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image as PILImage

from mihatp_arch.errors import UserError
from mihatp_arch.inference.network import Network, NetworkInfo
from mihatp_arch.inference.tiled_network import Image, TiledNetwork, as_codes
from mihatp_arch.inference.tiling import fitting

P = TypeVar("P", NDArray[Any], PILImage.Image)

TILE = 160  # LR px; larger tiles waste less on halos, but need more memory and are no faster
_SHARE_OF_MEMORY = 0.7  # of the free memory of a GPU
_LARGEST_BATCH = 16


@dataclass(frozen=True)
class Upscaler:
    """A network, and how it is applied; `mihatp_arch.load` makes it.

    Attributes:
        network: the network.
        tile: largest side of the input of the network, LR px.
        batch: tiles in one call; None: 1 on a CPU, as many as fit into the memory of a GPU.
        ensemble: average over the eight symmetries of the square (the reversible pool of the paper): better, and eight
            times as slow.
        consistent: change SR as little as possible so that its reduction is exactly LR.
    """

    network: Network
    tile: int = TILE
    batch: int | None = None
    ensemble: bool = False
    consistent: bool = False

    @property
    def info(self) -> NetworkInfo:
        """The facts about the network and its weights."""
        return self.network.info

    @property
    def scale(self) -> int:
        """SR pixels for each LR pixel, along each axis."""
        return self.network.info.scale

    def upscale(self, image: P) -> P:
        """Super-resolve one picture, `scale` times as wide and as high.

        Args:
            image: [H, W, 3] RGB, uint8 or float in [0, 1]; or a PIL image of mode RGB.

        Returns:
            The same kind: an array of the same type [s·H, s·W, 3], or a PIL image of mode RGB.

        Raises:
            UserError: the array has another shape, type or range; the PIL image has another mode.
        """
        if isinstance(image, PILImage.Image):
            if image.mode != "RGB":
                raise UserError(f"image: mode {image.mode}: convert it to RGB")
            return cast("P", PILImage.fromarray(self._upscale_array(np.asarray(image))))
        return cast("P", self._upscale_array(np.asarray(image)))

    def upscale_all(self, images: Iterable[P]) -> Iterator[P]:
        """Super-resolve a stream of pictures, one after another, each when it is asked for."""
        return map(self.upscale, images)

    def tiled(self, width: int, height: int) -> TiledNetwork:
        """The network with the tiles that suit an LR image of `width`×`height` px."""
        tiling = fitting(width, height, side=self.tile, multiple=self.info.multiple)
        batch = self.batch or batch_for(self.network, tiling.side)
        return TiledNetwork(self.network, tiling, batch=batch, ensemble=self.ensemble, consistent=self.consistent)

    def _upscale_array(self, image: NDArray[Any]) -> NDArray[Any]:
        check_array(image)
        height, width = image.shape[:2]

        def read(x: int, y: int, width: int, height: int) -> NDArray[Any]:
            return image[y : y + height, x : x + width]

        sr = self.tiled(width, height)(Image(width, height, read))
        return as_codes(sr) if image.dtype == np.uint8 else sr.astype(image.dtype)


def check_array(image: NDArray[Any]) -> None:
    """Raise `UserError` unless the array is an RGB image of uint8, or of float in [0, 1]."""
    if image.ndim != 3 or image.shape[2] != 3 or not image.size:
        raise UserError(f"image: an array of shape {list(image.shape)} is no RGB image: [H, W, 3] is needed")
    if image.dtype == np.uint8:
        return
    if not np.issubdtype(image.dtype, np.floating):
        raise UserError(f"image: {image.dtype} pixels: give uint8, or float in [0, 1]")
    low, high = float(image.min()), float(image.max())
    if not (low >= 0 and high <= 1):  # also for NaN
        raise UserError(f"image: float pixels from {low:.3g} to {high:.3g}: they must lie in [0, 1]")


def batch_for(network: Network, side: int) -> int:
    """Tiles in one call: 1 on a CPU, where more are no faster; on a GPU as many as fit into its free memory."""
    if network.device.type != "cuda":
        return 1
    torch.cuda.reset_peak_memory_stats(network.device)
    before = torch.cuda.memory_allocated(network.device)
    network(torch.zeros(1, 3, side, side))
    needed = max(1, torch.cuda.max_memory_allocated(network.device) - before)
    free, _ = torch.cuda.mem_get_info(network.device)
    return max(1, min(_LARGEST_BATCH, int(free * _SHARE_OF_MEMORY / needed)))
