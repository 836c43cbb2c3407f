"""Where the tissue is: CLAM's steps and presets, and what improves on them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from datasets_prep.common.errors import UserError
from datasets_prep.tissue.pen_marks import Marks, find_marks

_UNIT = 512**2  # px of level 0: the unit of CLAM's areas


@dataclass(frozen=True)
class Preset:
    """CLAM's parameters of the segmentation.

    Attributes:
        threshold: saturation (0 to 255) above which a pixel is tissue; with `otsu` it is found instead.
        median: side of the median filter, px of the picture, odd.
        close: side of the square that closes gaps, px of the picture; 0 closes none.
        tissue_area: a region must be larger, in units of 512×512 level-0 px.
        hole_area: so must a hole.
        max_holes: of one region; the largest stay.
        otsu: whether to take Otsu's threshold.
    """

    threshold: int
    median: int
    close: int
    tissue_area: float
    hole_area: float
    max_holes: int
    otsu: bool = False


PRESETS: dict[str, Preset] = {
    "tcga": Preset(threshold=8, median=7, close=4, tissue_area=16, hole_area=4, max_holes=8),
    "biopsy": Preset(threshold=15, median=11, close=2, tissue_area=1, hole_area=1, max_holes=2),
    "resection": Preset(threshold=15, median=11, close=4, tissue_area=100, hole_area=16, max_holes=8),
    "clam-default": Preset(threshold=8, median=7, close=4, tissue_area=100, hole_area=16, max_holes=8),
}


@dataclass(frozen=True)
class Region:
    """A piece of tissue.

    Attributes:
        outer: N×2 int32 x, y in level-0 px, not closed.
        holes: outlines of the same kind.
    """

    outer: NDArray[np.int32]
    holes: tuple[NDArray[np.int32], ...] = ()


@dataclass(frozen=True)
class Tissue:
    """The tissue on a picture of H×W pixels.

    Attributes:
        regions: its outlines; empty where there is no tissue.
        mask: H×W uint8, 1 in the regions, without their holes and the marks.
        marks: H×W bool, pen and black.
        preset: that found it.
        pen_share, black_share: of the picture's pixels, 0 to 1.
    """

    regions: list[Region]
    mask: NDArray[np.uint8]
    marks: NDArray[np.bool_]
    preset: str
    pen_share: float
    black_share: float


def clam_regions(
    rgb: NDArray[np.uint8],
    *,
    scale: tuple[float, float],
    preset: Preset,
    ignore: NDArray[np.bool_] | None = None,
) -> list[Region]:
    """Segment tissue as CLAM does.

    Args:
        rgb: H×W×3 uint8, the whole slide.
        scale: (sx, sy), level-0 px per pixel.
        preset: the parameters.
        ignore: H×W bool, pixels that count as unsaturated. Regions that they alone divide are kept or dropped
            together. With None this is CLAM to the letter, pen and all.
    """
    if not rgb.size:
        return []
    saturation = cv2.cvtColor(rgb, cv2.COLOR_RGB2HSV)[..., 1]
    if ignore is not None:
        saturation = np.where(ignore, np.uint8(0), saturation)
    smooth = cv2.medianBlur(np.ascontiguousarray(saturation), preset.median)
    how = cv2.THRESH_BINARY | (cv2.THRESH_OTSU if preset.otsu else 0)
    _, binary = cv2.threshold(smooth, preset.threshold, 255, how)
    if preset.close:  # an even square shifts what it closes by a pixel, as in CLAM
        binary = cv2.morphologyEx(binary, cv2.MORPH_CLOSE, np.ones((preset.close, preset.close), np.uint8))
    contours, hierarchy = cv2.findContours(binary, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
    if hierarchy is None:
        return []
    holes_of: dict[int, list[NDArray[np.int32]]] = {i: [] for i, at in enumerate(hierarchy[0]) if at[3] < 0}
    for contour, (*_, parent) in zip(contours, hierarchy[0], strict=True):
        if parent >= 0:
            holes_of[parent].append(np.asarray(contour, np.int32))
    areas = {i: cv2.contourArea(contours[i]) - sum(map(cv2.contourArea, holes)) for i, holes in holes_of.items()}
    together = _together(contours, areas, binary, ignore)
    unit = int(_UNIT / (scale[0] * scale[1]))
    regions = []
    for i, holes in holes_of.items():
        if areas[i] > 0 and together[i] > preset.tissue_area * unit:
            largest = sorted(holes, key=cv2.contourArea, reverse=True)[: preset.max_holes]
            kept = (hole for hole in largest if cv2.contourArea(hole) > preset.hole_area * unit)
            regions.append(Region(_to_level_0(contours[i], scale), tuple(_to_level_0(hole, scale) for hole in kept)))
    return regions


def _together(
    contours: Sequence[ArrayLike], areas: Mapping[int, float], binary: ArrayLike, ignore: NDArray[np.bool_] | None
) -> Mapping[int, float]:
    """The area of each region and of all that are connected to it through ignored pixels."""
    if ignore is None or not ignore.any():
        return areas
    _, pieces = cv2.connectedComponents((np.asarray(binary, bool) | ignore).astype(np.uint8))
    firsts = np.array([np.reshape(contours[i], (-1, 2))[0] for i in areas], np.intp).reshape(-1, 2)
    own = np.asarray(pieces, np.intp)[firsts[:, 1], firsts[:, 0]]
    totals = np.bincount(own, list(areas.values()))
    return dict(zip(areas, totals[own].tolist(), strict=True))


def _to_level_0(contour: ArrayLike, scale: tuple[float, float]) -> NDArray[np.int32]:
    """N×2 int32; CLAM truncates."""
    return (np.reshape(contour, (-1, 2)) * np.array(scale)).astype(np.int32)


def find_tissue(
    rgb: NDArray[np.uint8],
    *,
    scale: tuple[float, float],
    preset: str = "tcga",
    marks: bool = True,
    fallback: bool = True,
) -> Tissue:
    """Find the tissue on a picture of a slide.

    Args:
        rgb: H×W×3 uint8, the whole slide.
        scale: (sx, sy), level-0 px per pixel.
        preset: a name of `PRESETS`.
        marks: whether pen and near-black are no tissue; False is CLAM to the letter.
        fallback: whether to look again for regions and holes as small as `biopsy` takes where there is no region.

    Raises:
        UserError: no such preset.
    """
    if preset not in PRESETS:
        raise UserError(f"preset {preset!r}: choose from {', '.join(PRESETS)}")
    found = find_marks(rgb, scale=scale) if marks else None
    ignore = None if found is None else found.either
    regions = clam_regions(rgb, scale=scale, preset=PRESETS[preset], ignore=ignore)
    if not regions and fallback and preset != "biopsy":
        biopsy = PRESETS["biopsy"]
        areas = {name: getattr(biopsy, name) for name in ("tissue_area", "hole_area", "max_holes")}
        regions = clam_regions(rgb, scale=scale, preset=replace(PRESETS[preset], **areas), ignore=ignore)
        preset = f"{preset} with the areas of biopsy" if regions else preset
    return _tissue(regions, shape=rgb.shape[:2], scale=scale, marks=found, preset=preset)


def tissue_from_regions(
    regions: Sequence[Region], *, rgb: NDArray[np.uint8], scale: tuple[float, float], marks: bool = True
) -> Tissue:
    """The tissue that someone has outlined, on an H×W×3 uint8 RGB picture of the slide; see `find_tissue`."""
    found = find_marks(rgb, scale=scale) if marks else None
    return _tissue(regions, shape=rgb.shape[:2], scale=scale, marks=found, preset="outlined")


def _tissue(
    regions: Sequence[Region], *, shape: tuple[int, ...], scale: tuple[float, float], marks: Marks | None, preset: str
) -> Tissue:
    mask = _fill(regions, shape=shape, scale=scale)
    if marks is None:
        return Tissue(list(regions), mask, np.zeros(mask.shape, bool), preset, 0.0, 0.0)
    either = marks.either
    mask[either] = 0
    pixels = max(1, mask.size)
    pen, black = np.count_nonzero(marks.pen) / pixels, np.count_nonzero(marks.black) / pixels
    return Tissue(list(regions), mask, either, preset, pen, black)


def _fill(regions: Sequence[Region], *, shape: tuple[int, ...], scale: tuple[float, float]) -> NDArray[np.uint8]:
    """H×W uint8, 1 in the regions; their outlines, those of the holes too, run on tissue, as OpenCV's do."""
    mask = np.zeros(shape, np.uint8)
    for region in regions:  # one by one, for a region may lie in a hole of another
        outer, *holes = (_to_picture(ring, scale) for ring in (region.outer, *region.holes))
        x, y, width, height = cv2.boundingRect(outer)
        left, top, right, bottom = max(x, 0), max(y, 0), min(x + width, shape[1]), min(y + height, shape[0])
        if left >= right or top >= bottom:
            continue
        own = np.zeros((bottom - top, right - left), np.uint8)
        shift = (-left, -top)
        cv2.fillPoly(own, [outer], 1, offset=shift)
        for hole in holes:
            gone = np.zeros_like(own)
            cv2.fillPoly(gone, [hole], 1, offset=shift)
            cv2.polylines(gone, [hole + shift], True, 0)
            own[gone > 0] = 0
        mask[top:bottom, left:right] |= own
    return mask


