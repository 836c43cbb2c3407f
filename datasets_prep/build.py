"""The whole way from slides and image tiles to BasicSR LMDBs: one function, and `python -m datasets_prep.build`.

Slides are scanned for tissue, patients are split, patches are drawn, cut, and written by one writer. All but writing
is done by as many workers as there are and kept in a folder of its own, so that a killed build goes on where it was
and gives the same bytes.
"""

import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Literal

from tqdm import tqdm

from datasets_prep.common.atomic_folder import atomic_folder, refuse_existing
from datasets_prep.common.errors import UserError
from datasets_prep.common.executors import open_executor, run_all
from datasets_prep.common.work_folder import VERSION, digest, fingerprint, read_result, work_folder
from datasets_prep.dataset.card import write_card
from datasets_prep.dataset.layout import MARKS, write_dataset
from datasets_prep.patches.extraction_rounds import Limits, Rounds
from datasets_prep.patches.grid import check_sizes
from datasets_prep.patches.quality import Quality
from datasets_prep.patches.scan import Scan, ScanOptions, scan
from datasets_prep.patches.selection import Part, parts_by_patch, parts_by_patient
from datasets_prep.patches.slide_summary import SourceState, write_summary
from datasets_prep.patches.sources import Source, list_sources, split_sources
from datasets_prep.patches.splits import split_names


@dataclass(frozen=True)
class Built:
    """What a build wrote and what it left out."""

    counts: dict[str, int]  # split -> patches
    patients: dict[str, int]  # split -> patients
    sources: list[SourceState]
    duplicates: int  # patches left out because their split has the same pixels already

    @property
    def failed(self) -> list[str]:
        """Why sources were left out, a line each."""
        return [state.found.failed for state in self.sources if state.found.failed]

    def rejected(self) -> Counter[str]:
        """Patches that were looked at and not taken, by what was wrong with them."""
        return sum((state.rejected for state in self.sources), Counter())


def prepare(
    slides: Sequence[Path],
    output: Path,
    *,
    tiles: Path | None = None,
    manifest: Path | None = None,
    mask: Path | None = None,
    options: ScanOptions | None = None,
    quality: Quality | None = None,
    limits: Limits | None = None,
    split_by: Literal["patient", "patch"] = "patient",
    tests: int = 5,
    seed: int = 0,
    workers: int = 1,
    scheduler: str | None = None,
    about: str | None = None,
    overwrite: bool = False,
    progress: bool = True,
) -> Built:
    """Build `<output>/<split>/{HR,LR_x2,LR_x4,LR_x8}.lmdb`, `manifest.csv`, `slides.csv`, `build.json` and the card.

    HR patches lie on one grid anchored at (0, 0) of level 0. Splits are by patient: by `manifest` (sources.py), else by
    the seed over TCGA barcodes. At most 2000 / 100 / 5 × 100 patches (paper, section 3.1), drawn in turns over the
    slides. The same files, options and seed give the same bytes, whoever does the work; a build that was killed goes on
    from `.<name>.work` beside `output`. The data set appears whole or not at all.

    Args:
        slides: files that OpenSlide opens, and folders of them.
        output: the new data set.
        tiles: folder of 40x image tiles, used whole.
        manifest: CSV of patients, splits and mpp.
        mask: GeoJSON of the tissue of the one slide, or a folder with `<name of the slide>.geojson` for some.
        options: which patches a slide offers.
        quality: which of them are taken.
        limits: how many.
        split_by: `patch` shares every slide out over the splits in bands, where there are too few patients.
        tests: test sets.
        seed: of splits and draws.
        workers: local processes.
        scheduler: of a Dask cluster that sees the same files, instead.
        about: what the data are, in words, for the file `about.md`.
        overwrite: whether a data set of ours may be replaced.
        progress: whether bars are shown (on a terminal).

    Raises:
        UserError: the request cannot be met, no slide can be used, or `output` cannot be written. Slides that cannot be
            used beside others that can are listed in the result.
    """
    options, quality, limits = options or ScanOptions(), quality or Quality(), limits or Limits()
    check_sizes(patch_size=options.patch_size, scales=options.scales)
    if tests < 1:
        raise UserError(f"{tests} test sets: at least 1 is needed")
    refuse_existing(output, overwrite=overwrite, marks=MARKS)
    by_patient = split_by == "patient"
    sources = list_sources(slides, tiles=tiles, manifest=manifest, by_patient=by_patient)
    given = [*(source.path for source in sources), *slides, *filter(None, (tiles, manifest, mask))]
    _refuse_to_lose(given, output)
    if by_patient:
        split_sources(sources, tests=tests, seed=seed)  # too few patients are too few before hours of scanning, too
    bar = partial(tqdm, disable=None if progress else True, dynamic_ncols=True)
    with (
        work_folder(output) as work,
        open_executor(workers=workers, scheduler=scheduler) as (executor, at_once),
    ):
        run = partial(run_all, executor, at_once=at_once)
        states = [SourceState(source, _mask_of(source, mask, alone=len(sources) == 1)) for source in sources]
        _scan_all(states, work, options, run, bar)
        parts = _split(states, limits, by_patient=by_patient, tests=tests, seed=seed)
        rounds = Rounds(states, parts, work, options, quality, limits, seed)
        rounds.cut(run, bar)
        with atomic_folder(output, overwrite=overwrite, marks=MARKS) as partial_folder:
            counts, duplicates = dict.fromkeys(rounds.splits, 0), 0
            splits = {split: rounds.patches(split) for split in rounds.splits}
            written = write_dataset(partial_folder, splits, patch_size=options.patch_size, scales=options.scales)
            for split, new in bar(written, total=rounds.total, desc="writing", unit="patch"):
                counts[split] += new
                duplicates += not new
            settings = {
                "versions": {"mihatp": VERSION},
                "split_by": split_by,
                "seed": seed,
                **asdict(options),
                **asdict(quality),
                "limits": asdict(limits),
                "warnings": [] if by_patient else [_BY_PATCH],
            }
            if about is not None:
                (partial_folder / "about.md").write_text(about, encoding="utf-8")
            write_summary(partial_folder, states, settings)
            write_card(partial_folder)
    return Built(counts, {split: rounds.patients(split) for split in counts}, states, duplicates)


