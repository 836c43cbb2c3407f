"""The files beside the LMDBs of a data set, read back: `manifest.csv`, `slides.csv` and `build.json`."""

import csv
import re
from collections.abc import Iterator
from pathlib import Path
from sys import intern
from typing import Any, NamedTuple

import msgspec

from datasets_prep.common.errors import UserError
from datasets_prep.dataset.layout import COLUMNS, MANIFEST

_SHA1 = re.compile(r"[0-9a-f]{40}")


class _Known(msgspec.Struct):
    """What readers rely on in `build.json`; the rest is for people."""

    patch_size: int | None = None
    scales: list[int] = []
    split_by: str = "patient"
    warnings: list[str] = []


class Row(NamedTuple):
    """One patch by the manifest; `x`, `y` in pixels of level 0, `mpp` in µm/px (None: not known)."""

    key: str
    slide: str
    patient: str
    split: str
    x: int
    y: int
    mpp: float | None
    lr_source: str
    sha1: bytes  # 20 bytes: of the H×W×3 uint8 RGB pixels of HR

    @property
    def slide_key(self) -> str:
        """How the files of the slide in `slides/` begin: the key without its place."""
        return self.key.removesuffix(f"_{self.x}_{self.y}")


def lr_source_of(text: str, scale: int) -> str:
    """The LR source of one scale by the manifest's `lr_source`: `area`, or per scale as in `x2:area x4:level1`."""
    if ":" not in text:
        return text
    return dict(part.split(":", 1) for part in text.split() if ":" in part).get(f"x{scale}", "")


def _records(path: Path) -> Iterator[tuple[int, dict[str, str]]]:
    """Line number and the columns of every row, stripped. Raises `UserError` where it is no CSV text."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file, restval="")
            for row in reader:
                yield reader.line_num, {name: value.strip() for name, value in row.items() if isinstance(value, str)}
    except (OSError, ValueError, csv.Error) as error:
        raise UserError(f"{path} cannot be read as CSV: {error}; prepare the data set again") from error


def read_manifest(folder: Path) -> list[Row] | None:
    """The rows of `manifest.csv` in their order; None where there is no such file.

    Raises `UserError`, with the line, where it is damaged or not one of ours.
    """
    path = folder / MANIFEST
    if not path.exists():
        return None
    rows = []
    for number, record in _records(path):
        lacking = [name for name in COLUMNS if name not in record]
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
    )


def read_slides(folder: Path) -> list[dict[str, str]]:
    """The rows of `slides.csv`, by column; none where there is no such file. `UserError` where it is no text."""
    path = folder / "slides.csv"
    return [record for _, record in _records(path)] if path.exists() else []


def read_settings(folder: Path) -> dict[str, Any]:
    """What `build.json` says; empty where there is no such file. Raises `UserError` where it is damaged."""
    path = folder / "build.json"
    if not path.exists():
        return {}
    try:
        settings = msgspec.json.decode(path.read_bytes(), type=dict[str, Any])
        msgspec.convert(settings, _Known)
        return settings
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise UserError(f"{path} cannot be read: {error}; prepare the data set again") from error
