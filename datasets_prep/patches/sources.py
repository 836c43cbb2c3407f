"""What a data set is made of: slides and image tiles, whose they are, and which split a CSV puts them in."""

import csv
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from datasets_prep.common.errors import UserError
from datasets_prep.patches.splits import deal_tests, patient_of, split_patients
from datasets_prep.slides.openslide import find_slides
from datasets_prep.slides.tiles import find_images, real_path


@dataclass(frozen=True)
class Source:
    """One slide or image tile.

    Attributes:
        name: relative to the folder that it was found in, with forward slashes; how the manifest calls it.
        patient: whose it is; the name itself where the split is by patch.
        split: what the CSV says; empty where the seed decides.
        mpp: µm/px by the CSV, for a file that does not say; else None.
    """

    kind: Literal["slide", "tile"]
    path: Path
    name: str
    patient: str
    split: str = ""
    mpp: float | None = None

    @property
    def key(self) -> str:
        """The name as the beginning of an LMDB key: ASCII letters, digits, '_' and '-', no extension."""
        return re.sub(r"[^A-Za-z0-9_-]", "-", self.name.rpartition(".")[0])


def list_sources(
    slides: Sequence[Path], *, tiles: Path | None, manifest: Path | None, by_patient: bool
) -> list[Source]:
    """Every slide below `slides` and every image below `tiles`, in the order of the names.

    `manifest` is a CSV with a column `slide` or `image`, and as many of `patient`, `split`, `mpp` as are known; it then
    says which of the files are used. A file is named by its path relative to the CSV or to its folder, or by a name
    that no other has. Without a patient column a TCGA barcode must say it, unless `by_patient` is false.

    Raises `UserError` where there is nothing, a row fits no file, a patient is unknown or in two splits, or two names
    would share an LMDB key.
    """
    if not slides and tiles is None:
        raise UserError("there is nothing to prepare: name slides, folders of slides, or --tiles DIR")
    found: dict[Path, tuple[Literal["slide", "tile"], str]] = {}
    for path, name in find_slides(slides).items() if slides else ():
        found[path] = ("slide", name)
    for path, name in find_images(tiles).items() if tiles is not None else ():
        found[path] = ("tile", name)
    folders = [*(path if path.is_dir() else path.parent for path in slides), *([tiles] if tiles is not None else [])]
    rows = {path: {} for path in found} if manifest is None else _read_manifest(manifest, folders, found)
    sources = []
    for path, row in rows.items():
        kind, name = found[path]
        stated = row.get("patient", "")
        patient = stated or (patient_of(path.name) if by_patient else name)
        sources.append(Source(kind, path, name, patient, row.get("split", ""), _mpp(row, manifest, name)))
    sources.sort(key=lambda source: source.name)
    _check_keys(sources)
    _check_stated(sources, manifest, by_patient=by_patient)
    return sources


def _read_manifest(
    manifest: Path, folders: Sequence[Path], found: Mapping[Path, tuple[str, str]]
) -> dict[Path, dict[str, str]]:
    """The rows by the file that they name."""
    try:
        with manifest.open(encoding="utf-8-sig", newline="") as file:
            rows = list(csv.DictReader(file))
    except (OSError, ValueError, csv.Error) as error:
        raise UserError(f"{str(manifest)!r} cannot be read as CSV: {error}") from error
    column = next((name for name in ("slide", "image") if rows and name in rows[0]), None)
    if column is None:
        raise UserError(f"{manifest} has no rows with a column slide or image: name each file in one")
    by_name: dict[str, list[Path]] = {}
    for path, (_, name) in found.items():
        for short in {name, path.name, path.stem}:
            by_name.setdefault(short, []).append(path)
    entries: dict[Path, dict[str, str]] = {}
    for number, row in enumerate(rows, start=2):
        wanted = (row[column] or "").strip()
        bases = () if "\0" in wanted else (manifest.parent, *folders)  # no path can hold NUL
        path = next((p for base in bases if (p := real_path(base / wanted)) in found), None)
        if path is None:
            same = by_name.get(wanted, [])
            path = same[0] if len(same) == 1 else None
        if path is None:
            raise UserError(f"{manifest} line {number}: {wanted or 'an empty name'} is none of the files to prepare")
        if path in entries:
            raise UserError(f"{manifest} line {number}: {wanted} is named twice")
        entries[path] = {key: (row.get(key) or "").strip() for key in ("patient", "split", "mpp")}
    return entries


def _mpp(row: Mapping[str, str], manifest: Path | None, name: str) -> float | None:
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
    keys: dict[str, Source] = {}
    for source in sources:
        if source.name != source.name.encode("utf-8", "replace").decode("utf-8"):
            raise UserError(f"{source.name!r} is not UTF-8 text: rename it")
        other = keys.setdefault(source.key, source)
        if other is not source:
            raise UserError(f"{source.name} and {other.name} would have the same key {source.key}: rename one")


def _check_stated(sources: Sequence[Source], manifest: Path | None, *, by_patient: bool) -> None:
    """A patient is in one split, and either all have one or none."""
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
    """Patient -> split: as the CSV says (plain `test` dealt over the sets), else by seed; errors as in splits.py."""
    stated = {source.patient: source.split for source in sources}
    if any(stated.values()):
        return deal_tests(stated, tests=tests, seed=seed)
    return split_patients(stated, tests=tests, seed=seed)
