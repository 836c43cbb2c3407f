"""Nuclei as label pictures, such as those of MoNuSeg, and as polygons in GeoJSON, as QuPath exports them."""

from pathlib import Path

import cv2
import numpy as np
import tifffile
from numpy.typing import NDArray
from scipy import ndimage
from skimage.draw import polygon

from datasets_prep.common.image_flaws import image_flaw
from datasets_prep.common.quiet import silent_log
from datasets_prep.tissue.geojson import read_polygons
from mihatp_arch.errors import UserError
from mihatp_arch.nuclei.data.annotation import (
    DAMAGED,
    Annotation,
    ReadOptions,
    refuse_outside,
    types_by_number,
    whole_numbers,
)


def read_label_picture(path: Path) -> Annotation:
    """The nuclei of a PNG or TIFF picture with one channel: 0 is background, each nucleus has a number of its own.

    Raises:
        UserError: the file cannot be read, has several channels, or is a mask: nuclei that lie apart have one number.
    """
    labels = whole_numbers(_pixels(path), str(path)).astype(np.int32)
    numbers = np.unique(labels[labels > 0])
    if len(numbers) == 1 and _components(labels > 0) > 1:
        raise UserError(f"{path} is a mask, all its nuclei have number {numbers[0]}: give each nucleus a number")
    return Annotation(labels, np.zeros(labels.shape, np.uint8))


def _pixels(path: Path) -> NDArray[np.generic]:
    try:
        if path.suffix.lower() in (".tif", ".tiff"):
            with silent_log("tifffile"):
                return np.asarray(tifffile.imread(path))
        data = path.read_bytes()
        flaw = image_flaw(data)
        pixels = None if flaw else cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    except MemoryError:
        raise UserError(f"{path} does not fit into memory") from None
    except (*DAMAGED, cv2.error) as error:
        raise UserError(f"{path} cannot be read as a picture of labels: {error}") from error
    if pixels is None:
        raise UserError(f"{path} cannot be read as a picture of labels: {flaw or 'it is no PNG'}")
    if pixels.ndim != 2:
        raise UserError(f"{path} has {pixels.shape[2]} channels: a picture of labels has one, a number for each pixel")
    return pixels


def _components(mask: NDArray[np.bool_]) -> int:
    labels = np.empty(mask.shape, np.int32)
    ndimage.label(mask, output=labels)
    return int(labels.max(initial=0))


def read_outlines(path: Path, size: tuple[int, int], options: ReadOptions) -> Annotation:
    """The nuclei of a GeoJSON file: polygons in px of the image, where (0, 0) is the corner of the first pixel.

    A pixel is in a nucleus if its centre is in the polygon. Of a cell of QuPath the nucleus counts. Where polygons
    overlap, a pixel belongs to the smaller one.

    Args:
        path: the file.
        size: height and width of the image, px.
        options: `classes` gives the types of the classes of the polygons.

    Raises:
        UserError: the file cannot be read, a class has no number, or a polygon lies outside the image.
    """
    nuclei = [(options.type_of(name, str(path)), rings) for name, rings in read_polygons(path, nuclei=True)]
    outside = sum(not _touches(rings[0], size) for _, rings in nuclei)
    refuse_outside(path, outside, f"{len(nuclei)} outlines", size)
    filled = [(kind, _fill(rings, size)) for kind, rings in nuclei]
    filled.sort(key=lambda nucleus: -len(nucleus[1][0]))
    labels = np.zeros(size, np.int32)
    for number, (_, at) in enumerate(filled, 1):
        labels[at] = number
    lost = len(filled) - len(np.unique(labels[labels > 0]))
    notes = [f"{path}: {lost} outlines hold no pixel of their own"] if lost else []
    return Annotation(labels, types_by_number(labels, np.array([0, *(kind for kind, _ in filled)])), notes)


def _touches(ring: NDArray[np.float64], size: tuple[int, int]) -> bool:
    (left, top), (right, bottom) = ring.min(0), ring.max(0)
    return bool(right > 0 and bottom > 0 and left < size[1] and top < size[0])


def _fill(rings: list[NDArray[np.float64]], size: tuple[int, int]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Rows and columns of the pixels in a polygon with holes."""
    outer, *holes = ((ring[:, 1] - 0.5, ring[:, 0] - 0.5) for ring in rings)
    rows, columns = polygon(*outer, shape=size)
    keep = np.ones(len(rows), bool)
    for hole in holes:
        empty = np.ravel_multi_index(polygon(*hole, shape=size), size)
        keep &= ~np.isin(np.ravel_multi_index((rows, columns), size), empty)
    return rows[keep], columns[keep]
