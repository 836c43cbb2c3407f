"""The first look at a slide or tile: whether it can be used, where its tissue is, which patches it offers."""

import io
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

import cv2
import msgspec
import numpy as np
from numpy.typing import NDArray

from datasets_prep.common.errors import UserError
from datasets_prep.common.files import write_file
from datasets_prep.patches.grid import grid
from datasets_prep.patches.selection import Places
from datasets_prep.patches.sources import Source
from datasets_prep.slides.openslide import Slide, open_slide, require_40x
from datasets_prep.slides.pyramid_lr import LevelSource, describe, gated, plan_levels, register
from datasets_prep.slides.tiles import read_rgb
from datasets_prep.tissue import clam as tissue
from datasets_prep.tissue.geojson import read_geojson, write_geojson

LR = ("area", "bicubic", "pyramid")
_OVERVIEW = 1024  # px, the longer side of the picture on the data card


@dataclass(frozen=True)
class ScanOptions:
    """What decides which patches a slide offers.

    Attributes:
        patch_size: HR pixels, a multiple of every scale.
        scales: of the LR images.
        preset: CLAM's parameters (tissue.py).
        marks: whether pen and near-black are taken out of the tissue.
        fallback: whether a slide without tissue by the preset is tried with the smaller areas of `biopsy`.
        min_tissue: share of a patch that must be tissue, 0 to 1.
        lr: where LR comes from.
        assume_mpp: µm/px of slides that do not say.
    """

    patch_size: int = 192
    scales: tuple[int, ...] = (2, 4, 8)
    preset: str = "tcga"
    marks: bool = True
    fallback: bool = True
    min_tissue: float = 0.5
    lr: Literal["area", "bicubic", "pyramid"] = "area"
    assume_mpp: float | None = None

    def __post_init__(self) -> None:
        if self.preset not in tissue.PRESETS:
            raise UserError(f"preset {self.preset!r}: choose from {', '.join(tissue.PRESETS)}")
        if self.lr not in LR:
            raise UserError(f"LR source {self.lr!r}: choose from {', '.join(LR)}")
        if not 0 <= self.min_tissue <= 1:
            raise UserError(f"minimal tissue {self.min_tissue}: give a share from 0 to 1")
        if self.assume_mpp is not None and not 0 < self.assume_mpp < 100:
            raise UserError(f"--assume-mpp {self.assume_mpp}: give µm per pixel, such as 0.25")


class Scan(msgspec.Struct, frozen=True, kw_only=True):
    """What was found in one source; `failed` says why it cannot be used. Numbers are None where they mean nothing."""

    failed: str = ""
    width: int | None = None
    height: int | None = None
    mpp: float | None = None
    mpp_source: str = ""
    vendor: str = ""
    preset: str = ""
    tissue_mm2: float | None = None
    pen_share: float | None = None
    black_share: float | None = None
    candidates: int = 0
    levels: dict[int, tuple[int, int]] = {}  # scale -> level, and what is left to reduce; others come from HR
    lr_source: str = ""
    notes: list[str] = []


class Tile:
    """An image tile with what the build needs of a slide; every pixel of it is in memory."""

    def __init__(self, path: Path) -> None:
        self._rgb = read_rgb(path)
        self.height, self.width, _ = self._rgb.shape

    def read(self, x: int, y: int, width: int, height: int, *, level: int = 0) -> NDArray[np.uint8]:
        """H×W×3 uint8 RGB."""
        return self._rgb[y : y + height, x : x + width]


Opened: TypeAlias = Slide | Tile


@contextmanager
def open_source(source: Source, options: ScanOptions) -> Iterator[Opened]:
    """The pixels of a source. Raises `UserError` where it cannot be opened."""
    if source.kind == "tile":
        yield Tile(source.path)
        return
    with open_slide(source.path, assume_mpp=source.mpp or options.assume_mpp) as slide:
        yield slide


def scan(source: Source, options: ScanOptions, mask: Path | None, results: Path) -> Scan:
    """Look at one source and file what it offers beside `results`, a path that names no file yet.

    `<results>.npy` gets the candidates (`read_candidates`); of a slide also `<results>.geojson`, `<results>_mask.png`
    and `<results>_overview.jpg`; `<results>.json` comes last and says that the rest is whole. What is wrong with the
    source is in the answer, which then leaves no file.

    Args:
        source: the slide or tile.
        options: see there.
        mask: GeoJSON of the tissue, corrected by hand; None finds the tissue.
        results: where the results go.
    """
    try:
        with open_source(source, options) as opened:
            if min(opened.width, opened.height) < options.patch_size:
                raise UserError(
                    f"{source.path} is {opened.width}x{opened.height}, smaller than one "
                    f"{options.patch_size}x{options.patch_size} patch: remove it, or use a smaller --patch-size"
                )
            if isinstance(opened, Slide):
                found, candidates = _scan_slide(source, opened, options, mask, results)
            else:
                places = grid(opened.width, opened.height, patch_size=options.patch_size)
                candidates = _candidates(places, np.full(len(places), np.nan))
                lr = "bicubic" if options.lr == "bicubic" else "area"
                found = Scan(width=opened.width, height=opened.height, mpp=source.mpp, lr_source=lr)
    except UserError as error:
        return Scan(failed=str(error))
    found = msgspec.structs.replace(found, candidates=len(candidates))
    with io.BytesIO() as buffer:
        np.save(buffer, candidates)
        write_file(results.with_suffix(".npy"), buffer.getvalue())
    write_file(results.with_suffix(".json"), msgspec.json.encode(found))
    return found


