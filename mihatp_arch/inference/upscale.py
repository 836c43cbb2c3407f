"""Pictures of any kind through a tiled network: files, arrays, tensors, PIL images, streams of them."""

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from numbers import Integral
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast, overload

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image as PILImage

from datasets_prep.common.processes.progress import progress_bar
from datasets_prep.common.text import told_apart
from mihatp_arch.errors import UserError
from mihatp_arch.inference.images import Picture, from_pil, read_picture
from mihatp_arch.inference.lr_image import Image
from mihatp_arch.inference.network import Network, NetworkInfo
from mihatp_arch.inference.tiled_network import TiledNetwork, batch_for
from mihatp_arch.inference.tiling import LEAST_TILE, fitting

if TYPE_CHECKING:
    from mihatp_arch.inference.slides.options import SlideOptions
    from mihatp_arch.inference.slides.upscale_slide import SlideResult

P = TypeVar("P", NDArray[Any], PILImage.Image, torch.Tensor)


@dataclass(frozen=True)
class Upscaler:
    """A network, and how it is applied; `mihatp_arch.load` makes it.

    Attributes:
        network: the network.
        tile: largest side of the input of the network, LR px; None: 160, or that of an ONNX file.
        batch: tiles at the same time; None: one for each core of a CPU, as many as fit into the memory of a GPU.
        ensemble: average over the eight symmetries of the square (the reversible pool of the paper): better, and eight
            times as slow.
        consistent: change SR as little as possible so that its reduction is exactly LR.

    Raises:
        UserError: `tile` or `batch` is too small or no whole number, `ensemble` or `consistent` is neither True nor
            False, or an ONNX file has tiles of another size.
    """

    network: Network
    tile: int | None = None
    batch: int | None = None
    ensemble: bool = False
    consistent: bool = False
    _batches: dict[int, int] = field(default_factory=dict, init=False, repr=False, compare=False)  # by side

    def __post_init__(self) -> None:
        for name, value in (("batch", self.batch), ("tile", self.tile)):
            if value is not None and (not isinstance(value, Integral) or value < 1):
                raise UserError(f"{name} {value}: give a whole number of at least 1")
        for name, value in (("ensemble", self.ensemble), ("consistent", self.consistent)):
            if not isinstance(value, (bool, np.bool_)):
                raise UserError(f"{name} {value!r}: give True or False")
        side = self.info.side(self.tile)
        if self.info.tile is not None and self.info.tile < LEAST_TILE:
            raise UserError(f"'{self.info.name}' has tiles of {side} px: export it with --tile {LEAST_TILE} or more")
        fitting(side, side, side=side, multiple=self.info.multiple)  # refuses a tile that is too small

    @property
    def info(self) -> NetworkInfo:
        """The facts about the network and its weights."""
        return self.network.info

    @property
    def scale(self) -> int:
        """SR pixels for each LR pixel, along each axis."""
        return self.network.info.scale

    @overload
    def upscale(self, image: str | os.PathLike[str]) -> PILImage.Image: ...
    @overload
    def upscale(self, image: P) -> P: ...

    def upscale(self, image: str | os.PathLike[str] | P) -> PILImage.Image | P:
        """Super-resolve one picture, `scale` times as wide and as high.

        Args:
            image: an array [H, W, 3] RGB, uint8 or float in [0, 1]; or a tensor [B, 3, H, W], float in [0, 1]; or a PIL
                image, or the path of a PNG, JPEG or TIFF file, with 8-bit RGB, grey or palette pixels.

        Returns:
            An array or a tensor of the same type, [s·H, s·W, 3] or [B, 3, s·H, s·W]; else a PIL image of mode RGB, or
            RGBA where the picture has opacity, with its colour profile, and `info["dpi"]` multiplied by the scale.

        Raises:
            UserError: the array has another shape, type or range; the file or the PIL image has other pixels.
        """
        if isinstance(image, PILImage.Image):
            return cast("P", self.upscale_picture(from_pil(image)).to_pil())
        if isinstance(image, (str, os.PathLike)):
            if not str(image):
                raise UserError("image '': give the path of a picture")
            return self.upscale_picture(read_picture(Path(image))).to_pil()
        if isinstance(image, torch.Tensor):
            return cast("P", self._upscale_tensor(image))
        return cast("P", self._upscale_array(np.asarray(image)))

    def upscale_picture(self, picture: Picture, *, progress: bool = False) -> Picture:
        """Super-resolve a picture of `images.py`, with its opacity (bicubic) and its resolution.

        Args:
            picture: the picture.
            progress: show a bar for a picture of several blocks, on a terminal.
        """
        return picture.enlarged(self._upscale_array(picture.rgb, progress=progress), self.scale)

    @overload
    def upscale_all(self, images: Iterable[str | os.PathLike[str]]) -> Iterator[PILImage.Image]: ...
    @overload
    def upscale_all(self, images: Iterable[P]) -> Iterator[P]: ...

    def upscale_all(self, images: Iterable[Any]) -> Iterator[Any]:
        """Super-resolve a stream of pictures, one after another, each when it is asked for.

        Raises:
            UserError: `images` is one picture, or no stream; later, a picture cannot be used.
        """
        if not _is_stream(images):
            raise UserError("images: several pictures are needed, as a list or an iterator: give one to upscale()")
        return map(self.upscale, images)

    def upscale_slide(
        self, path: str | os.PathLike[str], output: str | os.PathLike[str], *, options: "SlideOptions | None" = None
    ) -> "SlideResult":
        """Super-resolve a whole slide into a pyramidal TIFF; a killed run resumes at the next call.

        Args:
            path: the slide.
            output: the new TIFF.
            options: how the slide is read and written (`mihatp_arch.inference.slides.SlideOptions`).

        Raises:
            UserError: the slide or the output cannot be used; the message says why.
        """
        from mihatp_arch.inference.slides.keywords import errors_in_python, in_python
        from mihatp_arch.inference.slides.options import SlideOptions, TileOptions  # OpenSlide and image codecs
        from mihatp_arch.inference.slides.upscale_slide import upscale_slide

        side = self.info.side(self.tile)
        tiles = TileOptions(side, self.batch, ensemble=self.ensemble, consistent=self.consistent)
        chosen = options or SlideOptions()
        with errors_in_python():
            result = upscale_slide(self.network, Path(path), Path(output), options=chosen, tiles=tiles, say=None)
        return replace(result, notes=tuple(map(in_python, result.notes)))

    def tiled(self, width: int, height: int) -> TiledNetwork:
        """The network with the tiles that suit an LR image of `width`×`height` px."""
        tiling = fitting(width, height, side=self.info.side(self.tile), multiple=self.info.multiple)
        batch = self.batch or self._batches.get(tiling.side) or batch_for(self.network, tiling.side)
        self._batches[tiling.side] = batch
        there = min(tiling.tiles, tiling.count(width)) * min(tiling.tiles, tiling.count(height))
        return TiledNetwork(
            self.network, tiling, batch=min(batch, there), ensemble=self.ensemble, consistent=self.consistent
        )

    def _upscale_array(self, image: NDArray[Any], *, progress: bool = False) -> NDArray[Any]:
        check_array(image)
        height, width = image.shape[:2]

        def read(x: int, y: int, width: int, height: int) -> NDArray[Any]:
            return image[y : y + height, x : x + width]

        try:
            tiled = self.tiled(width, height)
            blocks = tiled.tiling.blocks(width) * tiled.tiling.blocks(height)
            shown = progress and blocks > 1
            with progress_bar(total=blocks, desc="blocks", unit="block", leave=False, shown=shown) as bar:
                return tiled(Image(width, height, read), dtype=image.dtype, on_block=bar.update)
        except (MemoryError, torch.OutOfMemoryError) as error:
            raise UserError(f"image: {width}×{height} px need too much memory: give a smaller batch or tile") from error

    def _upscale_tensor(self, images: torch.Tensor) -> torch.Tensor:
        if images.ndim != 4 or images.shape[1] != 3 or not images.is_floating_point():
            shape, kind = list(images.shape), str(images.dtype).removeprefix("torch.")
            raise UserError(f"image: a tensor {shape} of {kind}: [B, 3, H, W] of floats in [0, 1] is needed")
        if images.is_meta:
            raise UserError("image: a tensor on the device meta has no values: load it")
        arrays = images.detach().cpu().float().permute(0, 2, 3, 1).numpy()
        sr = np.empty((len(arrays), *(side * self.scale for side in arrays.shape[1:3]), 3), np.float32)
        for index, array in enumerate(arrays):
            sr[index] = self._upscale_array(array)
        return torch.from_numpy(sr).permute(0, 3, 1, 2).to(images)


def _is_stream(images: object) -> bool:
    """Whether `images` are several pictures: no path, no PIL image, no array or tensor of one picture."""
    if isinstance(images, (str, bytes, os.PathLike, PILImage.Image)) or getattr(images, "ndim", 1) in (2, 3):
        return False
    return isinstance(images, Iterable)


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
        least, most, *_ = told_apart(low, high, 0.0, 1.0)
        raise UserError(f"image: float pixels from {least} to {most}: they must lie in [0, 1]")
