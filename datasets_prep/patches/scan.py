"""Scan job: open one slide or image tile, find its tissue, and list its candidate patches."""

import hashlib
import math
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray

from datasets_prep.common.errors import UserError
from datasets_prep.common.files import write_file
from datasets_prep.coordinates.h5 import choose_patches, read_coordinates
from datasets_prep.patches.grid import Coordinates, grid
from datasets_prep.patches.lr_levels import choose_levels
from datasets_prep.patches.options import ScanOptions
from datasets_prep.patches.scan_results import Scan, write_candidates, write_tissue_images
from datasets_prep.patches.sources import Source
from datasets_prep.slides.levels import overview
from datasets_prep.slides.open import open_source
from datasets_prep.slides.protocol import SlideReader
from datasets_prep.slides.resolution import Resolution, hr_reduction, settled
from datasets_prep.tissue.coverage import coverage
from datasets_prep.tissue.outlines import read_outlines
from datasets_prep.tissue.segmentation import Tissue, find_tissue, tissue_from_regions


def open_reader(source: Source, options: ScanOptions) -> SlideReader:
    """Open the pixels of a source. Raises `UserError` when it cannot be opened."""
    return open_source(source.path, source.kind, assume_mpp=_stated_mpp(source, options)[0])


def _stated_mpp(source: Source, options: ScanOptions) -> tuple[float | None, str]:
    """µm per level-0 pixel that the user states, and where; None when nothing is stated."""
    if source.mpp is not None:
        return source.mpp, "the manifest"
    if not isinstance(options.override_mpp, bool):
        return options.override_mpp, "--override-mpp"
    return options.assume_mpp, "--assume-mpp"


def _resolution(reader: SlideReader, source: Source, options: ScanOptions) -> Resolution:
    """The resolution of level 0, by the file and by the user."""
    stated, by = _stated_mpp(source, options)
    override = options.override_mpp is not False
    return settled(reader.mpp, reader.mpp_source, stated=stated, by=by, override=override)


def scan(source: Source, options: ScanOptions, mask: Path | None, results: Path, coords: Path | None = None) -> Scan:
    """Scan one source and write its candidates into the work folder.

    Writes `<results>.npy` (`read_candidates`), for a slide also `<results>.geojson`, `<results>_mask.png` and
    `<results>_overview.jpg`. `<results>.json` is written last: it says that the other files are complete. When the
    source cannot be used, the returned `Scan` gives the reason and `<results>.json` is not written.

    Args:
        source: the slide or image tile.
        options: which patches are candidates.
        mask: GeoJSON file with the corrected tissue outline; None segments the tissue.
        results: path of the results, without an ending.
        coords: HDF5 file with the coordinates of its patches; None lays a grid over the tissue.
    """
    try:
        with open_reader(source, options) as reader:
            width, height = reader.level_sizes[0]
            resolution = _resolution(reader, source, options)
            reduction = hr_reduction(source.path, resolution, hr_mpp=options.hr_mpp, noun=source.kind)
            side = options.patch_size * reduction
            if min(width, height) < side:
                raise UserError(
                    f"{source.path} is {width}x{height}, smaller than one "
                    f"{side}x{side} patch: remove it, or use a smaller --patch-size"
                )
            if source.kind == "slide":
                scanned, coordinates, shares = _scan_slide(
                    reader, resolution, reduction, options, mask, coords, results
                )
            else:
                scanned, coordinates, shares = _scan_tile(reader, reduction, options)
            facts = reader.facts
    except UserError as error:
        return Scan(failed=str(error))
    scanned = msgspec.structs.replace(
        scanned,
        width=width,
        height=height,
        mpp=resolution.mpp,
        mpp_source=resolution.source,
        reduction=reduction,
        candidates=len(coordinates),
        scanner=facts.scanner,
        icc=hashlib.sha256(facts.icc).hexdigest() if facts.icc else "",
        origin=facts.origin,
        notes=[*filter(None, (resolution.note, _reduced(reduction))), *scanned.notes],
    )
    write_candidates(results, coordinates, shares)
    write_file(results.with_suffix(".json"), msgspec.json.encode(scanned))
    return scanned


def _reduced(reduction: int) -> str:
    return f"HR is level 0 reduced {reduction} times" if reduction > 1 else ""


