"""Slides with known levels, and their pixels as OpenSlide reads them."""

import numpy as np
import openslide
import tifffile

from datasets_prep.common.downscale import area_reduce

MPP = {"resolution": (40000, 40000), "resolutionunit": "CENTIMETER"}  # 0.25 µm/px


def write_pyramid(path, levels, **options):
    """Write a plain TIFF whose pages are exactly these arrays."""
    with tifffile.TiffWriter(path) as file:
        for number, level in enumerate(levels):
            common = {"tile": (128, 128), "compression": "zlib", "photometric": "rgb", "metadata": None, **MPP}
            file.write(level, subfiletype=int(number > 0), **(common | options))
    return path


def write_tiles(path, tiles, *, shape, tile):
    """Write a plain TIFF of these tiles, row by row; a tile that is None has no data in the file."""
    with tifffile.TiffWriter(path) as file:
        options = {"compression": "zlib", "photometric": "rgb", "dtype": np.uint8, "metadata": None, **MPP}
        file.write(iter(tiles), shape=shape, tile=(tile, tile), **options)
    return path


def reduced(image, factor):
    """The mean of factor×factor pixels from the upper left corner; the remaining pixels are dropped."""
    return area_reduce(image[: len(image) // factor * factor, : image.shape[1] // factor * factor], factor)


def by_openslide(path, x, y, width, height, level=0):
    """The result of `read_region`, [height, width, 3] RGB; (x, y) in level-0 px."""
    with openslide.OpenSlide(path) as handle:
        return np.asarray(handle.read_region((x, y), level, (width, height)).convert("RGB"))
