"""The sources of a data set: its slides and image tiles, their patients, and the splits that a CSV gives them."""

import csv
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from datasets_prep.common.errors import UserError
from datasets_prep.patches.splits import deal_tests, patient_of, split_patients
from datasets_prep.slides.find_slides import find_images, find_slides, real_path
from datasets_prep.slides.open import Kind


@dataclass(frozen=True)
class Source:
    """One slide or image tile.

    Attributes:
        kind: slide or image tile.
        path: the file.
        name: path relative to the folder in which it was found, with forward slashes; its name in the manifest.
        patient: its patient; the name itself when the split is by patch.
        split: its split in the CSV; empty when the seed decides.
        mpp: µm per pixel in the CSV, for a file that states none; else None.
    """

    kind: Kind
    path: Path
    name: str
    patient: str
    split: str = ""
    mpp: float | None = None

    @property
    def key(self) -> str:
        """The name as the first part of an LMDB key: ASCII letters, digits, '_' and '-', without the ending."""
        return re.sub(r"[^A-Za-z0-9_-]", "-", self.name.rpartition(".")[0])


def list_sources(
    slides: Sequence[Path], *, tiles: Path | None, manifest: Path | None, by_patient: bool
) -> list[Source]:
    """All slides in `slides` and all images in `tiles`, sorted by name.

    A CSV row names its file by the path relative to the CSV or to the folder of the file, or by a name that no other
    file has.

    Args:
        slides: slides, and folders of slides.
        tiles: folder of image tiles.
        manifest: CSV with a column `slide` or `image` and, as far as they are known, `patient`, `split` and `mpp`.
            When it is given, only the files that it names are used.
        by_patient: whether a patient must be known: from the CSV, or from a TCGA barcode in the name.

    Raises:
        UserError: there is no source, a row names no file, a patient is unknown or in two splits, or two names would
            give the same LMDB key.
    """
    if not slides and tiles is None:
        raise UserError("there is nothing to prepare: name slides, folders of slides, or --tiles DIR")
    files: dict[Path, tuple[Kind, str]] = {}
    for path, name in find_slides(slides).items() if slides else ():
        files[path] = ("slide", name)
    for path, name in find_images(tiles).items() if tiles is not None else ():
        files[path] = ("tile", name)
    folders = [*(path if path.is_dir() else path.parent for path in slides), *([tiles] if tiles is not None else [])]
    rows = {path: {} for path in files} if manifest is None else _read_manifest(manifest, folders, files)
    sources = []
    for path, row in rows.items():
        kind, name = files[path]
        stated = row.get("patient", "")
        patient = stated or (patient_of(path.name) if by_patient else name)
        sources.append(Source(kind, path, name, patient, row.get("split", ""), _mpp_of(row, manifest, name)))
    sources.sort(key=lambda source: source.name)
    _check_keys(sources)
    _check_stated(sources, manifest, by_patient=by_patient)
    return sources


def _read_manifest(
    manifest: Path, folders: Sequence[Path], files: Mapping[Path, tuple[str, str]]
) -> dict[Path, dict[str, str]]:
    """File -> the row of the CSV that names it."""
    try:
        with manifest.open(encoding="utf-8-sig", newline="") as file:
            rows = list(csv.DictReader(file))
    except (OSError, ValueError, csv.Error) as error:
        raise UserError(f"{str(manifest)!r} cannot be read as CSV: {error}") from error
    column = next((name for name in ("slide", "image") if rows and name in rows[0]), None)
    if column is None:
        raise UserError(f"{manifest} has no rows with a column slide or image: name each file in one")
    by_name: dict[str, list[Path]] = {}
    for path, (_, name) in files.items():
        for short in {name, path.name, path.stem}:
            by_name.setdefault(short, []).append(path)
    entries: dict[Path, dict[str, str]] = {}
    for number, row in enumerate(rows, start=2):
        wanted = (row[column] or "").strip()
        bases = () if "\0" in wanted else (manifest.parent, *folders)  # a path cannot hold NUL
        path = next((p for base in bases if (p := real_path(base / wanted)) in files), None)
        if path is None:
            same = by_name.get(wanted, [])
            path = same[0] if len(same) == 1 else None
        if path is None:
            raise UserError(f"{manifest} line {number}: {wanted or 'an empty name'} is none of the files to prepare")
        if path in entries:
            raise UserError(f"{manifest} line {number}: {wanted} is named twice")
        entries[path] = {key: (row.get(key) or "").strip() for key in ("patient", "split", "mpp")}
    return entries


def _mpp_of(row: Mapping[str, str], manifest: Path | None, name: str) -> float | None:
    text = row.get("mpp", "")
    if not text:
        return None
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < 100:
        raise UserError(f"{manifest}: mpp {text!r} of {name} is no resolution in µm/px, such as 0.25")
    return value


def _check_keys(sources: Sequence[Source]) -> None:
    """Check that every name is UTF-8 text, and that no two names give the same LMDB key."""
    keys: dict[str, Source] = {}
    for source in sources:
        if source.name != source.name.encode("utf-8", "replace").decode("utf-8"):
            raise UserError(f"{source.name!r} is not UTF-8 text: rename it")
        other = keys.setdefault(source.key, source)
        if other is not source:
            raise UserError(f"{source.name} and {other.name} would have the same key {source.key}: rename one")


def _check_stated(sources: Sequence[Source], manifest: Path | None, *, by_patient: bool) -> None:
    """Check that each patient is in one split, and that the CSV gives a split to all patients or to none."""
    stated: dict[str, Source] = {}
    for source in sources:
        other = stated.setdefault(source.patient, source)
        if other.split != source.split:
            raise UserError(
                f"{manifest}: patient {source.patient} is in two splits ({source.name} is in {source.split or 'none'})"
            )
    if not any(source.split for source in sources):
        return
    if not by_patient:
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
