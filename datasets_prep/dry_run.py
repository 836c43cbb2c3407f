"""What a build would do: slides, tissue, patches, size, time and failures, before a patch is written."""

import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from datasets_prep.common.atomic_folder import refuse_existing
from datasets_prep.common.errors import UserError, reason_of
from datasets_prep.common.executors import open_executor, run_all
from datasets_prep.common.processes.progress import progress_bar
from datasets_prep.dataset.layout import FILES
from datasets_prep.patches.extract import Shard, extract_shards
from datasets_prep.patches.options import Limits, QualityFilter, ScanOptions, SplitOptions
from datasets_prep.patches.scan_results import read_candidates
from datasets_prep.patches.scanning import asked_splits, divide_candidates, scan_sources
from datasets_prep.patches.selection import CandidateRange, requested
from datasets_prep.patches.source_state import SourceState
from datasets_prep.patches.sources import NOT_NAMED, Source
from datasets_prep.patches.splits import split_order
from datasets_prep.prepare import listed_sources
from datasets_prep.provenance import Inputs, drawn_files
from datasets_prep.signatures import PATCHES

_SAMPLED, _PATCHES = 4, 8  # number of slides, and of patches of each, that are read to estimate size and time


@dataclass(frozen=True)
class Sample:
    """What reading some patches has shown.

    Attributes:
        accepted: share of the patches that the quality filter accepts, 0 to 1.
        seconds: time of a patch that is read.
        bytes: size of an accepted patch with all its LR images.
    """

    accepted: float
    seconds: float
    bytes: float


@dataclass(frozen=True)
class DryRun:
    """What a build would do.

    Attributes:
        states: the scanned sources.
        unnamed: the sources that the manifest does not name.
        splits: index of a source -> its splits.
        expected: split -> number of patches.
        sample: what reading some patches has shown.
        problems: reasons why the build, or a source, would fail.
    """

    states: Sequence[SourceState]
    unnamed: Sequence[Source]
    splits: dict[int, list[str]]
    expected: dict[str, int]
    sample: Sample
    problems: list[str]

    def lines(self, *, workers: int, output: Path) -> list[str]:
        """The report, for people."""
        head = ("slide or tile", "patient", "µm/px", "tissue, mm²", "candidates", "split")
        rows = [head, *(self._row(index) for index in range(len(self.states)))]
        widths = [max(len(row[column]) for row in rows) for column in range(len(head))]
        table = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
        patches = sum(self.expected.values())
        seconds = patches / max(self.sample.accepted, 0.01) * self.sample.seconds / workers
        counts = ", ".join(f"{split} {count}" for split, count in self.expected.items())
        share = f"the quality filter accepted {self.sample.accepted:.0%} of a sample"
        lines = [*table, f"about {patches} patches: {counts or 'none'} ({share})"]
        size = patches * self.sample.bytes
        lines.append(f"about {_bytes(size)} in {output}, and as much again beside it until the build ends")
        lines.append(f"about {_time(seconds)} for the patches with {workers} worker{'s' if workers > 1 else ''}")
        if self.problems:
            lines += [f"{len(self.problems)} would fail:", *(f"  {' '.join(text.split())}" for text in self.problems)]
        return [*lines, "nothing was written (--dry-run)"]

    def _row(self, index: int) -> tuple[str, ...]:
        state = self.states[index]
        scan = state.scan
        tissue = "" if scan.tissue_mm2 is None else f"{scan.tissue_mm2:.2f}"
        mpp = "" if scan.mpp is None else f"{scan.mpp:.4g}"
        split = "fails" if scan.failed else ", ".join(sorted(self.splits.get(index, ()), key=split_order))
        return state.source.name, state.source.patient, mpp, tissue, str(scan.candidates), split


