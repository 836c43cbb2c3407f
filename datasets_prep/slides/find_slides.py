"""Which files are slides."""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from datasets_prep.common.errors import UserError
from datasets_prep.slides.tiles import real_path

SUFFIXES = (*(".svs", ".tif", ".tiff", ".ndpi", ".vms", ".vmu", ".scn", ".mrxs", ".bif", ".svslide", ".czi", ".dcm"),)
_SERIES = re.compile(rb"\x20\x00\x0e\x00UI(..)", re.DOTALL)  # SeriesInstanceUID, as every compressed DICOM writes it
_HEADER = 2**18  # bytes of a DICOM file before which its series is named


def find_slides(paths: Sequence[Path]) -> dict[Path, str]:
    """Resolved path -> name of every slide among `paths`, in the order of the names.

    A file is taken as given and named by its own name; a folder is searched at all depths, hidden files aside, for what
    OpenSlide may open by its ending, and each is named by its path in the folder, with forward slashes. A file that is
    found twice counts once. A DICOM slide is many files, of which OpenSlide needs any one: a folder and series counts
    once.

    Raises `UserError` for a path that is not there, or where nothing is found.
    """
    found: dict[Path, str] = {}
    for path in paths:
        try:
            for file, name in _under(path):
                found.setdefault(real_path(file), name)
        except (OSError, ValueError) as error:
            raise UserError(f"{str(path)!r} cannot be read ({error}): give a slide or a folder of slides") from error
    found = _one_per_series(dict(sorted(found.items(), key=lambda item: (item[1], item[0]))))
    if not found:
        where = ", ".join(map(str, paths)) or "nothing"
        raise UserError(f"{where} holds no slides ({', '.join(SUFFIXES)})")
    return found


def _under(path: Path) -> Iterator[tuple[Path, str]]:
    if path.is_file():
        yield path, path.name
        return
    if not path.is_dir():
        raise UserError(f"{str(path)!r} does not exist: give a slide or a folder of slides")
    for file in sorted(path.rglob("*")):
        name = file.relative_to(path)
        hidden = any(part.startswith(".") for part in name.parts)
        if not hidden and file.suffix.lower() in SUFFIXES and file.is_file():
            yield file, name.as_posix()


def _one_per_series(found: dict[Path, str]) -> dict[Path, str]:
    """Without the further files of each DICOM slide."""
    kept: dict[Path, str] = {}
    seen: set[tuple[Path, bytes]] = set()
    for path, name in found.items():
        series = _series_of(path) if path.suffix.lower() == ".dcm" else b""
        if series:
            if (path.parent, series) in seen:
                continue
            seen.add((path.parent, series))
        kept[path] = name
    return kept


def _series_of(path: Path) -> bytes:
    """The SeriesInstanceUID of a DICOM file; empty where there is none, so that OpenSlide says what is wrong."""
    try:
        with path.open("rb") as file:
            header = file.read(_HEADER)
    except OSError:
        return b""
    match = _SERIES.search(header) if header[128:132] == b"DICM" else None
    if match is None:
        return b""
    return header[match.end() : match.end() + int.from_bytes(match[1], "little")].rstrip(b"\0 ")
