"""Tiles on disk: which there are, whose they are, and their pixels."""

import csv
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from datasets_prep.errors import DataError
from datasets_prep.splits import deal_tests, patient_of, split_patients

SUFFIXES = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp")


@dataclass(frozen=True)
class Tile:
    """One image file, its patient and the split that this patient is in."""

    path: Path
    name: str  # relative to the folder of tiles, with forward slashes
    patient: str
    split: str

    @property
    def key(self) -> str:
        """The name as the beginning of an LMDB key: ASCII letters, digits, '_' and '-', no extension."""
        return re.sub(r"[^A-Za-z0-9_-]", "-", self.name.rpartition(".")[0])


def read_rgb(path: Path) -> NDArray[np.uint8]:
    """H×W×3 uint8 RGB of an 8-bit colour image; transparency over white, as glass is. Raises `DataError` otherwise."""
    try:
        with Image.open(path) as image:
            if image.mode not in ("RGB", "RGBA", "P"):
                raise DataError(f"{path} has pixels of mode {image.mode}: 8-bit RGB is needed")
            if image.mode == "RGB" and "transparency" not in image.info:
                return np.asarray(image)
            rgba = image.convert("RGBA")
            return np.asarray(Image.alpha_composite(Image.new("RGBA", rgba.size, "white"), rgba).convert("RGB"))
    except (OSError, SyntaxError, ValueError, EOFError, Image.DecompressionBombError) as error:
        raise DataError(f"{path} cannot be read as an image ({error}): replace or remove it") from error


def _real(path: Path) -> Path:
    return Path(os.path.realpath(path))  # unlike `resolve` of Python 3.12, it takes a loop of links


def _find_images(folder: Path) -> dict[Path, str]:
    """Resolved path -> name of every image file under `folder`, hidden ones aside, in the order of their names."""
    try:
        if not folder.is_dir():
            raise DataError(f"{folder} is not a folder: give the folder that holds the image tiles")
        names = {path: path.relative_to(folder) for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES}
    except OSError as error:
        raise DataError(f"{folder} cannot be read ({error.strerror or error}): give a folder of image tiles") from error
    shown = {path: name for path, name in names.items() if not any(part.startswith(".") for part in name.parts)}
    found = {_real(path): name.as_posix() for path, name in shown.items()}
    if not found:
        raise DataError(f"{folder} holds no image tiles ({', '.join(SUFFIXES)})")
    return dict(sorted(found.items(), key=lambda item: item[1]))


def _read_manifest(manifest: Path, folder: Path, found: dict[Path, str]) -> list[tuple[Path, str, str]]:
    """(path, patient, split or '') of every row; `image` is relative to the manifest or to the folder of tiles."""
    try:
        with manifest.open(encoding="utf-8-sig", newline="") as file:
            rows = list(csv.DictReader(file))
    except (OSError, ValueError, csv.Error) as error:
        raise DataError(f"{str(manifest)!r} cannot be read as CSV: {error}") from error
    if not rows or "image" not in rows[0]:
        raise DataError(f"{manifest} has no rows with a column image: name each tile in one")
    entries: dict[Path, tuple[str, str]] = {}
    for number, row in enumerate(rows, start=2):
        image = (row["image"] or "").strip()
        bases = () if "\0" in image else (manifest.parent, folder)  # no path can hold NUL
        path = next((p for base in bases if (p := _real(base / image)) in found), None)
        if path is None:
            raise DataError(f"{manifest} line {number}: {image or 'an empty name'} is no image tile in {folder}")
        if path in entries:
            raise DataError(f"{manifest} line {number}: {image} is named twice")
        patient = (row.get("patient") or "").strip() or patient_of(path.name)
        entries[path] = (patient, (row.get("split") or "").strip())
    return [(path, *entry) for path, entry in sorted(entries.items(), key=lambda item: found[item[0]])]


def _splits_of(entries: Sequence[tuple[Path, str, str]], manifest: Path | None, *, tests: int, seed: int) -> dict:
    stated: dict[str, str] = {}
    for path, patient, split in entries:
        if stated.setdefault(patient, split) != split:
            raise DataError(f"{manifest}: patient {patient} is in two splits ({path.name} is in {split or 'none'})")
    if not any(stated.values()):
        return split_patients(stated, tests=tests, seed=seed)
    without = [patient for patient, split in stated.items() if not split]
    if without:
        raise DataError(f"{manifest}: patient {without[0]} has no split, others have: fill the column or empty it")
    return deal_tests(stated, tests=tests, seed=seed)


def list_tiles(folder: Path, *, manifest: Path | None, tests: int, seed: int) -> list[Tile]:
    """Every tile with its patient and split, in the order of the names.

    Without a manifest: every image under `folder`, patients from TCGA barcodes, splits by seed. With one: the images
    that it names (others are left alone), its columns `patient` and `split` where they are filled. Raises `DataError`.
    """
    if tests < 1:
        raise DataError(f"{tests} test sets: at least one is needed")
    found = _find_images(folder)
    if manifest is None:
        entries = [(path, patient_of(path.name), "") for path in found]
    else:
        entries = _read_manifest(manifest, folder, found)
    split_of = _splits_of(entries, manifest, tests=tests, seed=seed)
    tiles = [Tile(path, found[path], patient, split_of[patient]) for path, patient, _ in entries]
    keys: dict[str, Tile] = {}
    for tile in tiles:
        if tile.name != tile.name.encode("utf-8", "replace").decode("utf-8"):
            raise DataError(f"{tile.name!r} in {folder} is not UTF-8 text: rename it")
        other = keys.setdefault(tile.key, tile)
        if other is not tile:
            raise DataError(f"{tile.name} and {other.name} would have the same key {tile.key}: rename one")
    return tiles
