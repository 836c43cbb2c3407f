"""One slide: from its level through the network and the tile store to a pyramidal TIFF."""

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from datasets_prep.common.errors import UserError, reason_of
from datasets_prep.common.files import make_folder, refuse_foreign
from datasets_prep.common.processes.progress import progress_bar
from datasets_prep.slides.open import open_for_reading
from datasets_prep.slides.protocol import SlideReader
from mihatp_arch.inference.blend import Block
from mihatp_arch.inference.network import Network
from mihatp_arch.inference.pyramid import TileStore, refuse_name, store_path, write_tiff
from mihatp_arch.inference.slides import seams
from mihatp_arch.inference.slides.disk import check_disk
from mihatp_arch.inference.slides.job import SlideJob, description, prepare_job
from mihatp_arch.inference.slides.maps import block_maps, refuse_foreign_maps, write_maps
from mihatp_arch.inference.slides.options import SlideOptions, TileOptions
from mihatp_arch.inference.slides.plan import Plan
from mihatp_arch.inference.slides.task import Workers
from mihatp_arch.inference.tiled_network import Sums, as_codes, batch_for
from mihatp_arch.inference.write_images import MARK


@dataclass(frozen=True)
class SlideResult:
    """What was done to a slide.

    Attributes:
        output: the TIFF.
        maps: files of the trust maps.
        plan: level, scale and resolution.
        computed, tiles: number of tiles that the network computed, and of all tiles.
        sha256: of the weights.
        seconds: of this run; less than the whole when it resumed.
        notes: lines that the user should read.
    """

    output: Path
    maps: tuple[Path, ...]
    plan: Plan
    computed: int
    tiles: int
    sha256: str
    seconds: float
    notes: tuple[str, ...]


def upscale_slide(
    network: Network,
    path: Path,
    output: Path,
    *,
    options: SlideOptions,
    tiles: TileOptions,
    workers: Workers | None = None,
    say: Callable[[str], None] | None = print,
    progress: bool = True,
) -> SlideResult:
    """Super-resolve a slide into a pyramidal TIFF. A killed run resumes where it stopped, and gives the same bytes.

    Args:
        network: the network.
        path: the slide.
        output: the new TIFF.
        options: how the slide is read and written.
        tiles: how the network is applied.
        workers: processes that compute the blocks; None: this process does.
        say: shows a line to the user; None: no line is shown.
        progress: whether to show a progress bar on a terminal.

    Raises:
        UserError: the slide or the output cannot be used. `output` is as it was; finished blocks are in the store.
    """
    start = time.monotonic()
    _refuse_output(path, output, options)
    with open_for_reading(path, assume_mpp=options.stated_mpp) as slide:
        job = prepare_job(network, slide, options, _with_batch(tiles, network, output))
        for note in job.notes if say else ():
            say(f"{path.name}: {note}")
        if options.maps:
            refuse_foreign_maps(output, job)
        with _open_store(output, job, options) as store:
            _refuse_existing(output, options, finished=store.is_complete())
            _fill(store, network, slide, job, workers=workers, progress=progress, with_maps=options.maps)
            maps = write_maps(store, output, job) if options.maps else []
            write_tiff(
                store,
                output,
                mpp=job.plan.output_mpp,
                flavour=options.flavour,
                icc=slide.facts.icc,
                description=description(network, slide, job),
                overwrite=output.exists(),  # it was refused above where it may not be replaced
            )
            store.remove()
    return SlideResult(
        output=output,
        maps=tuple(maps),
        plan=job.plan,
        computed=int(job.tissue.computed.sum()),
        tiles=job.tissue.computed.size,
        sha256=network.info.sha256,
        seconds=time.monotonic() - start,
        notes=job.notes,
    )


def _refuse_output(path: Path, output: Path, options: SlideOptions) -> None:
    """Raise `UserError` where the slide in `path` cannot be written to `output`."""
    refuse_name(output, None if options.flavour == "generic" else options.flavour)
    if output.exists() and path.exists() and output.samefile(path):
        raise UserError(f"the output {output} is the slide itself: name another file")
    _refuse_existing(output, options, finished=store_path(output).exists())


def _refuse_existing(output: Path, options: SlideOptions, *, finished: bool) -> None:
    """Raise `UserError` where the output exists, unless its finished store says that a kill came just after it.

    A file that this program did not write is refused in any case.
    """
    if output.exists() and not options.overwrite and not finished:
        raise UserError(f"{output} exists: delete it, name another file, or give --overwrite")
    refuse_foreign(output, MARK)


def _with_batch(tiles: TileOptions, network: Network, output: Path) -> TileOptions:
    """`tiles` with a batch: on a GPU the bits depend on it, so that of an interrupted run stays."""
    if tiles.batch is not None:
        return tiles
    before = None if network.device.type == "cpu" else TileStore.stored_option(store_path(output), "batch")
    return replace(tiles, batch=before or batch_for(network, network.info.side(tiles.tile)))


def _open_store(output: Path, job: SlideJob, options: SlideOptions) -> TileStore:
    try:
        make_folder(output.parent)
    except OSError as error:
        raise UserError(f"cannot make {output.parent}: {reason_of(error)}") from error
    path = store_path(output)
    stored = path.stat().st_size if path.exists() else 0
    share = float(job.tissue.computed.mean())
    check_disk(output.parent, job.layout, computed=share, compression=options.compression, stored=stored)
    return TileStore.open(path, job.layout, compression=options.compression, config=job.config)


def _fill(
    store: TileStore,
    network: Network,
    slide: SlideReader,
    job: SlideJob,
    *,
    workers: Workers | None,
    progress: bool,
    with_maps: bool,
) -> None:
    """Compute the blocks that the store lacks."""
    tiled, image = job.task.tiled(network), job.task.image(slide)
    rows, columns = job.layout.blocks
    blocks = [Block(row, column) for row in range(rows) for column in range(columns)]
    finished = {Block(*block) for block in store.finished()}
    todo = [block for block in blocks if block not in finished]
    with progress_bar(
        total=int(job.tissue.computed.sum()),
        initial=sum(job.computed_in(block) for block in finished),
        desc=slide.path.name,
        unit="tile",
        shown=progress,
    ) as bar:
        results = workers.sums(job.task, todo) if workers else None

        def sums_of(block: Block) -> Sums:
            if results is None:
                return tiled.sums(image, block, on_tiles=bar.update)
            sums = next(results)
            bar.update(job.computed_in(block))
            return sums

        computed = tiled.blocks(
            image,
            skip=finished,
            stored_seams=lambda block: seams.decoded(store.seams(*block)),
            sums_of=sums_of,
        )
        for block, own_seams in computed:
            maps = block_maps(block, tiled.scale) if with_maps else {}
            store.commit(*block.block, as_codes(block.sr), seams=seams.encoded(own_seams), maps=maps)
