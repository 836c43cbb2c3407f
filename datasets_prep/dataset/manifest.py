"""Read the files beside the LMDBs of a data set: `manifest.csv`, `slides.csv` and `build.json`."""

import csv
import re
from collections.abc import Iterator
from pathlib import Path
from sys import intern
from typing import Any, NamedTuple

import msgspec

from datasets_prep.common.errors import UserError
from datasets_prep.signatures import MANIFEST, PATCH_COLUMNS

_SHA1 = re.compile(r"[0-9a-f]{40}")


class _Settings(msgspec.Struct):
    """The part of `build.json` that programs read. The other entries are for people."""

    patch_size: int | None = None
    scales: list[int] = []
    splits: list[str] = []
    hr_mpp: float | None = None
    limits: dict[str, int | None] = {}
    split_by: str = "patient"
    warnings: list[str] = []


class Row(NamedTuple):
    """One patch in the manifest; `x`, `y` in level-0 px, `mpp` in µm per HR pixel (None when it is unknown)."""

    key: str
    slide: str
    patient: str
    split: str
    x: int
    y: int
    mpp: float | None
    lr_source: str
    sha1: bytes  # 20 bytes, hash of the HR pixels, [H, W, 3] uint8 RGB
    reduction: int  # level-0 px along an HR pixel

    @property
    def slide_key(self) -> str:
        """First part of the file names of the slide in `slides/`: the key without the coordinates."""
        return self.key.removesuffix(f"_{self.x}_{self.y}")


def lr_source_of(text: str, scale: int) -> str:
    """The LR source of one scale, from the manifest's `lr_source`: `area` for all, or `x2:area x4:level1`."""
    if ":" not in text:
        return text
    return dict(part.split(":", 1) for part in text.split() if ":" in part).get(f"x{scale}", "")


def _records(path: Path) -> Iterator[tuple[int, dict[str, str]]]:
    """Line number and stripped columns of every row. Raises `UserError` when the file is no CSV text."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file, restval="")
            for row in reader:
                yield reader.line_num, {name: value.strip() for name, value in row.items() if isinstance(value, str)}
    except (OSError, ValueError, csv.Error) as error:
        raise UserError(f"{path} cannot be read as CSV: {error}; prepare the data set again") from error


def read_manifest(folder: Path) -> list[Row] | None:
    """Read the rows of `manifest.csv`, in their order; None when the file does not exist.

    Raises:
        UserError: the file is damaged, or this program did not write it; the message names the line.
    """
    path = folder / MANIFEST
    if not path.exists():
        return None
    rows = []
    for number, record in _records(path):
        lacking = [name for name in PATCH_COLUMNS if name not in record]
        if lacking:
            raise UserError(f"{path} has no column {lacking[0]}: it is not a manifest of this program")
        try:
            rows.append(_row(record))
        except ValueError as error:
            raise UserError(f"{path} line {number}: {error}; prepare the data set again") from None
    if not rows:
        raise UserError(f"{path} has no rows: prepare the data set again")
    return rows


def _row(record: dict[str, str]) -> Row:
    if not record["key"] or not record["split"]:
        raise ValueError("key or split is empty")
    if not _SHA1.fullmatch(record["sha1"]):
        raise ValueError(f"{record['sha1']!r} is no SHA-1")
    return Row(
        *(record["key"], intern(record["slide"]), intern(record["patient"]), intern(record["split"])),
        *(int(record["x"]), int(record["y"]), float(record["mpp"]) if record["mpp"] else None),
        *(intern(record["lr_source"]), bytes.fromhex(record["sha1"])),
        int(record["level"].partition("/")[2] or 1),
    )


def read_slides(folder: Path) -> list[dict[str, str]]:
    """Read the rows of `slides.csv`; empty when the file does not exist. Raises `UserError` when it is no CSV text."""
    path = folder / "slides.csv"
    return [record for _, record in _records(path)] if path.exists() else []


def read_rejected(folder: Path) -> dict[str, list[tuple[int, int, str]]]:
    """Slide -> (x, y, flaw) of each rejected patch, from `rejected.csv`; empty when the file does not exist.

    Raises `UserError` when the file is damaged.
    """
    path = folder / "rejected.csv"
    rejected: dict[str, list[tuple[int, int, str]]] = {}
    for number, record in _records(path) if path.exists() else ():
        try:
            rejected.setdefault(record["slide"], []).append((int(record["x"]), int(record["y"]), record["flaw"]))
        except (KeyError, ValueError) as error:
            raise UserError(f"{path} line {number} is damaged ({error}): prepare the data set again") from None
    return rejected


def read_settings(folder: Path) -> dict[str, Any]:
    """Read `build.json`; empty when the file does not exist. Raises `UserError` when it is damaged."""
    path = folder / "build.json"
    if not path.exists():
        return {}
    try:
        settings = msgspec.json.decode(path.read_bytes(), type=dict[str, Any])
        msgspec.convert(settings, _Settings)
        return settings
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise UserError(f"{path} cannot be read: {error}; prepare the data set again") from error