def dry_run(
    inputs: Inputs,
    output: Path,
    *,
    options: ScanOptions,
    quality: QualityFilter,
    limits: Limits,
    splits: SplitOptions,
    workers: int,
    scheduler: str | None,
    overwrite: bool,
    progress: bool = True,
    say: Callable[[str], None] = lambda line: None,
) -> DryRun:
    """Scan all sources and read a sample of patches; arguments as for `prepare`. Nothing is left on the disk.

    Raises:
        UserError: the request is impossible, no source can be used, or the disk of the output is full.
    """
    refuse_existing(output, overwrite=overwrite, signature=PATCHES, files=FILES)
    listed = listed_sources(inputs, options, splits, say=say)
    bar = partial(progress_bar, shown=progress)
    beside = next(folder for folder in output.absolute().parents if folder.is_dir())  # a cluster sees this folder too
    with (
        _scratch_folder(beside) as scratch,
        open_executor(workers=workers, scheduler=scheduler) as (executor, at_once),
    ):
        run = partial(run_all, executor, at_once=at_once)
        states = scan_sources(listed.used, drawn_files(inputs, listed), scratch, options, run, bar)
        sample = _sample(states, options, quality, scratch)
    problems = [state.scan.failed for state in states if state.scan.failed]
    ranges: list[CandidateRange] = []
    try:
        ranges = divide_candidates(states, limits, splits)
    except UserError as error:
        problems.append(str(error))
    asked = asked_splits(listed.used, splits)
    expected = _expected(states, ranges, {split: limits.of(split) for split in asked}, limits, splits.seed, sample)
    problems += [f"{split} would be empty" for split, count in expected.items() if not count]
    free, needed = shutil.disk_usage(beside).free, 2 * sample.bytes * sum(expected.values())
    if needed > free:
        problems.append(f"{beside} has {_bytes(free)} free, {_bytes(needed)} are needed: free space")
    of_sources: dict[int, list[str]] = {}
    for candidates in ranges:
        of_sources.setdefault(candidates.source, []).append(candidates.split)
    unnamed = [source for source in listed.omitted if source.omitted == NOT_NAMED]
    return DryRun(states, unnamed, of_sources, expected, sample, problems)


@contextmanager
def _scratch_folder(beside: Path) -> Iterator[Path]:
    """A folder for the scans and the sample, removed at the end. Raises `UserError` where it cannot be written."""
    try:
        with tempfile.TemporaryDirectory(prefix=".dry-run.", dir=beside) as folder:
            yield Path(folder)
    except OSError as error:
        if error.filename is not None and not Path(error.filename).is_relative_to(beside):
            raise
        reason = reason_of(error)
        raise UserError(f"cannot write in {beside}: {reason}; free space or name another folder with -o") from error


def _sample(states: Sequence[SourceState], options: ScanOptions, quality: QualityFilter, scratch: Path) -> Sample:
    """Read a few patches of a few sources. A source that cannot be read is marked as failed."""
    examined = accepted = size = 0
    start = time.monotonic()
    usable = [state for state in states if not state.scan.failed]
    for number, state in enumerate(usable[:: -(-len(usable) // _SAMPLED) or 1]):
        coordinates, shares = read_candidates(state.results)
        chosen = np.unique(np.linspace(0, len(coordinates) - 1, min(_PATCHES, len(coordinates))).astype(int))
        results = scratch / f"sample-{number}"
        wanted = Shard(coordinates[chosen], shares[chosen], results)
        (shard,) = extract_shards(state.source, state.scan, [wanted], options, quality)
        if shard.failed:
            state.fail(shard.failed)
            continue
        examined, accepted = examined + shard.examined, accepted + shard.accepted
        size += results.with_suffix(".patches").stat().st_size
    if not examined:
        return Sample(0.0, 0.0, 0.0)
    return Sample(accepted / examined, (time.monotonic() - start) / examined, size / max(accepted, 1))


def _expected(
    states: Sequence[SourceState],
    ranges: Sequence[CandidateRange],
    asked: Mapping[str, int],
    limits: Limits,
    seed: int,
    sample: Sample,
) -> dict[str, int]:
    """Split -> number of patches: as many as are asked for, or as the quality filter leaves of the candidates."""
    counts = requested(
        ranges,
        asked,
        seed=seed,
        per_source=limits.per_slide,
        patients=[states[candidates.source].source.patient for candidates in ranges],
        per_patient=limits.per_patient,
    )
    expected = dict.fromkeys(asked, 0)
    for index, count in counts.items():
        candidates = ranges[index]
        expected[candidates.split] += min(count, round(sample.accepted * (candidates.stop - candidates.start)))
    return expected


def _bytes(size: float) -> str:
    for unit in ("B", "kB", "MB", "GB"):
        if size < 1000:
            return f"{size:.3g} {unit}"
        size /= 1000
    return f"{size:.3g} TB"


def _time(seconds: float) -> str:
    for unit, length in (("s", 60.0), ("min", 60.0)):
        if seconds < length:
            return f"{max(seconds, 1):.0f} {unit}"
        seconds /= length
    return f"{seconds:.1f} h"