def _scan_tile(
    tile: SlideReader, reduction: int, options: ScanOptions
) -> tuple[Scan, Coordinates, NDArray[np.floating]]:
    """Every patch of an image tile is a candidate; its tissue share is unknown (NaN)."""
    if options.strict:
        raise UserError(
            f"{tile.path} is an image tile, without levels for --lr pyramid: leave it out, or do not give --strict"
        )
    coordinates = grid(*tile.level_sizes[0], patch_size=options.patch_size * reduction)
    lr_source = "bicubic" if options.lr == "bicubic" else "area"
    notes = ["an image tile has no levels: LR is made from HR"] if options.lr == "pyramid" else []
    return Scan(lr_source=lr_source, notes=notes), coordinates, np.full(len(coordinates), np.nan)


def _scan_slide(
    slide: SlideReader,
    resolution: Resolution,
    reduction: int,
    options: ScanOptions,
    mask: Path | None,
    coords: Path | None,
    results: Path,
) -> tuple[Scan, Coordinates, NDArray[np.floating]]:
    """The scan of a slide, the coordinates of its candidates, and their tissue shares."""
    rgb, scale = overview(slide)
    tissue, notes = _tissue_of(slide, rgb, scale, options, mask, needed=coords is None)
    side = options.patch_size * reduction
    if coords is None:
        coordinates, shares = _candidates(slide, tissue, scale, options, side=side)
    else:
        step = math.lcm(*options.scales) * reduction if options.lr == "pyramid" else 1
        size = slide.level_sizes[0]
        chosen = choose_patches(read_coordinates(coords), size=size, side=side, step=step, path=coords)
        coordinates, squares = chosen.coordinates, chosen.coordinates.T
        shares = coverage(tissue.mask, scale=scale, xs=squares[0], ys=squares[1], size=side)
        notes.append(chosen.note)
    lr = choose_levels(slide, coordinates, options, reduction=reduction)
    notes += [lr.note] if lr.note else []
    if tissue.preset != options.preset and mask is None:
        notes.append(f"no tissue by preset {options.preset}: taken by {tissue.preset}")
    write_tissue_images(results, rgb, tissue, scale=scale, origin=slide.facts.origin)
    millimetres = (resolution.mpp or 0) / 1000
    scanned = Scan(
        vendor=slide.vendor,
        preset=tissue.preset if mask is None else "mask",
        tissue_mm2=float(np.count_nonzero(tissue.mask) * scale[0] * scale[1] * millimetres**2),
        pen_share=float(tissue.pen_share),
        black_share=float(tissue.black_share),
        levels=lr.levels,
        lr_source=lr.text,
        registrations=lr.registrations,
        notes=notes,
    )
    return scanned, coordinates, shares


def _tissue_of(
    slide: SlideReader,
    rgb: NDArray[np.uint8],
    scale: tuple[float, float],
    options: ScanOptions,
    mask: Path | None,
    *,
    needed: bool,
) -> tuple[Tissue, list[str]]:
    """The tissue of a slide, segmented or inside a corrected outline, and notes.

    Raises `UserError` when there is none, and some is needed.
    """
    notes: list[str] = []
    if mask is None:
        tissue = find_tissue(
            rgb, scale=scale, preset=options.preset, remove_artefacts=options.marks, fallback=options.fallback
        )
    else:
        drawn = read_outlines(
            mask, origin=slide.facts.origin, include=options.mask_include, exclude=options.mask_exclude
        )
        tissue = tissue_from_regions(
            drawn.regions, rgb=rgb, scale=scale, remove_artefacts=options.marks, excluded=drawn.excluded
        )
        notes += drawn.notes
    if needed and not tissue.mask.any():
        preset = f"(preset {options.preset}): {'' if options.preset == 'biopsy' else 'try --preset biopsy, or '}"
        raise UserError(f"{slide.path}: no tissue found " + (f"within {mask}" if mask else f"{preset}draw it (--mask)"))
    return tissue, notes


def _candidates(
    slide: SlideReader, tissue: Tissue, scale: tuple[float, float], options: ScanOptions, *, side: int
) -> tuple[Coordinates, NDArray[np.float32]]:
    """Coordinates and tissue shares of the patches with enough tissue and no artefact; `side` of them, level-0 px."""
    coordinates = grid(*slide.level_sizes[0], patch_size=side)
    squares = {"scale": scale, "xs": coordinates[:, 0], "ys": coordinates[:, 1], "size": side}
    shares = coverage(tissue.mask, **squares)
    clean = coverage(tissue.artefacts.astype(np.uint8), **squares) == 0
    chosen = (shares >= options.min_tissue) & (shares > 0) & clean
    if not chosen.any():
        raise UserError(
            f"{slide.path}: no patch of {side} px is {options.min_tissue:.0%} tissue and free of marks: "
            "lower --min-tissue, or draw the tissue (--mask)"
        )
    return coordinates[chosen], shares[chosen]
