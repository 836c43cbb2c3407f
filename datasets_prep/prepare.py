"""Build a data set: from slides and image tiles to BasicSR LMDBs, in one function.

The steps: list the sources, scan each for tissue, divide patients over splits, extract patches, write the LMDBs. Worker
processes scan and extract, one process writes. Finished work lies in a work folder, so a killed build resumes where it
stopped. The result is byte-identical, with any number of workers.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

from datasets_prep.common.atomic_folder import atomic_folder, refuse_existing
from datasets_prep.common.errors import UserError
from datasets_prep.common.executors import open_executor, run_all
from datasets_prep.common.processes.progress import progress_bar
from datasets_prep.common.work_folder import work_folder
from datasets_prep.dataset.card import write_card
from datasets_prep.dataset.layout import FILES, write_dataset
from datasets_prep.patches.extraction import Extraction
from datasets_prep.patches.grid import check_sizes
from datasets_prep.patches.options import Limits, QualityFilter, ScanOptions, SplitOptions
from datasets_prep.patches.scanning import asked_splits, divide_candidates, scan_sources
from datasets_prep.patches.slide_summary import write_summary
from datasets_prep.patches.source_state import SourceState, omitted_state
from datasets_prep.patches.sources import NOT_NAMED, Source, SourceList, list_sources, split_sources
from datasets_prep.provenance import Inputs, drawn_files, failures_of, sources_of, versions
from datasets_prep.signatures import PATCHES

_SPLIT_BY_PATCH = (
    "split by patch: the same patients are in training and test, so results on the test sets are too good; "
    "for methods to be compared, not for numbers to be published"
)


@dataclass(frozen=True)
class BuildResult:
    """What a build wrote, and what it left out.

    Attributes:
        counts: split -> number of patches.
        patients: split -> number of patients.
        sources: the final state of every source.
        duplicates: number of patches left out because their split has the same pixels already.
        unnamed: sources that are left out because the manifest does not name them.
        warnings: the warnings on the card.
    """

    counts: dict[str, int]
    patients: dict[str, int]
    sources: Sequence[SourceState]
    duplicates: int
    unnamed: Sequence[Source] = ()
    warnings: Sequence[str] = ()

    @property
    def failed(self) -> list[str]:
        """The reasons why sources could not be used, one line each."""
        return [state.scan.failed for state in self.sources if state.scan.failed]

    def rejected(self) -> Counter[str]:
        """Flaw -> number of patches that the quality filter rejected for it."""
        return sum((state.rejected for state in self.sources), Counter())


def prepare(
    slides: Sequence[Path],
    output: Path,
    *,
    tiles: Path | None = None,
    manifest: Path | None = None,
    mask: Path | None = None,
    coords: Path | None = None,
    options: ScanOptions | None = None,
    quality: QualityFilter | None = None,
    limits: Limits | None = None,
    splits: SplitOptions | None = None,
    workers: int = 1,
    scheduler: str | None = None,
    about: str | None = None,
    command: str = "",
    overwrite: bool = False,
    progress: bool = True,
    say: Callable[[str], None] = lambda line: None,
) -> BuildResult:
    """Build `<output>/<split>/{HR,LR_x2,LR_x4,LR_x8}.lmdb`, `manifest.csv`, `slides.csv`, `build.json` and the card.

    Args:
        slides: slides, and folders of slides.
        output: the new folder. It appears whole or not at all; a killed build resumes from `.<name>.work` beside it.
        tiles: folder of image tiles at 40x.
        manifest: table of patients, splits and mpp (`sources.list_sources`).
        mask: GeoJSON with the tissue of the only slide, or a folder with `<name of the slide>.geojson` for some slides.
        coords: HDF5 with coordinates of CLAM or TRIDENT for the only slide, or a folder with one file for each slide.
        options, quality, limits, splits: see `patches/options.py`. The defaults are the paper's, section 3.1.
        workers: number of local processes.
        scheduler: address of a Dask cluster that sees the same files, used instead of local processes.
        about: text for the file `about.md`.
        command: the command line, for `build.json`.
        overwrite: whether a data set of this program at `output` may be replaced.
        progress: whether progress bars are shown on a terminal.
        say: shows a line on what was given to the user, before the work.

    Raises:
        UserError: the request is impossible, no source can be used, or `output` cannot be written. When only some
            sources cannot be used, the result lists them.
    """
    options, quality = options or ScanOptions(), quality or QualityFilter()
    limits, splits = limits or Limits(), splits or SplitOptions()
    refuse_existing(output, overwrite=overwrite, signature=PATCHES, files=FILES)
    inputs = Inputs(slides, tiles, manifest, mask, coords)
    listed = listed_sources(inputs, options, splits, say=say)
    _refuse_inputs_in_output([*(source.path for source in (*listed.used, *listed.omitted)), *inputs.paths], output)
    bar = partial(progress_bar, shown=progress)
    with work_folder(output) as scratch, open_executor(workers=workers, scheduler=scheduler) as (executor, at_once):
        run = partial(run_all, executor, at_once=at_once)
        states = scan_sources(listed.used, drawn_files(inputs, listed), scratch, options, run, bar)
        ranges = divide_candidates(states, limits, splits)
        asked = asked_splits(listed.used, splits)
        extraction = Extraction(states, ranges, scratch, options, quality, limits, splits.seed, asked, at_once)
        extraction.run(run, bar)
        with atomic_folder(output, overwrite=overwrite, signature=PATCHES, files=FILES) as folder:
            given = {"command": command, "inputs": inputs.record()}
            return _write(folder, extraction, listed, splits, about, given, bar)


def listed_sources(
    inputs: Inputs, options: ScanOptions, splits: SplitOptions, *, say: Callable[[str], None]
) -> SourceList:
    """The sources among the inputs. Raises `UserError` when no data set can be made of them."""
    check_sizes(patch_size=options.patch_size, scales=options.scales)
    listed = list_sources(
        inputs.slides, tiles=inputs.tiles, manifest=inputs.manifest, splits=splits, hr_mpp=options.hr_mpp
    )
    for line in (*listed.notes, *listed.warnings):
        say(line)
    _refuse_impossible(listed.used, options, splits)
    for line in _without_effect(listed.used, options):
        say(line)
    return listed


def _write(
    folder: Path,
    extraction: Extraction,
    listed: SourceList,
    splits: SplitOptions,
    about: str | None,
    given: dict[str, Any],
    bar: Callable[..., Any],
) -> BuildResult:
    """Write the LMDBs, `manifest.csv`, `slides.csv`, `build.json`, `about.md` and the card into `folder`."""
    options = extraction.options
    counts, duplicates = dict.fromkeys(extraction.splits, 0), 0
    patches = {split: extraction.patches(split) for split in extraction.splits}
    written = write_dataset(folder, patches, patch_size=options.patch_size, scales=options.scales)
    for split, is_new in bar(written, total=extraction.total, desc="writing", unit="patch"):
        counts[split] += is_new
        duplicates += not is_new
    if about is not None:
        (folder / "about.md").write_text(about, encoding="utf-8")
    write_summary(
        folder, [*extraction.states, *map(omitted_state, listed.omitted)], given | _settings(extraction, listed, splits)
    )
    warnings = write_card(folder)
    patients = {split: extraction.patients(split) for split in counts}
    unnamed = [source for source in listed.omitted if source.omitted == NOT_NAMED]
    return BuildResult(counts, patients, extraction.states, duplicates, unnamed, warnings)


def _settings(extraction: Extraction, listed: SourceList, splits: SplitOptions) -> dict[str, Any]:
    """The content of `build.json`."""
    return {
        "versions": versions(),
        "split_by": splits.by,
        "seed": splits.seed,
        "patient_regex": splits.patient_regex,
        "patient_from": splits.patient_from,
        "splits": extraction.splits,
        **asdict(extraction.options),
        **asdict(extraction.quality),
        "limits": asdict(extraction.limits),
        "warnings": [*([] if splits.by == "patient" else [_SPLIT_BY_PATCH]), *listed.warnings],
        "notes": listed.notes,
        "sources": sources_of(extraction.states),
        "failures": failures_of(extraction.states),
    }


def _without_effect(sources: Sequence[Source], options: ScanOptions) -> Iterator[str]:
    """Lines on options that change nothing with these sources, and on splits that nobody is in."""
    if all(source.kind == "tile" for source in sources):
        usual = ScanOptions()
        of_slides = {"--preset": "preset", "--no-marks": "marks", "--no-fallback": "fallback"}
        of_slides |= {"--min-tissue": "min_tissue", "--strict": "strict"}
        given = [option for option, name in of_slides.items() if getattr(options, name) != getattr(usual, name)]
        if given:
            yield f"{', '.join(given)}: without effect, because image tiles are used whole"
    stated = {source.split for source in sources if source.split}
    none = [split for split in ("train", "val", "test") if not any(name.startswith(split) for name in stated)]
    if stated and none:
        yield f"the manifest puts no patient into {' or '.join(none)}, so the data set has no {' or '.join(none)}"


def _refuse_impossible(sources: Sequence[Source], options: ScanOptions, splits: SplitOptions) -> None:
    """Raise `UserError` before hours of scanning: too few patients, or `--override-mpp` without any value."""
    if splits.by == "patient":
        split_sources(sources, tests=splits.tests, seed=splits.seed)
    stated = options.assume_mpp is not None or any(source.mpp is not None for source in sources)
    if options.override_mpp is True and not stated:
        raise UserError("--override-mpp without a value needs an mpp column in --manifest, or --assume-mpp UM")


def _refuse_inputs_in_output(inputs: Sequence[Path], output: Path) -> None:
    """Raise `UserError` when one of the files or folders in `inputs` lies in `output`, which will be replaced."""
    paths = {path for given in inputs for path in (given.parent.resolve() / given.name, given.resolve())}  # also links
    folders = {folder for path in paths for folder in (path, *path.parents)}
    if output.exists() and any(folder.exists() and output.samefile(folder) for folder in folders):
        raise UserError(f"{output} holds slides, tiles or the manifest that it would be made of: name another folder")
