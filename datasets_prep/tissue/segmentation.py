"""The tissue mask of a slide: CLAM's regions, or a corrected outline, without pen marks and black artefacts."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from datasets_prep.common.errors import UserError
from datasets_prep.tissue.clam import Region, clam_regions
from datasets_prep.tissue.pen_marks import Artefacts, find_artefacts
from datasets_prep.tissue.presets import PRESETS


@dataclass(frozen=True)
class Tissue:
    """The tissue on an overview of H×W pixels.

    Attributes:
        regions: its outlines; empty when there is no tissue.
        mask: [H, W] uint8, 1 inside the regions, 0 in their holes and on artefacts.
        artefacts: [H, W] bool, pen marks and black.
        preset: name of the preset that gave the regions, or `outlined`.
        pen_share, black_share: share of the overview's pixels, 0 to 1.
        excluded: outlines that a person has taken out of the tissue.
    """

    regions: list[Region]
    mask: NDArray[np.uint8]
    artefacts: NDArray[np.bool_]
    preset: str
    pen_share: float
    black_share: float
    excluded: list[Region] = field(default_factory=list)


def find_tissue(
    rgb: NDArray[np.uint8],
    *,
    scale: tuple[float, float],
    preset: str = "tcga",
    remove_artefacts: bool = True,
    fallback: bool = True,
) -> Tissue:
    """Segment the tissue of a slide.

    Args:
        rgb: overview of the whole slide, [H, W, 3] uint8.
        scale: (sx, sy), level-0 px per pixel of the overview.
        preset: a name of `PRESETS`.
        remove_artefacts: whether pen marks and black are taken out of the tissue. False gives exactly CLAM's result.
        fallback: whether a slide without any region is segmented again, with the smaller areas of `biopsy`.

    Raises:
        UserError: the preset is unknown.
    """
    if preset not in PRESETS:
        raise UserError(f"preset {preset!r}: choose from {', '.join(PRESETS)}")
    artefacts = find_artefacts(rgb, scale=scale) if remove_artefacts else None
    ignore = None if artefacts is None else artefacts.either
    regions = clam_regions(rgb, scale=scale, preset=PRESETS[preset], ignore=ignore)
    if not regions and fallback and preset != "biopsy":
        biopsy = PRESETS["biopsy"]
        areas = {name: getattr(biopsy, name) for name in ("tissue_area", "hole_area", "max_holes")}
        regions = clam_regions(rgb, scale=scale, preset=replace(PRESETS[preset], **areas), ignore=ignore)
        preset = f"{preset} with the areas of biopsy" if regions else preset
    return _tissue(regions, shape=rgb.shape[:2], scale=scale, artefacts=artefacts, preset=preset)


def tissue_from_regions(
    regions: Sequence[Region],
    *,
    rgb: NDArray[np.uint8],
    scale: tuple[float, float],
    remove_artefacts: bool = True,
    excluded: Sequence[Region] = (),
) -> Tissue:
    """The tissue inside outlines that a person has drawn, without `excluded`; other arguments as for `find_tissue`."""
    artefacts = find_artefacts(rgb, scale=scale) if remove_artefacts else None
    tissue = _tissue(regions, shape=rgb.shape[:2], scale=scale, artefacts=artefacts, preset="outlined")
    if excluded:
        tissue.mask[_fill(excluded, shape=rgb.shape[:2], scale=scale) > 0] = 0
    return replace(tissue, excluded=list(excluded))


def _tissue(
    regions: Sequence[Region],
    *,
    shape: tuple[int, ...],
    scale: tuple[float, float],
    artefacts: Artefacts | None,
    preset: str,
) -> Tissue:
    mask = _fill(regions, shape=shape, scale=scale)
    if artefacts is None:
        return Tissue(list(regions), mask, np.zeros(mask.shape, bool), preset, 0.0, 0.0)
    either = artefacts.either
    mask[either] = 0
    pixels = max(1, mask.size)
    pen, black = np.count_nonzero(artefacts.pen) / pixels, np.count_nonzero(artefacts.black) / pixels
    return Tissue(list(regions), mask, either, preset, pen, black)


def _fill(regions: Sequence[Region], *, shape: tuple[int, ...], scale: tuple[float, float]) -> NDArray[np.uint8]:
    """Draw the regions: [H, W] uint8, 1 inside. All outlines, also of holes, count as tissue, as in OpenCV."""
    mask = np.zeros(shape, np.uint8)
    for region in regions:  # one by one: a region may lie in a hole of another one
        outer, *holes = (_to_overview(ring, scale) for ring in (region.outer, *region.holes))
        x, y, width, height = cv2.boundingRect(outer)
        left, top, right, bottom = max(x, 0), max(y, 0), min(x + width, shape[1]), min(y + height, shape[0])
        if left >= right or top >= bottom:
            continue
        own = np.zeros((bottom - top, right - left), np.uint8)
        shift = (-left, -top)
        cv2.fillPoly(own, [outer], 1, offset=shift)
        for hole in holes:
            inside = np.zeros_like(own)
            cv2.fillPoly(inside, [hole], 1, offset=shift)
            cv2.polylines(inside, [hole + shift], True, 0)
            own[inside > 0] = 0
        mask[top:bottom, left:right] |= own
    return mask


def _to_overview(ring: NDArray[np.int32], scale: tuple[float, float]) -> NDArray[np.int32]:
    """The outline in pixels of the overview; the inverse of `clam._to_level_0` when the scale is 2 or more."""
    return np.rint(ring / np.array(scale)).astype(np.int32)
