"""Scan job: open one slide or image tile, find its tissue, and list its candidate patches."""

from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray

from datasets_prep.common.errors import UserError
from datasets_prep.common.files import write_file
from datasets_prep.patches.grid import Coordinates, grid
from datasets_prep.patches.options import ScanOptions
from datasets_prep.patches.scan_results import Scan, write_candidates, write_tissue_images
from datasets_prep.patches.sources import Source
from datasets_prep.slides.levels import overview
from datasets_prep.slides.open import open_source
from datasets_prep.slides.protocol import SlideReader
from datasets_prep.slides.pyramid_lr import describe, plan_levels
from datasets_prep.slides.registration import gated, register
from datasets_prep.slides.resolution import require_40x
from datasets_prep.tissue.coverage import coverage
from datasets_prep.tissue.geojson import read_geojson
from datasets_prep.tissue.segmentation import Tissue, find_tissue, tissue_from_regions


def open_reader(source: Source, options: ScanOptions) -> SlideReader:
    """Open the pixels of a source. Raises `UserError` when it cannot be opened."""
    assume_mpp = source.mpp or options.assume_mpp if source.kind == "slide" else source.mpp
    return open_source(source.path, source.kind, assume_mpp=assume_mpp)


def scan(source: Source, options: ScanOptions, mask: Path | None, results: Path) -> Scan:
    """Scan one source and write its candidates into the work folder.

    Writes `<results>.npy` (`read_candidates`), for a slide also `<results>.geojson`, `<results>_mask.png` and
    `<results>_overview.jpg`. `<results>.json` is written last: it says that the other files are complete. When the
    source cannot be used, the returned `Scan` gives the reason and `<results>.json` is not written.

    Args:
        source: the slide or image tile.
        options: which patches are candidates.
        mask: GeoJSON file with the corrected tissue outline; None segments the tissue.
        results: path of the results, without an ending.
    """
    try:
        with open_reader(source, options) as reader:
            width, height = reader.level_sizes[0]
            if min(width, height) < options.patch_size:
                raise UserError(
                    f"{source.path} is {width}x{height}, smaller than one "
                    f"{options.patch_size}x{options.patch_size} patch: remove it, or use a smaller --patch-size"
                )
            if source.kind == "slide":
                scanned, coordinates, shares = _scan_slide(reader, options, mask, results)
            else:
                scanned, coordinates, shares = _scan_tile(reader, options)
    except UserError as error:
        return Scan(failed=str(error))
    scanned = msgspec.structs.replace(scanned, width=width, height=height, candidates=len(coordinates))
    write_candidates(results, coordinates, shares)
    write_file(results.with_suffix(".json"), msgspec.json.encode(scanned))
    return scanned


def _scan_tile(tile: SlideReader, options: ScanOptions) -> tuple[Scan, Coordinates, NDArray[np.floating]]:
    """Every patch of an image tile is a candidate; its tissue share is unknown (NaN)."""
    coordinates = grid(*tile.level_sizes[0], patch_size=options.patch_size)
    lr_source = "bicubic" if options.lr == "bicubic" else "area"
    return Scan(mpp=tile.mpp, lr_source=lr_source), coordinates, np.full(len(coordinates), np.nan)


def _scan_slide(
    slide: SlideReader, options: ScanOptions, mask: Path | None, results: Path
) -> tuple[Scan, Coordinates, NDArray[np.floating]]:
    """The scan of a slide, the coordinates of its candidates, and their tissue shares."""
    require_40x(slide)
    rgb, scale = overview(slide)
    tissue = _tissue_of(slide, rgb, scale, options, mask)
    coordinates, shares = _candidates(slide, tissue, scale, options)
    levels, lr_source, notes = _lr_levels(slide, coordinates, options)
    if tissue.preset != options.preset and mask is None:
        notes.append(f"no tissue by preset {options.preset}: taken by {tissue.preset}")
    write_tissue_images(results, rgb, tissue)
    millimetres = (slide.mpp or 0) / 1000
    scanned = Scan(
        mpp=slide.mpp,
        mpp_source=slide.mpp_source,
        vendor=slide.vendor,
        preset=tissue.preset if mask is None else "mask",
        tissue_mm2=float(np.count_nonzero(tissue.mask) * scale[0] * scale[1] * millimetres**2),
        pen_share=float(tissue.pen_share),
        black_share=float(tissue.black_share),
        levels=levels,
        lr_source=lr_source,
        notes=notes,
    )
    return scanned, coordinates, shares


def _tissue_of(
    slide: SlideReader,
    rgb: NDArray[np.uint8],
    scale: tuple[float, float],
    options: ScanOptions,
    mask: Path | None,
) -> Tissue:
    """The tissue of a slide: segmented, or inside a corrected outline. Raises `UserError` when there is none."""
    if mask is None:
        tissue = find_tissue(
            rgb, scale=scale, preset=options.preset, remove_artefacts=options.marks, fallback=options.fallback
        )
    else:
        tissue = tissue_from_regions(read_geojson(mask), rgb=rgb, scale=scale, remove_artefacts=options.marks)
    if not tissue.mask.any():
        raise UserError(
            f"{slide.path}: no tissue found "
            + (f"within {mask}" if mask else f"(preset {options.preset}): try --preset biopsy, or draw it (--mask)")
        )
    return tissue


def _candidates(
    slide: SlideReader, tissue: Tissue, scale: tuple[float, float], options: ScanOptions
) -> tuple[Coordinates, NDArray[np.float32]]:
    """Coordinates and tissue shares of the patches with enough tissue and no artefact."""
    coordinates = grid(*slide.level_sizes[0], patch_size=options.patch_size)
    squares = {"scale": scale, "xs": coordinates[:, 0], "ys": coordinates[:, 1], "size": options.patch_size}
    shares = coverage(tissue.mask, **squares)
    clean = coverage(tissue.artefacts.astype(np.uint8), **squares) == 0
    chosen = (shares >= options.min_tissue) & (shares > 0) & clean
    if not chosen.any():
        raise UserError(
            f"{slide.path}: no patch of {options.patch_size} px is {options.min_tissue:.0%} tissue and free of marks: "
            "lower --min-tissue, or draw the tissue (--mask)"
        )
    return coordinates[chosen], shares[chosen]


def _lr_levels(
    slide: SlideReader, coordinates: Coordinates, options: ScanOptions
) -> tuple[dict[int, tuple[int, int]], str, list[str]]:
    """The levels that LR is read from (see `Scan.levels`), the source of LR as text, and notes."""
    if options.lr != "pyramid":
        return {}, options.lr, []
    plan = plan_levels(slide, options.scales)
    notes = []
    if any(plan.values()):
        plan, why = gated(plan, register(slide, coordinates, size=options.patch_size, plan=plan))
        notes = [why] if why else []
    return {k: (source.level, source.rest) for k, source in plan.items() if source is not None}, describe(plan), notes