def _candidates(places: Places, shares: NDArray[np.floating]) -> NDArray[np.void]:
    found = np.empty(len(places), [("x", "<i4"), ("y", "<i4"), ("tissue", "<f4")])
    found["x"], found["y"], found["tissue"] = places[:, 0], places[:, 1], shares
    return found


def read_candidates(results: Path) -> tuple[Places, NDArray[np.float32]]:
    """N×2 places and the N shares of tissue (NaN for tiles) that `scan` has filed."""
    found = np.load(results.with_suffix(".npy"), allow_pickle=False)
    return np.stack([found["x"], found["y"]], axis=-1), found["tissue"]


def _scan_slide(
    source: Source, slide: Slide, options: ScanOptions, mask: Path | None, results: Path
) -> tuple[Scan, NDArray[np.void]]:
    require_40x(slide)
    rgb, scale = slide.overview()
    if mask is None:
        found = tissue.find_tissue(
            rgb, scale=scale, preset=options.preset, marks=options.marks, fallback=options.fallback
        )
    else:
        found = tissue.tissue_from_regions(read_geojson(mask), rgb=rgb, scale=scale, marks=options.marks)
    if not found.mask.any():
        raise UserError(
            f"{source.path}: no tissue found "
            + (f"within {mask}" if mask else f"(preset {options.preset}): try --preset biopsy, or draw it (--mask)")
        )
    places = grid(slide.width, slide.height, patch_size=options.patch_size)
    square = {"scale": scale, "xs": places[:, 0], "ys": places[:, 1], "size": options.patch_size}
    shares = tissue.shares(found.mask, **square)
    clean = tissue.shares(found.marks.astype(np.uint8), **square) == 0
    kept = (shares >= options.min_tissue) & (shares > 0) & clean
    if not kept.any():
        raise UserError(
            f"{source.path}: no patch of {options.patch_size} px is {options.min_tissue:.0%} tissue and free of marks: "
            "lower --min-tissue, or draw the tissue (--mask)"
        )
    levels, lr_source, notes = _lr(slide, places[kept], options)
    if found.preset != options.preset and mask is None:
        notes.append(f"no tissue by preset {options.preset}: taken by {found.preset}")
    _write_pictures(rgb, found, results)
    millimetres = slide.mpp / 1000
    scanned = Scan(
        width=slide.width,
        height=slide.height,
        mpp=slide.mpp,
        mpp_source=slide.mpp_source,
        vendor=slide.vendor,
        preset=found.preset if mask is None else "mask",
        tissue_mm2=float(np.count_nonzero(found.mask) * scale[0] * scale[1] * millimetres**2),
        pen_share=float(found.pen_share),
        black_share=float(found.black_share),
        levels=levels,
        lr_source=lr_source,
        notes=notes,
    )
    return scanned, _candidates(places[kept], shares[kept])


def _lr(slide: Slide, places: Places, options: ScanOptions) -> tuple[dict[int, tuple[int, int]], str, list[str]]:
    """Where LR comes from: levels that are there, and whose pixels lie where they should."""
    if options.lr != "pyramid":
        return {}, options.lr, []
    plan = plan_levels(slide, options.scales)
    notes = []
    if any(plan.values()):
        plan, why = gated(plan, register(slide, places, size=options.patch_size, plan=plan))
        notes = [why] if why else []
    return {k: (at.level, at.rest) for k, at in plan.items() if at is not None}, describe(plan), notes


def level_sources(found: Scan) -> dict[int, LevelSource]:
    """The scales that are read from the slide's own levels."""
    return {k: LevelSource(level, rest) for k, (level, rest) in found.levels.items()}


def _write_pictures(rgb: NDArray[np.uint8], found: tissue.Tissue, results: Path) -> None:
    reduce = max(1, -(-max(rgb.shape) // _OVERVIEW))
    size = (max(1, rgb.shape[1] // reduce), max(1, rgb.shape[0] // reduce))
    small = cv2.resize(rgb, size, interpolation=cv2.INTER_AREA)
    for suffix, ending, image, quality in (
        ("_overview.jpg", ".jpg", small[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 90]),
        ("_mask.png", ".png", 255 * found.mask, [cv2.IMWRITE_PNG_BILEVEL, 1]),
    ):
        done, data = cv2.imencode(ending, image, quality)
        if not done:
            raise UserError(f"{results}{suffix} could not be encoded")
        write_file(results.with_name(results.name + suffix), data.tobytes())
    write_geojson(results.with_suffix(".geojson"), found.regions)
