"""Which tiles of a slide the network computes: those with tissue, and those close to it."""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from datasets_prep.slides.levels import overview
from datasets_prep.slides.protocol import Pyramid
from datasets_prep.tissue.clam import AREA_UNIT, Region, clam_regions
from datasets_prep.tissue.coverage import coverage
from datasets_prep.tissue.outlines import Outlines, read_outlines
from datasets_prep.tissue.pen_marks import find_artefacts
from datasets_prep.tissue.presets import PRESETS
from datasets_prep.tissue.segmentation import Tissue, tissue_from_regions
from mihatp_arch.inference.slides.plan import Plan
from mihatp_arch.inference.tiling import Tiling

_SMALLEST = 64.0  # µm, side of the smallest area of tissue that is computed
_MARGIN = 32.0  # µm around segmented tissue that is computed too: the segmentation is this exact


@dataclass(frozen=True)
class Frame:
    """The slide that outlines were drawn on.

    Attributes:
        mpp: µm per level-0 px.
        origin: (x, y) level-0 px where the coordinates of the outlines begin (`SlideFacts.origin`).
    """

    mpp: float
    origin: tuple[int, int] = (0, 0)


@dataclass(frozen=True)
class SlideTissue:
    """The tissue of a slide.

    Attributes:
        tiles: whether a tile has tissue, [rows, columns].
        computed: whether the network computes it, [rows, columns]: it has tissue or is close to it, or all are.
        pen_share: share of the slide under pen marks, 0 to 1.
        black_share: share of the slide that is black, 0 to 1.
        notes: lines that say which outlines are no tissue.
    """

    tiles: NDArray[np.bool_]
    computed: NDArray[np.bool_]
    pen_share: float
    black_share: float
    notes: tuple[str, ...] = ()


def slide_tissue(
    slide: Pyramid,
    plan: Plan,
    tiling: Tiling,
    *,
    outlines: Path | None = None,
    frame: Frame | None = None,
    whole: bool = False,
) -> SlideTissue:
    """Find the tissue of a slide, and the tiles that hold some of it.

    Args:
        slide: the open slide.
        plan: which level is computed.
        tiling: the tiles of that level.
        outlines: GeoJSON with outlines of the tissue in level-0 px; None: the tissue is segmented.
        frame: the slide of the outlines, which shows the same field; None: this slide, with its origin at (0, 0).
        whole: compute all tiles.

    Raises:
        UserError: the GeoJSON cannot be read, or the slide cannot be decoded.
    """
    rgb, scale = overview(slide)
    mpp = plan.mpp / plan.downsample
    drawn = None if outlines is None else _drawn(outlines, frame or Frame(mpp), mpp)
    tissue = _tissue(rgb, scale, mpp, drawn)
    # An outline is exact to a pixel of the overview.
    margin = max(scale) if outlines is not None else _MARGIN / mpp
    tiles = _covered(tissue, scale, plan, tiling, margin=0)
    computed = _covered(tissue, scale, plan, tiling, margin=margin)
    computed = np.ones_like(tiles) if whole else computed
    return SlideTissue(tiles, computed, tissue.pen_share, tissue.black_share, drawn.notes if drawn else ())


def _drawn(path: Path, frame: Frame, mpp: float) -> Outlines:
    """The outlines in level-0 px of a slide with `mpp` µm per px."""
    drawn, zoom = read_outlines(path, origin=frame.origin), frame.mpp / mpp
    if zoom == 1:
        return drawn

    def scaled(ring: NDArray[np.int32]) -> NDArray[np.int32]:
        return np.rint(ring * zoom).astype(np.int32)

    def enlarged(regions: list[Region]) -> list[Region]:
        return [Region(scaled(region.outer), tuple(map(scaled, region.holes))) for region in regions]

    return replace(drawn, regions=enlarged(drawn.regions), excluded=enlarged(drawn.excluded))


def _covered(
    tissue: Tissue, scale: tuple[float, float], plan: Plan, tiling: Tiling, *, margin: float
) -> NDArray[np.bool_]:
    """Whether there is tissue within `margin` level-0 px of each tile, [rows, columns]."""
    rows, columns = tiling.count(plan.height), tiling.count(plan.width)
    row, column = np.mgrid[:rows, :columns]
    step = tiling.core * plan.downsample
    xs, ys = (at.ravel() * step - margin for at in (column, row))
    size = (tiling.core + tiling.blend) * plan.downsample + 2 * margin
    return coverage(tissue.mask, scale=scale, xs=xs, ys=ys, size=size).reshape(rows, columns) > 0


def _tissue(rgb: NDArray[np.uint8], scale: tuple[float, float], mpp: float, drawn: Outlines | None) -> Tissue:
    """The tissue on an overview: inside the outlines, or where CLAM's segmentation finds any; `mpp` is of level 0."""
    if drawn is not None:
        regions, excluded = drawn.regions, drawn.excluded
        return tissue_from_regions(regions, rgb=rgb, scale=scale, remove_artefacts=False, excluded=excluded)
    area = (_SMALLEST / mpp) ** 2 / AREA_UNIT
    preset = replace(PRESETS["tcga"], tissue_area=area, hole_area=4 * area)
    regions = clam_regions(rgb, scale=scale, preset=preset, ignore=find_artefacts(rgb, scale=scale).either)
    return tissue_from_regions(regions, rgb=rgb, scale=scale)
