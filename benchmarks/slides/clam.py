"""CLAM's loop over a slide, and what its users make of it: the HDF5 of `create_patches.py`, or pairs of PNG files.

For each contour CLAM goes over the bounding box: `pointPolygonTest` for every place, `read_region` for every patch, as
a PIL image, then tests for black and white patches. This is that loop, written from its description, at level 0 and
with its own defaults. It has one process, as CLAM's has.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import h5py
import numpy as np
import openslide
from numpy.typing import NDArray
from PIL import Image

from datasets_prep.tissue.clam import clam_regions
from datasets_prep.tissue.presets import PRESETS

SIZE = 192
PRESET = "biopsy"  # small slides have small areas of tissue
SCALES = (2, 4, 8)
_BLACK, _WHITE = 50, 5  # its defaults: mean codes of a black patch, mean saturation of a white one
_LEVEL_OF = 64  # the segmentation's level has at most this downsample

RGB = NDArray[np.uint8]
Patch = tuple[int, int, Image.Image]  # x, y, pixels


def patches(path: Path) -> Iterator[Patch]:
    """The patches that CLAM's loop accepts, one after the other."""
    slide = openslide.OpenSlide(str(path))
    level = slide.get_best_level_for_downsample(_LEVEL_OF)
    rgb = np.asarray(slide.read_region((0, 0), level, slide.level_dimensions[level]).convert("RGB"))
    scale = (slide.dimensions[0] / rgb.shape[1], slide.dimensions[1] / rgb.shape[0])
    for region in clam_regions(rgb, scale=scale, preset=PRESETS[PRESET]):
        contour, holes = region.outer.reshape(-1, 1, 2), [hole.reshape(-1, 1, 2) for hole in region.holes]
        x0, y0, width, height = cv2.boundingRect(contour)
        for y in range(y0, y0 + height, SIZE):
            for x in range(x0, x0 + width, SIZE):
                if not _inside(contour, holes, x, y):
                    continue
                patch = slide.read_region((x, y), 0, (SIZE, SIZE)).convert("RGB")
                if not _black_or_white(np.array(patch)):
                    yield x, y, patch
    slide.close()


def _inside(contour: NDArray[np.int32], holes: list[NDArray[np.int32]], x: int, y: int) -> bool:
    """Whether one of four points of the patch lies inside the contour, and its middle in no hole (`four_pt`)."""
    shift = SIZE // 4
    centre = (x + SIZE // 2, y + SIZE // 2)
    corners = [(centre[0] + dx, centre[1] + dy) for dx in (-shift, shift) for dy in (-shift, shift)]
    if not any(cv2.pointPolygonTest(contour, (float(u), float(v)), False) >= 0 for u, v in corners):
        return False
    middle = (float(centre[0]), float(centre[1]))
    return not any(cv2.pointPolygonTest(hole, middle, False) > 0 for hole in holes)


def _black_or_white(rgb: RGB) -> bool:
    black = bool(np.all(np.mean(rgb, axis=(0, 1)) < _BLACK))
    return black or bool(np.mean(cv2.cvtColor(rgb, cv2.COLOR_RGB2HSV)[:, :, 1]) < _WHITE)


def read_alone(path: Path) -> int:
    """Number of patches; nothing is written."""
    return sum(1 for _ in patches(path))


def write_hdf5(path: Path, folder: Path) -> int:
    """One file with all patches and their coordinates, opened anew for each patch."""
    file, count = folder / f"{path.stem}.h5", 0
    for x, y, patch in patches(path):
        rgb = np.array(patch)[np.newaxis]
        with h5py.File(file, "a" if count else "w") as bag:
            for name, row in (("imgs", rgb), ("coords", np.array([(x, y)], np.int32))):
                shape = row.shape[1:]
                data: Any = bag.get(name)
                if data is None:
                    data = bag.create_dataset(name, (0, *shape), row.dtype, maxshape=(None, *shape), chunks=row.shape)
                data.resize(count + 1, axis=0)
                data[count:] = row
        count += 1
    return count


def write_pairs(path: Path, folder: Path) -> int:
    """HR and LR as PNG files, as PIL reduces and saves them by default."""
    count = 0
    for name in ("HR", *(f"LR_x{scale}" for scale in SCALES)):
        (folder / name).mkdir(parents=True, exist_ok=True)
    for x, y, patch in patches(path):
        patch.save(folder / "HR" / f"{path.stem}_{x}_{y}.png")
        for scale in SCALES:
            small = patch.resize((SIZE // scale, SIZE // scale), Image.Resampling.BICUBIC)
            small.save(folder / f"LR_x{scale}" / f"{path.stem}_{x}_{y}.png")
        count += 1
    return count
