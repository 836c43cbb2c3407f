"""Find the slides and image tiles in folders, by the endings of their names."""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from datasets_prep.common.errors import UserError, reason_of
from datasets_prep.common.walk import walk
from datasets_prep.signatures import is_data_set
from datasets_prep.slides.diagnosis import foreign_format
from datasets_prep.slides.dicom import series_of
from datasets_prep.slides.open import slide_suffixes
from datasets_prep.slides.tiles import TileReader


@dataclass(frozen=True)
class FoundFiles:
    """Slides or image tiles.

    Attributes:
        names: path of each file -> its name, sorted by name. The path is that of the link where the file is one.
        doubles: name of a link to a file that counts under another name -> this path.
        data_sets: data sets of this program, whose overviews, label maps and other pictures are no tiles.
    """

    names: dict[Path, str] = field(default_factory=dict)
    doubles: dict[str, Path] = field(default_factory=dict)
    data_sets: list[Path] = field(default_factory=list)


def find_slides(paths: Sequence[Path]) -> FoundFiles:
    """Every slide among `paths`.

    A file is used as given, and its name is its own. A folder is searched at all depths for files with an ending of a
    slide reader; hidden files and folders are skipped, and links to folders are entered. The name of such a file is its
    path in the folder, with forward slashes. A file that is listed twice, or by links, counts once, under its own name
    where that is listed. A link that leads nowhere, and a slide of a format that cannot be read, are listed too:
    reading them fails. A DICOM slide consists of many files and OpenSlide needs any one of them: of each folder and
    series, one file counts.

    Raises:
        UserError: a path does not exist, a folder cannot be read, or there is no slide.
    """
    listed: list[tuple[Path, str]] = []
    for path in paths:
        try:
            listed += _under(path)
        except UserError:
            raise
        except (OSError, ValueError) as error:
            raise UserError(f"{str(path)!r} cannot be read ({error}): give a slide or a folder of slides") from error
    files = _each_once(listed)
    files = FoundFiles(_one_per_series(files.names), files.doubles)
    if not files.names:
        where = ", ".join(map(str, paths)) or "nothing"
        raise UserError(f"{where} holds no slides ({', '.join(slide_suffixes())})")
    return files


def _under(path: Path) -> Iterator[tuple[Path, str]]:
    if not path.is_dir():
        if not os.path.lexists(path):
            raise UserError(f"{str(path)!r} does not exist: give a slide or a folder of slides")
        yield path, path.name
        return
    suffixes = slide_suffixes()
    for file, name in walk(path):
        if file.suffix.lower() in suffixes or foreign_format(file):
            yield file, name.as_posix()


def _each_once(listed: Sequence[tuple[Path, str]]) -> FoundFiles:
    """Each file once, sorted by name: under its own name, else under the first name that links to it."""
    files = FoundFiles()
    seen: dict[Path, Path] = {}
    for path, name in sorted(listed, key=lambda item: (item[0].is_symlink(), item[1], item[0])):
        absolute = Path(os.path.abspath(path))
        first = seen.setdefault(real_path(path), absolute)
        if first == absolute:
            files.names.setdefault(absolute, name)
        elif real_path(first.parent) / first.name != real_path(absolute.parent) / absolute.name:
            files.doubles.setdefault(name, first)
    in_order = sorted(files.names.items(), key=lambda item: (item[1], item[0]))
    return FoundFiles(dict(in_order), files.doubles)


def _one_per_series(slides: dict[Path, str]) -> dict[Path, str]:
    """`slides` with only the first file of each DICOM slide."""
    firsts: dict[Path, str] = {}
    seen: set[tuple[Path, bytes]] = set()
    for path, name in slides.items():
        series = series_of(path) if path.suffix.lower() == ".dcm" else b""
        if series:
            if (path.parent, series) in seen:
                continue
            seen.add((path.parent, series))
        firsts[path] = name
    return firsts


def find_images(folder: Path) -> FoundFiles:
    """Every image tile in `folder`, by the rules of `find_slides`; data sets of this program are left out.

    Raises:
        UserError: the folder cannot be read, or holds no image.
    """
    suffixes = TileReader.suffixes
    data_sets: list[Path] = []
    try:
        if not folder.is_dir():
            raise UserError(f"{folder} is not a folder: give the folder that holds the image tiles")
        listed = [(path, name) for path, name in walk(folder) if path.suffix.lower() in suffixes]
        data_sets = [
            parent
            for parent in sorted({folder / part for _, name in listed for part in name.parents})
            if is_data_set(parent)
        ]
    except OSError as error:
        raise UserError(f"{folder} cannot be read ({reason_of(error)}): give a folder of image tiles") from error
    if not listed:
        raise UserError(f"{folder} holds no image tiles ({', '.join(suffixes)})")
    made = set(data_sets)
    tiles = [(path, name.as_posix()) for path, name in listed if made.isdisjoint(path.parents)]
    if not tiles:
        raise UserError(f"{data_sets[0]} is a data set, its pictures are no tiles: give the folder that it was made of")
    files = _each_once(tiles)
    return FoundFiles(files.names, files.doubles, data_sets)


def real_path(path: Path) -> Path:
    """`path` with every link followed."""
    return Path(os.path.realpath(path))  # unlike `Path.resolve` of Python 3.12, it accepts a loop of links
