"""Check a data set pixel by pixel: the work of `mihatp check`. Keys and hashes are in memory, images are not."""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from threadpoolctl import threadpool_limits
from tqdm import tqdm

from datasets_prep.check.findings import Findings, Report
from datasets_prep.check.leakage import check_overlaps, check_patients
from datasets_prep.check.pixels import SplitPixels
from datasets_prep.common.errors import UserError
from datasets_prep.common.processes.progress import progress_bar
from datasets_prep.dataset.layout import roles
from datasets_prep.dataset.lmdb_reader import LmdbReader, open_images
from datasets_prep.dataset.manifest import Row, read_manifest, read_settings
from datasets_prep.dataset.small_splits import small_splits
from datasets_prep.patches.splits import split_names, split_order

_ROLE = re.compile(r"HR|LR_x([2-9]|[1-9]\d)")


def check_dataset(folder: Path, *, progress: bool = True) -> Report:
    """Check a data set that `prepare` wrote, or LMDBs in the same layout (`<split>/HR.lmdb`, `<split>/LR_x4.lmdb`, …).

    Checks that all roles and the manifest have the same keys; sizes; that every image decodes; the hash of HR; that LR
    is HR reduced (to the bit, or by registration when LR was read from a level of the slide); patients and overlapping
    patches in two splits; and pixels that occur twice. Without a manifest, the report says what was not checked.

    Args:
        folder: the data set, or one split of it.
        progress: whether a progress bar is shown on a terminal.

    Raises:
        UserError: the folder does not exist, or holds no LMDB.
    """
    splits = _find_splits(folder)
    findings, unchecked = Findings(), []
    settings, rows = _read_beside(folder, findings, unchecked)
    by_patient = settings.get("split_by", "patient") == "patient"
    warnings = check_patients(rows, findings, by_patient=by_patient) if rows else []
    warnings += small_splits(rows or (), settings)
    _check_roles(splits, rows or (), settings, findings)
    by_split: dict[str, dict[str, Row]] = {split: {} for split in splits}
    for row in rows or ():
        if by_split.get(row.split, {}).setdefault(row.key, row) is not row:
            findings.add("keys twice in the manifest", f"{row.split} {row.key}: is in manifest.csv twice")
    checker = _Checker(findings, unchecked, settings.get("patch_size"))
    counts: dict[str, int] = {}
    total = sum(_count(paths) for paths in splits.values())
    with (
        threadpool_limits(1, "blas"),  # the matrices of bicubic are small: BLAS threads would only wait for one another
        progress_bar(total=total, desc="checking", unit="patch", shown=progress) as bar,
    ):
        for split, paths in splits.items():
            counts[split] = checker.check_split(split, paths, by_split[split] if rows else None, bar)
    check_overlaps(rows or (), checker.sides, findings)
    return Report(folder, counts, findings.lines(), warnings, unchecked)


def _find_splits(folder: Path) -> dict[str, dict[str, Path]]:
    """Split -> role (name of the LMDB without its ending) -> LMDB folder."""
    try:
        here = sorted(path for path in folder.iterdir() if not path.name.startswith("."))
        folders = {path.name: path.glob("*.lmdb") for path in here if path.is_dir() and path.suffix != ".lmdb"}
        splits = {split: {path.stem: path for path in sorted(paths)} for split, paths in folders.items()}
    except (OSError, ValueError) as error:
        raise UserError(f"{str(folder)!r} is no folder that can be read: {error}; name a data set") from error
    splits[folder.resolve().name] = {path.stem: path for path in here if path.suffix == ".lmdb"}
    splits = {split: splits[split] for split in sorted(splits, key=split_order) if splits[split]}
    if not splits:
        raise UserError(f"{folder} is no data set: neither it nor its folders hold HR.lmdb, LR_x4.lmdb or the like")
    return splits


def _read_beside(folder: Path, findings: Findings, unchecked: list[str]) -> tuple[dict[str, Any], list[Row] | None]:
    """Read `build.json` and the manifest, as far as they can be read."""
    settings, rows = {}, None
    try:
        settings = read_settings(folder)
    except UserError as error:
        findings.add("files that cannot be read", str(error))
    try:
        rows = read_manifest(folder)
    except UserError as error:
        findings.add("files that cannot be read", str(error))
    if rows is None:
        unchecked.append("patients, places, hashes and where LR is from: there is no manifest.csv that can be read")
    elif not settings:
        unchecked.append("the sizes, scales and splits that were asked for: there is no build.json that can be read")
    return settings, rows