def _to_picture(ring: NDArray[np.int32], scale: tuple[float, float]) -> NDArray[np.int32]:
    """The pixels that CLAM's truncated coordinates came from, exactly so where a pixel spans 2 or more."""
    return np.rint(ring / np.array(scale)).astype(np.int32)


def shares(
    mask: NDArray[np.uint8], *, scale: tuple[float, float], xs: ArrayLike, ys: ArrayLike, size: float
) -> NDArray[np.float32]:
    """How much of each square of level 0 the mask covers: N float32, 0 to 1, and 0 only where it covers nothing.

    Areas are exact for a mask whose pixels are rectangles of sx×sy px; outside of it there is nothing.

    Args:
        mask: H×W uint8, 0 or 1.
        scale: (sx, sy), level-0 px per pixel.
        xs, ys: N upper left corners, level-0 px.
        size: side of the squares, level-0 px.
    """
    height, width = mask.shape
    columns, across = _parts(np.asarray(xs, np.float64) / scale[0], size / scale[0], width)
    rows, down = _parts(np.asarray(ys, np.float64) / scale[1], size / scale[1], height)
    # Whole counts are subtracted before they are weighted, so that nothing stays exactly nothing.
    sums = cv2.integral(mask)[rows[:, None], columns[None]]
    counts = np.diff(np.diff(sums, axis=0), axis=1)
    covered = np.einsum("rn,cn,rcn->n", down, across, counts)
    return np.minimum(covered * (scale[0] * scale[1] / size**2), 1).astype(np.float32)


def _parts(start: NDArray[np.float64], length: float, end: int) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
    """Split N intervals of pixels into a first pixel, whole ones and a last one: 4×N bounds and 3×N weights."""
    low, high = np.clip(start, 0, end), np.clip(start + length, 0, end)
    first, last = np.floor(low), np.floor(high)
    bounds = np.clip(np.stack([first, first + 1, last, last + 1]), 0, end).astype(np.intp)
    return bounds, np.stack([1 - (low - first), np.ones_like(low), high - last])
