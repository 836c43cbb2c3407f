"""Scan all sources of a build, and divide their candidates over the splits."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from datasets_prep.common.errors import UserError, reason_of
from datasets_prep.common.work_folder import VERSION, digest, fingerprint, read_result
from datasets_prep.patches.options import Limits, ScanOptions, SplitOptions
from datasets_prep.patches.scan import scan
from datasets_prep.patches.scan_results import Scan
from datasets_prep.patches.selection import CandidateRange, ranges_by_patch, ranges_by_patient
from datasets_prep.patches.source_state import SourceState
from datasets_prep.patches.sources import Source, split_sources
from datasets_prep.patches.splits import split_names, split_order
from datasets_prep.source_table.slide_files import slide_files


@dataclass(frozen=True)
class Drawn:
    """What a user has drawn or computed elsewhere: files of single slides, or folders with one for each slide.

    Attributes:
        mask: GeoJSON with the corrected tissue, `<slide>.geojson`, for some of the slides.
        coords: HDF5 with the coordinates of CLAM or TRIDENT, `<slide>.h5`, for all slides.
        omitted: name -> key of each slide that is left out; its files are passed over.
    """

    mask: Path | None = None
    coords: Path | None = None
    omitted: Mapping[str, str] = field(default_factory=dict)


def scan_sources(
    sources: Sequence[Source],
    drawn: Drawn,
    scratch: Path,
    options: ScanOptions,
    run: Callable[..., Iterator[tuple[SourceState, Scan]]],
    bar: Callable[..., Any],
) -> list[SourceState]:
    """Scan every source; scans that a killed build has finished are read from the work folder.

    Args:
        sources: slides and image tiles.
        drawn: outlines and coordinates of the user.
        scratch: the work folder.
        options: which patches are candidates.
        run: runs the jobs (`executors.run_all`).
        bar: makes a progress bar (`progress_bar`).

    Raises:
        UserError: `drawn` names no usable file, or no source can be used.
    """
    states = _states(sources, drawn)
    with bar(total=len(states), desc="scanning", unit="slide") as progress:
        for state, scanned in run(scan, _jobs(states, scratch, options, progress)):
            state.scan = scanned
            progress.update()
    if all(state.scan.failed for state in states):
        others = f" (and {len(states) - 1} more cannot be used)" if len(states) > 1 else ""
        raise UserError(f"{states[0].scan.failed}{others}")
    return states


def _jobs(
    states: Sequence[SourceState], scratch: Path, options: ScanOptions, progress: Any
) -> Iterator[tuple[SourceState, tuple[Any, ...]]]:
    """The scan jobs of the sources whose scan is not in the work folder."""
    for state in states:
        if state.scan.failed:
            progress.update()
            continue
        try:
            files = (state.source.path, state.mask, state.coords)
            depends_on = [fingerprint(path) for path in files if path is not None]
        except OSError as error:
            state.scan = Scan(failed=f"{state.source.path} cannot be read: {reason_of(error)}")
            progress.update()
            continue
        state.results = scratch / f"scan-{digest(VERSION, depends_on, state.source.kind, state.source.mpp, options)}"
        scanned = read_result(state.results.with_suffix(".json"), Scan)
        if scanned is not None:
            state.scan = scanned
            progress.update()
        else:
            yield state, (state.source, options, state.mask, state.results, state.coords)


def _states(sources: Sequence[Source], drawn: Drawn) -> list[SourceState]:
    """The states of the sources before their scans. A slide without coordinates has failed where others have some."""
    slides = {source.name: source.key for source in sources if source.kind == "slide"}
    tiles = {source.name: source.key for source in sources if source.kind == "tile"}
    find = partial(slide_files, whole=tiles, omitted=drawn.omitted)
    masks = {} if drawn.mask is None else find(drawn.mask, slides, ending=".geojson", option="--mask")
    coords = {} if drawn.coords is None else find(drawn.coords, slides, ending=".h5", option="--coords")
    states = [SourceState(source, masks.get(source.name), coords.get(source.name)) for source in sources]
    for state in states:
        if drawn.coords is not None and state.source.kind == "slide" and state.coords is None:
            state.fail(f"{state.source.path}: {drawn.coords} has no coordinates of it (<slide>.h5): add them")
    return states


def asked_splits(sources: Sequence[Source], splits: SplitOptions) -> list[str]:
    """The splits that were asked for, also when none of their sources can be used: train, val, test1, …"""
    if splits.by == "patch":
        return split_names(splits.tests)
    return sorted(set(split_sources(sources, tests=splits.tests, seed=splits.seed).values()), key=split_order)


def divide_candidates(states: Sequence[SourceState], limits: Limits, splits: SplitOptions) -> list[CandidateRange]:
    """The candidates of each usable source, split by split. Raises `UserError` when there are too few patients."""
    counts = {index: state.scan.candidates for index, state in enumerate(states) if not state.scan.failed}
    if splits.by == "patch":
        return ranges_by_patch(counts, {split: limits.of(split) for split in split_names(splits.tests)})
    usable = [states[index].source for index in counts]
    try:
        split_of = split_sources(usable, tests=splits.tests, seed=splits.seed)
    except UserError as error:
        failed = [state.scan.failed for state in states if state.scan.failed]
        more = f" ({len(failed)} of {len(states)} cannot be used, the first: {failed[0]})" if failed else ""
        raise UserError(f"{error}{more}") from error
    return ranges_by_patient(counts, {index: split_of[states[index].source.patient] for index in counts})
