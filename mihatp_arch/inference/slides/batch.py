"""Many slides, one after another or on a Dask cluster; the failure of one does not stop the others."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path

from datasets_prep.common.errors import UserError, failure_of, reason_of
from datasets_prep.common.executors import open_executor, run_all
from datasets_prep.common.files import make_folder, refuse_foreign
from datasets_prep.common.work_folder import digest, fingerprint
from datasets_prep.slides.open import open_slide
from mihatp_arch.archs.fast.threads import number_of_threads
from mihatp_arch.checkpoints import newest_network
from mihatp_arch.inference.load import bundled_scales
from mihatp_arch.inference.slides.maps import map_files
from mihatp_arch.inference.slides.options import SlideOptions, TileOptions
from mihatp_arch.inference.slides.plan import plan_slide, slide_tiling
from mihatp_arch.inference.slides.record import (
    DONE,
    EXISTED,
    FAILED,
    MARK,
    NAME,
    Record,
    read_records,
    record_of,
    write_records,
)
from mihatp_arch.inference.slides.task import NetworkSource, Workers, loaded
from mihatp_arch.inference.slides.upscale_slide import upscale_slide
from mihatp_arch.inference.write_images import MARK as IMAGE_MARK


@dataclass(frozen=True)
class Batch:
    """How the slides of one command are upscaled.

    Attributes:
        network: where the network comes from; its scale may be open when it names no weights.
        options: how slides are read and written.
        tiles: how the network is applied.
        workers: processes on this machine; None: this process computes alone, on a CPU with a thread for each core.
        scheduler: address of a Dask scheduler, used instead of local processes.
        resume: leave outputs that exist.
    """

    network: NetworkSource
    options: SlideOptions
    tiles: TileOptions
    workers: int | None = None
    scheduler: str | None = None
    resume: bool = False

    @cached_property
    def digest(self) -> str:
        """Hash of everything that the outputs depend on. Raises `UserError` where the outlines cannot be read."""
        options, outlines = replace(self.options, overwrite=False, tissue=None), None
        if self.options.outlines is not None:
            try:
                outlines = self.options.outlines.read_text(encoding="utf-8", errors="replace")
            except OSError as error:
                raise UserError(f"--tissue {self.options.tissue} cannot be read: {reason_of(error)}") from error
        return digest(self.network, self._weights(), options, outlines, self.tiles)

    def digest_for(self, slide: Path) -> str:
        """Hash of everything that the output of a slide depends on."""
        return digest(self.digest, fingerprint(slide) if slide.exists() else None)

    def maps_of(self, output: Path) -> list[Path]:
        """The files that are written beside an output."""
        return map_files(output, ensemble=self.tiles.ensemble) if self.options.maps else []

    def _weights(self) -> object:
        """Size and time of the file of weights, in the folder of an experiment the newest; None for bundled ones."""
        if self.network.source is None:
            return None
        path = Path(self.network.source).expanduser()
        weights = newest_network(path / "models") if path.is_dir() else path
        return fingerprint(weights) if weights is not None and weights.is_file() else None

    def network_for(self, slide: Path) -> NetworkSource:
        """The network for a slide: the given one, or the one whose scale leads to the wanted resolution."""
        if self.network.source is not None or self.network.scale is not None:
            return self.network
        options = self.options
        with open_slide(slide, assume_mpp=options.stated_mpp) as opened:
            plan = plan_slide(
                opened,
                scales=bundled_scales(),
                to_mpp=options.to_mpp,
                force=options.force,
                resolution=options.resolution_of(opened),
            )
        return replace(self.network, scale=plan.scale)

    def check_network(self) -> None:
        """Raise `UserError` before any slide is opened: for weights, a device or tiles that cannot be used.

        On a cluster they are those of its machines, and are checked there.
        """
        if self.scheduler is not None:
            return
        is_open = self.network.source is None and self.network.scale is None
        info = loaded(replace(self.network, scale=bundled_scales()[0]) if is_open else self.network).info
        slide_tiling(info.scale, tile=info.side(self.tiles.tile), multiple=info.multiple)


def upscale_slides(
    slides: Mapping[Path, Path], batch: Batch, *, folder: Path | None, say: Callable[[str], None]
) -> list[Record]:
    """Upscale slides, and write `upscale.csv` after each of them.

    Args:
        slides: slide -> output.
        batch: how.
        folder: where the CSV is written; None: nowhere.
        say: shows a line to the user.

    Raises:
        UserError: the network cannot be loaded, there is no such cluster, or the CSV cannot be written, or is a file of
            someone else.
    """
    _ = batch.digest  # before the work: outlines that cannot be read show at once
    if folder is not None:
        refuse_foreign(folder / NAME, MARK)
    earlier = read_records(folder / NAME) if folder else {}
    records: dict[Path, Record] = {}
    todo: list[tuple[Path, Path]] = []
    for slide, output in slides.items():
        before = earlier.get(str(output))
        if batch.options.overwrite:
            todo.append((slide, output))
        elif output.exists() and before and before.status != FAILED and before.options == batch.digest_for(slide):
            records[slide] = replace(before, status=EXISTED)
        elif output.exists() and batch.resume:
            records[slide] = Record(str(slide), str(output), EXISTED)
        else:
            todo.append((slide, output))
        if slide in records:
            _say_missing(slide, batch.maps_of(output), say)
    for _, output in todo:
        if batch.options.overwrite or not output.exists():
            refuse_foreign(output, IMAGE_MARK)  # before the work; also a link that leads nowhere
    for record in _run(todo, batch, say):
        records[Path(record.slide)] = record
        if record.status == FAILED and folder is not None:  # the caller shows that of a single slide
            say(f"failed: {record.error}")
        _write(folder, earlier, records)
    _write(folder, earlier, records)
    return [records[slide] for slide in slides]


def _say_missing(slide: Path, maps: Sequence[Path], say: Callable[[str], None]) -> None:
    """Say which maps of an output that exists are missing."""
    missing = [file.name for file in maps if not file.exists()]
    if missing:
        are = "is" if len(missing) == 1 else "are"
        say(f"{slide.name}: its output exists, but {', '.join(missing)} {are} missing: --overwrite computes it again")


def _write(folder: Path | None, earlier: Mapping[str, Record], records: Mapping[Path, Record]) -> None:
    """Write the CSV. An output that this run did not write stays described by the run that wrote it."""
    if folder is None:
        return
    rows = dict(earlier)
    for record in records.values():
        if record.status == DONE or record.output not in earlier or not Path(record.output).exists():
            rows[record.output] = record
    make_folder(folder)
    write_records(folder / NAME, [rows[output] for output in sorted(rows)])


def _run(todo: list[tuple[Path, Path]], batch: Batch, say: Callable[[str], None]) -> Iterator[Record]:
    """Yields the record of each slide when it is done."""
    if not todo:
        return
    if batch.scheduler is not None:
        with open_executor(workers=1, scheduler=batch.scheduler) as (executor, at_once):
            jobs = ((slide, (batch, slide, output)) for slide, output in todo)
            yield from (record for _, record in run_all(executor, _in_task, jobs, at_once=at_once))
        return
    batch.check_network()
    if batch.workers is None:  # this process, with a thread for each core
        yield from (_record(batch, slide, output, None, say) for slide, output in todo)
        return
    with number_of_threads(1), open_executor(workers=batch.workers, scheduler=None) as (executor, _):
        workers = partial(Workers, executor, batch.workers) if batch.workers > 1 else None
        yield from (_record(batch, slide, output, workers, say) for slide, output in todo)


def _in_task(batch: Batch, slide: Path, output: Path) -> Record:
    """Upscale one slide in a task of a cluster."""
    with number_of_threads(1):
        return _record(batch, slide, output, None, None)


def _record(
    batch: Batch,
    slide: Path,
    output: Path,
    workers: Callable[[NetworkSource], Workers] | None,
    say: Callable[[str], None] | None,
) -> Record:
    """Upscale one slide; without `say` silently. A failure becomes a record."""
    try:
        source = batch.network_for(slide)
        network = loaded(source)
        result = upscale_slide(
            network,
            slide,
            output,
            options=batch.options,
            tiles=batch.tiles,
            workers=workers(source) if workers else None,
            say=say,
            progress=say is not None,
        )
    except BrokenProcessPool:
        raise
    except (UserError, OSError, RuntimeError, MemoryError) as error:
        line = failure_of(slide, error)
        return Record(str(slide), str(output), FAILED, options=batch.digest_for(slide), error=line)
    return record_of(slide, result, options=batch.digest_for(slide))
