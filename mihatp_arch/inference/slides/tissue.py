"""Which tiles of a slide the network computes: those with tissue, and their neighbours."""

from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from datasets_prep.slides.levels import overview
from datasets_prep.slides.protocol import Pyramid
from datasets_prep.tissue.clam import AREA_UNIT, clam_regions
from datasets_prep.tissue.coverage import coverage
from datasets_prep.tissue.geojson import read_geojson
from datasets_prep.tissue.pen_marks import find_artefacts
from datasets_prep.tissue.presets import PRESETS
from datasets_prep.tissue.segmentation import Tissue, tissue_from_regions
from mihatp_arch.inference.slides.plan import Plan
from mihatp_arch.inference.tiling import Tiling

_SMALLEST = 64.0  # µm, side of the smallest area of tissue that is computed


@dataclass(frozen=True)
class SlideTissue:
    """The tissue of a slide.

    Attributes:
        tiles: whether a tile has tissue, [rows, columns].
        computed: whether the network computes it, [rows, columns]: `tiles`, one tile wider, or all.
        pen_share: share of the slide under pen marks, 0 to 1.
        black_share: share of the slide that is black, 0 to 1.
    """

    tiles: NDArray[np.bool_]
    computed: NDArray[np.bool_]
    pen_share: float
    black_share: float


def slide_tissue(
    slide: Pyramid, plan: Plan, tiling: Tiling, *, outlines: Path | None = None, whole: bool = False
) -> SlideTissue:
    """Find the tissue of a slide, and the tiles that hold some of it.

    Args:
        slide: the open slide.
        plan: which level is computed.
        tiling: the tiles of that level.
        outlines: GeoJSON with outlines of the tissue in level-0 px; None: the tissue is segmented.
        whole: compute all tiles.

    Raises:
        UserError: the GeoJSON cannot be read, or the slide cannot be decoded.
    """
    rgb, scale = overview(slide)
    found = _tissue(rgb, scale, plan.mpp / plan.downsample, outlines)
    rows, columns = tiling.count(plan.height), tiling.count(plan.width)
    row, column = np.mgrid[:rows, :columns]
    step = tiling.core * plan.downsample
    size = (tiling.core + tiling.blend) * plan.downsample
    covered = coverage(found.mask, scale=scale, xs=column.ravel() * step, ys=row.ravel() * step, size=size)
    tiles = covered.reshape(rows, columns) > 0
    wider = cv2.dilate(tiles.astype(np.uint8), np.ones((3, 3), np.uint8)).astype(bool)
    return SlideTissue(tiles, np.ones_like(tiles) if whole else wider, found.pen_share, found.black_share)


def _tissue(rgb: NDArray[np.uint8], scale: tuple[float, float], mpp: float, outlines: Path | None) -> Tissue:
    """The tissue on an overview: inside the outlines, or where CLAM's segmentation finds any; `mpp` is of level 0."""
    if outlines is not None:
        return tissue_from_regions(read_geojson(outlines), rgb=rgb, scale=scale, remove_artefacts=False)
    area = (_SMALLEST / mpp) ** 2 / AREA_UNIT
    preset = replace(PRESETS["tcga"], tissue_area=area, hole_area=4 * area)
    regions = clam_regions(rgb, scale=scale, preset=preset, ignore=find_artefacts(rgb, scale=scale).either)
    return tissue_from_regions(regions, rgb=rgb, scale=scale)