_BY_PATCH = (
    "split by patch: the same patients are in training and test, so results on the test sets are too good; "
    "for methods to be compared, not for numbers to be published"
)


def _refuse_to_lose(given: Sequence[Path], output: Path) -> None:
    """Raise `UserError` if one of the files or folders `given` lies in `output`, which is to be replaced."""
    both = {path for one in given for path in (one.parent.resolve() / one.name, one.resolve())}  # links and their ends
    folders = {folder for path in both for folder in (path, *path.parents)}
    if output.exists() and any(folder.exists() and output.samefile(folder) for folder in folders):
        raise UserError(f"{output} holds slides, tiles or the manifest that it would be made of: name another folder")


def _mask_of(source: Source, mask: Path | None, *, alone: bool) -> Path | None:
    """The corrected tissue of a source."""
    if mask is None or source.kind == "tile":
        return None
    if mask.is_dir():
        names = (f"{Path(source.name).stem}.geojson", f"{source.key}.geojson")
        return next((mask / name for name in names if (mask / name).is_file()), None)
    if not mask.is_file() or not alone:
        raise UserError(f"--mask {mask}: name a GeoJSON file for a single slide, or a folder of <slide>.geojson")
    return mask


def _scan_all(states: list[SourceState], work: Path, options: ScanOptions, run: Callable, bar: Callable) -> None:
    """Fill in what each source offers; what an earlier run has found is taken as it is."""

    def tasks() -> Iterator[tuple[SourceState, tuple]]:
        for state in states:
            try:
                depends = [fingerprint(path) for path in (state.source.path, state.mask) if path is not None]
            except OSError as error:
                state.found = Scan(failed=f"{state.source.path} cannot be read: {error.strerror or error}")
                progress.update()
                continue
            state.results = work / f"scan-{digest(VERSION, depends, state.source.kind, state.source.mpp, options)}"
            found = read_result(state.results.with_suffix(".json"), Scan)
            if found is not None:
                state.found = found
                progress.update()
            else:
                yield state, (state.source, options, state.mask, state.results)

    with bar(total=len(states), desc="scanning", unit="slide") as progress:
        for state, found in run(scan, tasks()):
            state.found = found
            progress.update()
    if all(state.found.failed for state in states):
        others = f" (and {len(states) - 1} more cannot be used)" if len(states) > 1 else ""
        raise UserError(f"{states[0].found.failed}{others}")


def _split(states: list[SourceState], limits: Limits, *, by_patient: bool, tests: int, seed: int) -> list[Part]:
    """The candidates of each sound source, split by split."""
    counts = {index: state.found.candidates for index, state in enumerate(states) if not state.found.failed}
    if not by_patient:
        return parts_by_patch(counts, {split: limits.of(split) for split in split_names(tests)})
    sound = [states[index].source for index in counts]
    try:
        split_of = split_sources(sound, tests=tests, seed=seed)
    except UserError as error:
        failed = [state.found.failed for state in states if state.found.failed]
        more = f" ({len(failed)} of {len(states)} cannot be used, the first: {failed[0]})" if failed else ""
        raise UserError(f"{error}{more}") from error
    return parts_by_patient(counts, {index: split_of[states[index].source.patient] for index in counts})


if __name__ == "__main__":
    from datasets_prep.command import main

    sys.exit(main())
