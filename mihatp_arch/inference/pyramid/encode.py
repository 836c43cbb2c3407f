"""Encode TIFF tiles as JPEG or without loss, and say in the words of tifffile how they are encoded."""

from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal

import imagecodecs
import numpy as np
from numpy.typing import NDArray

from datasets_prep.common.errors import UserError
from mihatp_arch.inference.pyramid.levels import TILE

_SUBSAMPLING = {"444": (1, 1), "420": (2, 2)}  # the tag YCbCrSubSampling


@dataclass(frozen=True)
class Jpeg:
    """Baseline JPEG in YCbCr.

    Attributes:
        quality: 1 to 100. At 85 and 4:2:0 the loss is as large as the error of super-resolution.
        subsampling: `444` stores chroma at full size, `420` at half size.

    Raises:
        UserError: a value is out of range.
    """

    quality: int = 90
    subsampling: Literal["444", "420"] = "444"

    def __post_init__(self) -> None:
        if not 1 <= self.quality <= 100:
            raise UserError(f"JPEG quality {self.quality}: give 1 to 100")
        if self.subsampling not in _SUBSAMPLING:
            raise UserError(f"JPEG subsampling {self.subsampling!r}: choose from {', '.join(_SUBSAMPLING)}")

    def encode(self, pixels: NDArray[np.uint8]) -> bytes:
        """One complete JPEG stream of an RGB image, [H, W, 3]."""
        return bytes(
            imagecodecs.jpeg8_encode(
                np.ascontiguousarray(pixels),
                level=self.quality,
                colorspace="RGB",
                outcolorspace="YCbCr",
                subsampling=self.subsampling,
            )
        )

    def decode(self, data: bytes) -> NDArray[np.uint8]:
        """The RGB image of a JPEG stream, [H, W, 3]."""
        return imagecodecs.jpeg8_decode(data)

    def tags(self) -> dict[str, Any]:
        """Arguments of `TiffWriter.write` for tiles of this encoding. The subsampling is that of the bytes."""
        return {"compression": "jpeg", "photometric": "ycbcr", "subsampling": _SUBSAMPLING[self.subsampling]}


@dataclass(frozen=True)
class Lossless:
    """Deflate after the horizontal predictor. Files are about five times as large as with JPEG of quality 90."""

    level: int = 6  # of zlib

    def encode(self, pixels: NDArray[np.uint8]) -> bytes:
        """The compressed bytes of an RGB tile, [H, W, 3]."""
        differences = imagecodecs.delta_encode(np.ascontiguousarray(pixels), axis=-2)
        return bytes(imagecodecs.zlib_encode(differences.tobytes(), level=self.level))

    def decode(self, data: bytes) -> NDArray[np.uint8]:
        """The RGB pixels of a tile, [512, 512, 3]."""
        differences = np.frombuffer(imagecodecs.zlib_decode(data), np.uint8).reshape(TILE, TILE, 3)
        return imagecodecs.delta_decode(differences, axis=-2)

    def tags(self) -> dict[str, Any]:
        """Arguments of `TiffWriter.write` for tiles of this encoding."""
        return {"compression": "adobe_deflate", "photometric": "rgb", "predictor": True}


Compression = Jpeg | Lossless


def encode_tile(pixels: NDArray[np.uint8], compression: Compression) -> bytes:
    """Encode a TIFF tile, [512, 512, 3] RGB. Tiles of one colour, such as glass, are encoded once."""
    colour = pixels[0, 0]
    if (pixels[0] == colour).all() and (pixels == colour).all():
        return _constant_tile(tuple(colour.tolist()), compression)
    return compression.encode(pixels)


@lru_cache(maxsize=64)
def _constant_tile(colour: tuple[int, int, int], compression: Compression) -> bytes:
    return compression.encode(np.full((TILE, TILE, 3), colour, np.uint8))
