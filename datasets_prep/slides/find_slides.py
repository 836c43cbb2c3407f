"""Find the slides and image tiles in folders, by the endings of their names."""

import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from datasets_prep.common.errors import UserError
from datasets_prep.slides.open import slide_suffixes
from datasets_prep.slides.tiles import TileReader

_SERIES = re.compile(rb"\x20\x00\x0e\x00UI(..)", re.DOTALL)  # tag of SeriesInstanceUID in a compressed DICOM file
_HEADER = 2**18  # bytes at the start of a DICOM file that hold its series


def find_slides(paths: Sequence[Path]) -> dict[Path, str]:
    """Resolved path -> name of every slide among `paths`, sorted by name.

    A file is used as given, and its name is its own. A folder is searched at all depths for files with an ending of a
    slide reader; hidden files and folders are skipped. The name of such a file is its path in the folder, with forward
    slashes. A file that is listed twice counts once. A DICOM slide consists of many files and OpenSlide needs any one
    of them: of each folder and series, one file counts.

    Raises:
        UserError: a path does not exist, or there is no slide.
    """
    slides: dict[Path, str] = {}
    for path in paths:
        try:
            for file, name in _under(path):
                slides.setdefault(real_path(file), name)
        except UserError:
            raise
        except (OSError, ValueError) as error:
            raise UserError(f"{str(path)!r} cannot be read ({error}): give a slide or a folder of slides") from error
    slides = _one_per_series(dict(sorted(slides.items(), key=lambda item: (item[1], item[0]))))
    if not slides:
        where = ", ".join(map(str, paths)) or "nothing"
        raise UserError(f"{where} holds no slides ({', '.join(slide_suffixes())})")
    return slides


def _under(path: Path) -> Iterator[tuple[Path, str]]:
    if path.is_file():
        yield path, path.name
        return
    if not path.is_dir():
        raise UserError(f"{str(path)!r} does not exist: give a slide or a folder of slides")
    suffixes = slide_suffixes()
    for file in sorted(path.rglob("*")):
        name = file.relative_to(path)
        hidden = any(part.startswith(".") for part in name.parts)
        if not hidden and file.suffix.lower() in suffixes and file.is_file():
            yield file, name.as_posix()


def _one_per_series(slides: dict[Path, str]) -> dict[Path, str]:
    """`slides` with only the first file of each DICOM slide."""
    firsts: dict[Path, str] = {}
    seen: set[tuple[Path, bytes]] = set()
    for path, name in slides.items():
        series = _series_of(path) if path.suffix.lower() == ".dcm" else b""
        if series:
            if (path.parent, series) in seen:
                continue
            seen.add((path.parent, series))
        firsts[path] = name
    return firsts


def _series_of(path: Path) -> bytes:
    """The SeriesInstanceUID of a DICOM file; empty when it has none. OpenSlide then reports what is wrong with it."""
    try:
        with path.open("rb") as file:
            header = file.read(_HEADER)
    except OSError:
        return b""
    match = _SERIES.search(header) if header[128:132] == b"DICM" else None
    if match is None:
        return b""
    return header[match.end() : match.end() + int.from_bytes(match[1], "little")].rstrip(b"\0 ")


def find_images(folder: Path) -> dict[Path, str]:
    """Resolved path -> name of every image tile in `folder`, at all depths, sorted by name; hidden files are skipped.

    Raises:
        UserError: the folder cannot be read, or holds no image.
    """
    suffixes = TileReader.suffixes
    try:
        if not folder.is_dir():
            raise UserError(f"{folder} is not a folder: give the folder that holds the image tiles")
        names = {path: path.relative_to(folder) for path in folder.rglob("*") if path.suffix.lower() in suffixes}
    except OSError as error:
        raise UserError(f"{folder} cannot be read ({error.strerror or error}): give a folder of image tiles") from error
    shown = {path: name for path, name in names.items() if not any(part.startswith(".") for part in name.parts)}
    tiles = {real_path(path): name.as_posix() for path, name in shown.items()}
    if not tiles:
        raise UserError(f"{folder} holds no image tiles ({', '.join(suffixes)})")
    return dict(sorted(tiles.items(), key=lambda item: item[1]))


def real_path(path: Path) -> Path:
    """`path` with every link followed."""
    return Path(os.path.realpath(path))  # unlike `Path.resolve` of Python 3.12, it accepts a loop of links
