"""The sources of a data set: its slides and image tiles, their patients, and the splits that a table gives them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from datasets_prep.common.errors import UserError
from datasets_prep.patches.keys import distinct_names, keys_of
from datasets_prep.patches.options import HR_MPP, SplitOptions
from datasets_prep.patches.patients import UnknownPatientsError, doubtful_patients, patient_by_name, patient_by_rule
from datasets_prep.patches.splits import deal_tests, split_patients
from datasets_prep.slides.find_slides import FoundFiles, find_images, find_slides
from datasets_prep.slides.open import Kind
from datasets_prep.source_table.match import match_rows
from datasets_prep.source_table.table import Entry, read_table

NOT_NAMED = "the manifest does not name it"


@dataclass(frozen=True)
class Source:
    """One slide or image tile.

    Attributes:
        kind: slide or image tile.
        path: the file; the link where it is one.
        name: path relative to the folder in which it was found, with forward slashes; its name in the manifest.
        key: first part of the LMDB keys of its patches, see `keys.keys_of`.
        patient: its patient; the name itself when the split is by patch and nothing names the patient.
        split: its split in the table; empty when the seed decides.
        mpp: µm per level-0 pixel in the table; None when it says none.
        omitted: why it is left out; empty for a source that is used.
    """

    kind: Kind
    path: Path
    name: str
    key: str
    patient: str
    split: str = ""
    mpp: float | None = None
    omitted: str = ""


@dataclass(frozen=True)
class SourceList:
    """The slides and image tiles of a build.

    Attributes:
        used: the sources, sorted by name.
        omitted: sources that are left out, because the manifest does not name them, or excludes them.
        notes: lines that the user should read.
        warnings: lines that the reader of results should read too.
    """

    used: list[Source]
    omitted: list[Source]
    notes: list[str]
    warnings: list[str]


def list_sources(
    slides: Sequence[Path],
    *,
    tiles: Path | None,
    manifest: Path | None,
    splits: SplitOptions,
    hr_mpp: float = HR_MPP[0],
) -> SourceList:
    """All slides in `slides` and all images in `tiles`, sorted by name.

    The patient of a source is that of the table; else that of `--patient-regex` or `--patient-from`; else the TCGA
    barcode in its name, or the PatientID of a DICOM slide.

    Args:
        slides: slides, and folders of slides.
        tiles: folder of image tiles.
        manifest: table (`source_table/table.py`). When it is given, only the files that it names are used.
        splits: how patients are known and divided.
        hr_mpp: µm per HR pixel; at 20x and 10x it stands in the keys.

    Raises:
        UserError: there is no source, a row names no file, a patient is in two splits, or two names would give the same
            LMDB key.
        UnknownPatientsError: patients must be known, and some are not.
    """
    if not slides and tiles is None:
        raise UserError("there is nothing to prepare: name slides, folders of slides, or --tiles DIR")
    by_kind: dict[Kind, FoundFiles] = {}
    if slides:
        by_kind["slide"] = find_slides(slides)
    if tiles is not None:
        by_kind["tile"] = find_images(tiles)
    kinds: dict[Path, Kind] = {path: kind for kind, files in by_kind.items() for path in files.names}
    names = distinct_names({path: name for files in by_kind.values() for path, name in files.names.items()})
    doubles = {name: path for files in by_kind.values() for name, path in files.doubles.items()}
    notes = [f"{name} is the same file as {names[path]}, which counts" for name, path in doubles.items()]
    made = [path for files in by_kind.values() for path in files.data_sets]
    notes += [f"{path} is a data set of this program: its pictures are no tiles" for path in made]
    both = [path for path in kinds if all(path in files.names for files in by_kind.values()) and len(by_kind) > 1]
    notes += [f"{names[path]} is given as a slide and as a tile: it counts as a tile" for path in both]
    entries: Mapping[Path, Entry] = {}
    if manifest is not None:
        table = read_table(manifest)
        folders = [*(path if path.is_dir() else path.parent for path in slides), *filter(None, (tiles,))]
        entries, unmatched = match_rows(table, names, doubles, folders)
        notes += [*table.notes, *unmatched]
    keys = keys_of(list(names.values()), suffix="" if hr_mpp == HR_MPP[0] else f"-{10 / hr_mpp:.0f}x")
    sources = []
    for path, name in names.items():
        entry = entries.get(path, Entry(0, ""))
        omitted = NOT_NAMED if manifest is not None and path not in entries else entry.exclude
        by_rule = entry.patient or patient_by_rule(path, name, splits)
        patient = by_rule or (patient_by_name(path, name) if splits.by == "patient" else name)
        sources.append(Source(kinds[path], path, name, keys[name], patient, entry.split, entry.mpp, omitted))
    sources.sort(key=lambda source: source.name)
    used = [source for source in sources if not source.omitted]
    _check_stated(used, manifest, splits)
    return SourceList(used, [source for source in sources if source.omitted], notes, list(doubtful_patients(used)))


def _check_stated(sources: Sequence[Source], manifest: Path | None, splits: SplitOptions) -> None:
    """Check that each patient is known and in one split, and that the CSV gives a split to all patients or to none."""
    if not sources:
        raise UserError(f"{manifest} excludes every slide and tile")
    if not all(source.patient for source in sources):
        raise UnknownPatientsError({source.name: source.patient for source in sources})
    stated: dict[str, Source] = {}
    for source in sources:
        other = stated.setdefault(source.patient, source)
        if other.split != source.split:
            raise UserError(
                f"{manifest}: patient {source.patient} is in two splits ({source.name} is in {source.split or 'none'})"
            )
    if not any(source.split for source in sources):
        return
    if splits.by != "patient":
        raise UserError(f"{manifest} has splits, so --split-by patch means nothing: empty the column or leave it out")
    without = next((source for source in sources if not source.split), None)
    if without is not None:
        raise UserError(f"{manifest}: patient {without.patient} has no split, others have: fill the column or empty it")


def split_sources(sources: Sequence[Source], *, tests: int, seed: int) -> dict[str, str]:
    """Patient -> split, from the CSV (`deal_tests`) or, when it gives no splits, by seed (`split_patients`)."""
    stated = {source.patient: source.split for source in sources}
    if any(stated.values()):
        return deal_tests(stated, tests=tests, seed=seed)
    return split_patients(stated, tests=tests, seed=seed)