def _check_roles(
    splits: Mapping[str, Mapping[str, Path]], rows: Sequence[Row], settings: Mapping[str, Any], findings: Findings
) -> None:
    """Check that all splits have the same roles, and that every split exists that was asked for or has rows."""
    named = {role for paths in splits.values() for role in paths if _ROLE.fullmatch(role)}
    expected = named.union(roles(settings.get("scales", ())))
    for split, paths in splits.items():
        for role in sorted(expected - paths.keys()):
            findings.add("LMDBs that are missing", f"{split}/{role}: there is no {role}.lmdb in this split")
    for split, count in Counter(row.split for row in rows).items():
        if split not in splits:
            findings.add(
                "LMDBs that are missing", f"{split}: manifest.csv has {count} patches of it, there is no folder"
            )

    patches = Counter(row.split for row in rows)
    asked = settings.get("splits") or (split_names(1) if settings.get("split_by") == "patch" else ())
    for split in asked:
        if split not in splits or (rows and not patches[split]):
            findings.add("splits that are missing", f"{split}: it was asked for (build.json), and has no patches")


def _count(paths: Mapping[str, Path]) -> int:
    try:
        with (paths.get("HR") or next(iter(paths.values()))).joinpath("meta_info.txt").open("rb") as lines:
            return sum(1 for _ in lines)
    except OSError:
        return 0


class _Checker:
    """Checks the images, split by split.

    Attributes:
        sides: split -> side of its HR patches, pixels.
    """

    def __init__(self, findings: Findings, unchecked: list[str], patch_size: int | None) -> None:
        self.sides: dict[str, int] = {}
        self._findings = findings
        self._unchecked = unchecked
        self._patch_size = patch_size
        self._hashes: dict[bytes, tuple[str, str]] = {}  # SHA-1 of HR -> (split, key)

    def check_split(self, split: str, paths: Mapping[str, Path], rows: Mapping[str, Row] | None, bar: tqdm) -> int:
        """Check one split and return its number of patches; `rows`: key -> row of the manifest, or None."""
        with ExitStack() as stack:
            readers: dict[str, LmdbReader] = {}
            for role, path in paths.items():
                if not _ROLE.fullmatch(role):
                    self._unchecked.append(f"{split}/{role}.lmdb: its name is neither HR nor LR_x<scale>")
                    continue
                try:
                    readers[role] = stack.enter_context(open_images(path))
                except UserError as error:
                    self._findings.add("LMDBs that cannot be read", f"{split}/{role}: {error}")
            if not readers:
                return 0
            _check_keys(split, readers, rows, self._findings)
            if rows is not None and "HR" in readers:
                self._check_sides(split, readers["HR"])
            pixels = SplitPixels(split, readers, rows, self._findings)
            if "HR" not in readers:
                self._unchecked.append(f"{split}: pairs, for there is no HR.lmdb that can be read")
            elif rows is None:
                self._unchecked += pixels.guess()
            for key in dict.fromkeys(key for reader in readers.values() for key in reader.sizes):
                sha1 = pixels.check(key)
                if sha1 is not None:
                    self._check_double(split, key, sha1)
                bar.update()
            pixels.finish()
            return len(readers.get("HR") or next(iter(readers.values())))

    def _check_sides(self, split: str, hr: LmdbReader) -> None:
        """Check that all HR patches of a data set with a manifest are squares of one size."""
        common = max(Counter(hr.sizes.values()).most_common(1)[0][0])
        side = self.sides[split] = self._patch_size or common
        for key, (height, width) in hr.sizes.items():
            if (height, width) != (side, side):
                self._findings.add("sizes", f"{split}/HR {key}: is {width}x{height}, not {side}x{side}")

    def _check_double(self, split: str, key: str, sha1: bytes) -> None:
        other_split, other = self._hashes.setdefault(sha1, (split, key))
        if (other_split, other) != (split, key):
            kind = "pixels twice" if other_split == split else "pixels in two splits"
            self._findings.add(kind, f"{split}/HR {key}: the same pixels as {other} of {other_split}")


def _check_keys(
    split: str, readers: Mapping[str, LmdbReader], rows: Mapping[str, Row] | None, findings: Findings
) -> None:
    """Check that HR has the keys of the manifest, and LR the keys of HR."""
    sides = {role: reader.sizes.keys() for role, reader in readers.items()}
    hr = sides.get("HR")
    for role, keys in sides.items():
        if role == "HR" or hr is None:
            expected, owner = (rows.keys() if rows is not None else keys), "manifest.csv"
        else:
            expected, owner = hr, "HR"
        for key in sorted(expected - keys):
            findings.add("keys that are missing", f"{split}/{role} {key}: is missing, {owner} has it")
        for key in sorted(keys - expected):
            findings.add("keys that are too many", f"{split}/{role} {key}: is not in {owner}")
