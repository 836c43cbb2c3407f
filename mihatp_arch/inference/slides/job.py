"""Everything that is settled about a slide before its first block is computed."""

import hashlib
from dataclasses import asdict, dataclass
from typing import Any

from datasets_prep.common.errors import UserError
from datasets_prep.common.version import __version__
from datasets_prep.slides.protocol import SlideReader
from datasets_prep.slides.skipping import SkippingSlide
from mihatp_arch.archs.fast.fast_setting import fast_setting
from mihatp_arch.inference.blend import Block
from mihatp_arch.inference.network import Network
from mihatp_arch.inference.pyramid import Layout
from mihatp_arch.inference.slides.jpeg_quality import jpeg_quality
from mihatp_arch.inference.slides.options import SlideOptions, TileOptions
from mihatp_arch.inference.slides.pixels import damaged_cells, describe, jpeg_flaws
from mihatp_arch.inference.slides.plan import MPP, Plan, plan_slide, slide_tiling
from mihatp_arch.inference.slides.task import SlideTask
from mihatp_arch.inference.slides.tissue import Frame, SlideTissue, slide_tissue
from mihatp_arch.inference.slides.warnings import warnings

_LOWEST_QUALITY = 70  # of JPEG in the training of the bundled weights (`train.lq_augment`)


@dataclass(frozen=True)
class SlideJob:
    """What is computed of a slide, and how.

    Attributes:
        plan: level, scale and resolution.
        task: what the processes that compute it need.
        tissue: its tissue.
        layout: sizes of the output.
        config: everything that the pixels depend on, as JSON.
        notes: lines that the user should read.
    """

    plan: Plan
    task: SlideTask
    tissue: SlideTissue
    layout: Layout
    config: dict[str, Any]
    notes: tuple[str, ...]

    def computed_in(self, block: Block) -> int:
        """Number of tiles of a block that the network computes."""
        tiles = self.task.tiling.tiles
        row, column = block.row * tiles, block.column * tiles
        return int(self.tissue.computed[row : row + tiles, column : column + tiles].sum())


def prepare_job(network: Network, slide: SlideReader, options: SlideOptions, tiles: TileOptions) -> SlideJob:
    """Choose the level, decode it once, and find its tissue.

    Raises:
        UserError: no level fits, or the slide is damaged and damage is not to be skipped.
    """
    info = network.info
    plan = plan_slide(
        slide,
        scales=(info.scale,),
        to_mpp=options.to_mpp or info.mpp or MPP,
        force=options.force,
        resolution=options.resolution_of(slide),
    )
    damaged = _damage(slide, plan, skip=options.skip_damaged)
    tiling = slide_tiling(info.scale, tile=info.side(tiles.tile), multiple=info.multiple, block=tiles.block)
    readable = SkippingSlide(slide) if damaged else slide
    frame = Frame(plan.mpp / plan.downsample, slide.facts.origin)
    tissue = slide_tissue(readable, plan, tiling, outlines=options.outlines, frame=frame, whole=options.whole)
    task = SlideTask(
        path=slide.path,
        assume_mpp=options.stated_mpp,
        level=plan.level,
        skip_damaged=bool(damaged),
        white=options.glass == "white",
        computed=tissue.computed.tobytes(),
        columns=tissue.computed.shape[1],
        tiling=tiling,
        batch=tiles.batch or 1,
        ensemble=tiles.ensemble,
        consistent=tiles.consistent,
    )
    layout = Layout(plan.width * info.scale, plan.height * info.scale, block_size=tiling.block * info.scale)
    unlike = warnings(readable, plan, tiling, tissue, trained_mpp=info.mpp)
    said = (*filter(None, (plan.mpp_note,)), *plan.notes, *damaged, *tissue.notes)
    notes = (*said, *_no_tissue(tissue, whole=options.whole), *_compressed(slide, plan), *unlike)
    return SlideJob(plan, task, tissue, layout, _config(network, slide, options, task), notes)


def _damage(slide: SlideReader, plan: Plan, *, skip: bool) -> tuple[str, ...]:
    """A note of what cannot be decoded, if anything. Raises `UserError` where that is not to be skipped."""
    cells = list(damaged_cells(slide, plan.level))
    if cells and not skip:
        raise UserError(
            f"{slide.path} cannot be decoded in {describe(cells)} of level {plan.level}: fetch it again, or give "
            "--skip-damaged to have white there"
        )
    flaws = jpeg_flaws(slide, plan.level, besides=cells)
    if flaws and not skip:
        raise UserError(f"{slide.path}: {flaws}: fetch it again, or give --skip-damaged to compute them as they are")
    white = (f"damaged, white in the output: {describe(cells)} of level {plan.level}",) if cells else ()
    return (*white, *filter(None, [flaws]))


def _no_tissue(tissue: SlideTissue, *, whole: bool) -> tuple[str, ...]:
    if tissue.tiles.any() or whole:
        return ()
    return ("no tissue was found, so nothing is computed: give its outlines with --tissue, or --whole",)


def _compressed(slide: SlideReader, plan: Plan) -> tuple[str, ...]:
    quality = jpeg_quality(slide.path, width=plan.width, height=plan.height)
    if quality is None or quality >= _LOWEST_QUALITY:
        return ()
    return (
        f"level {plan.level} is JPEG of quality {quality}: the bundled weights have seen {_LOWEST_QUALITY} and more; "
        "the edges of its blocks may become visible",
    )


def _config(network: Network, slide: SlideReader, options: SlideOptions, task: SlideTask) -> dict[str, Any]:
    status = slide.path.stat()
    return {
        "version": __version__,
        "weights": network.info.sha256,
        "scale": network.info.scale,
        "network": type(network).__name__,
        "device": network.device.type,
        "precision": getattr(network, "precision", "fp32"),
        "fast": fast_setting().text,
        "slide": [slide.path.name, status.st_size, status.st_mtime_ns],
        "level": task.level,
        "tiles": asdict(task.tiling),
        "batch": None if network.device.type == "cpu" else task.batch,  # on a CPU it changes no bit
        "ensemble": task.ensemble,
        "consistent": task.consistent,
        "glass": options.glass,
        "skip damaged": task.skip_damaged,
        "maps": options.maps,
        "tissue (hash of its tiles)": hashlib.sha256(task.computed).hexdigest()[:8],
    }


def description(network: Network, slide: SlideReader, job: SlideJob) -> str:
    """The text in the output: an image that nobody scanned must say so."""
    info, plan = network.info, job.plan
    lines = [
        f"Computed by super-resolution, not scanned; not for diagnosis. MiHATP {__version__}",
        f"weights {info.name}, sha256 {info.sha256}",
        ", ".join([f"scale {plan.scale}", *(name for name in ("ensemble", "consistent") if getattr(job.task, name))]),
        f"source {slide.path.name}, level {plan.level}, {plan.mpp:.6g} µm/px ({plan.mpp_source})",
        f"output {plan.output_mpp:.6g} µm/px",
        f"computed {job.tissue.computed.mean():.1%} of the tiles, the others are "
        + ("white" if job.task.white else "interpolated"),
        *job.notes,
    ]
    return "\n".join(lines)
