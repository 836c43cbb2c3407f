"""Tissue segmentation as CLAM does it: saturation, median filter, threshold, closing, contours filtered by area."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from datasets_prep.tissue.presets import Preset

AREA_UNIT = 512**2  # px of level 0, the unit of CLAM's areas


@dataclass(frozen=True)
class Region:
    """One connected region of tissue.

    Attributes:
        outer: outline, [N, 2] int32 (x, y) in level-0 px; the first point is not repeated at the end.
        holes: outlines of its holes, of the same kind.
    """

    outer: NDArray[np.int32]
    holes: tuple[NDArray[np.int32], ...] = ()


def clam_regions(
    rgb: NDArray[np.uint8],
    *,
    scale: tuple[float, float],
    preset: Preset,
    ignore: NDArray[np.bool_] | None = None,
) -> list[Region]:
    """Segment the tissue of a slide as CLAM does.

    Args:
        rgb: overview of the whole slide, [H, W, 3] uint8.
        scale: (sx, sy), level-0 px per pixel of the overview.
        preset: the parameters.
        ignore: artefacts, [H, W] bool, which count as unsaturated. Regions that only artefacts divide are filtered by
            the sum of their areas. With None the result is exactly CLAM's, with artefacts in the tissue.
    """
    if not rgb.size:
        return []
    binary = _saturated(rgb, preset, ignore)
    contours, hierarchy = cv2.findContours(binary, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
    if hierarchy is None:
        return []
    holes_of: dict[int, list[NDArray[np.int32]]] = {i: [] for i, at in enumerate(hierarchy[0]) if at[3] < 0}
    for contour, (*_, parent) in zip(contours, hierarchy[0], strict=True):
        if parent >= 0:
            holes_of[parent].append(np.asarray(contour, np.int32))
    areas = {i: cv2.contourArea(contours[i]) - sum(map(cv2.contourArea, holes)) for i, holes in holes_of.items()}
    joined_areas = _joined_areas(contours, areas, binary, ignore)
    unit = int(AREA_UNIT / (scale[0] * scale[1]))
    regions = []
    for i, holes in holes_of.items():
        if areas[i] > 0 and joined_areas[i] > preset.tissue_area * unit:
            largest = sorted(holes, key=cv2.contourArea, reverse=True)[: preset.max_holes]
            large = (hole for hole in largest if cv2.contourArea(hole) > preset.hole_area * unit)
            regions.append(Region(_to_level_0(contours[i], scale), tuple(_to_level_0(hole, scale) for hole in large)))
    return regions


def _saturated(rgb: NDArray[np.uint8], preset: Preset, ignore: NDArray[np.bool_] | None) -> NDArray[np.uint8]:
    """The binary tissue image, [H, W] uint8, 0 or 255: median filter, threshold and closing of the saturation."""
    saturation = cv2.cvtColor(rgb, cv2.COLOR_RGB2HSV)[..., 1]
    if ignore is not None:
        saturation = np.where(ignore, np.uint8(0), saturation)
    smooth = cv2.medianBlur(np.ascontiguousarray(saturation), preset.median)
    how = cv2.THRESH_BINARY | (cv2.THRESH_OTSU if preset.otsu else 0)
    _, binary = cv2.threshold(smooth, preset.threshold, 255, how)
    if preset.close:  # a square of even side shifts the result by one pixel, as in CLAM
        binary = cv2.morphologyEx(binary, cv2.MORPH_CLOSE, np.ones((preset.close, preset.close), np.uint8))
    return np.asarray(binary, np.uint8)


def _joined_areas(
    contours: Sequence[ArrayLike], areas: Mapping[int, float], binary: ArrayLike, ignore: NDArray[np.bool_] | None
) -> Mapping[int, float]:
    """For each region, the sum of the areas of all regions that it is connected to through ignored pixels."""
    if ignore is None or not ignore.any():
        return areas
    _, components = cv2.connectedComponents((np.asarray(binary, bool) | ignore).astype(np.uint8))
    firsts = np.array([np.reshape(contours[i], (-1, 2))[0] for i in areas], np.intp).reshape(-1, 2)
    own = np.asarray(components, np.intp)[firsts[:, 1], firsts[:, 0]]
    totals = np.bincount(own, list(areas.values()))
    return dict(zip(areas, totals[own].tolist(), strict=True))


def mask_outlines(mask: NDArray[np.bool_], *, scale: tuple[float, float]) -> list[Region]:
    """The outlines of a mask, [H, W] bool, without holes; areas of less than 3 points are left out."""
    contours, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    return [Region(_to_level_0(contour, scale)) for contour in contours if len(contour) > 2]


def _to_level_0(contour: ArrayLike, scale: tuple[float, float]) -> NDArray[np.int32]:
    """The outline in level-0 px, [N, 2] int32, truncated as in CLAM."""
    return (np.reshape(contour, (-1, 2)) * np.array(scale)).astype(np.int32)
