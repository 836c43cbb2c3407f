"""What the given files and folders hold: pictures and slides, told apart by their content."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, TypeAlias

import openslide

from datasets_prep.common.files import is_map
from datasets_prep.common.walk import walk
from datasets_prep.slides.find_slides import find_slides
from datasets_prep.slides.open import slide_suffixes
from datasets_prep.slides.tiff_reader import TiffReader
from mihatp_arch.errors import UserError, reason_of
from mihatp_arch.inference.images import FORMATS, format_of
from mihatp_arch.inference.write_images import SUFFIXES as PICTURE_SUFFIXES

Kind: TypeAlias = Literal["picture", "slide"]

_LARGEST_PICTURE = 2**24  # px; a tiled TIFF of one level that has more is a slide
_SHARED_SUFFIXES = (".tif", ".tiff")  # of slides and of pictures


@dataclass(frozen=True)
class Inputs:
    """What the given files and folders hold.

    Attributes:
        pictures: path of each picture -> its name in the output: of a given file its own, of a file in a given folder
            its path in this folder.
        slides: paths of the slides.
        skipped: number of hidden files in the folders, and of those that are neither pictures nor slides.
            Trust maps of earlier outputs are none.
        notes: lines that the user should read.
    """

    pictures: dict[Path, Path] = field(default_factory=dict)
    slides: list[Path] = field(default_factory=list)
    skipped: int = 0
    notes: list[str] = field(default_factory=list)


def find_inputs(paths: Sequence[Path]) -> Inputs:
    """Find the pictures and slides among files and, at all depths, in folders; links to folders are entered.

    A file in a folder that cannot be read, such as a link that leads nowhere, or whose content is none of these, counts
    by the ending of its name: reading it fails later, and does not stop the others.

    Raises:
        UserError: a path does not exist or cannot be read, a given file is neither a picture nor a slide, the path of a
            slide is not UTF-8, or there are none.
    """
    pictures: dict[Path, Path] = {}
    slides: list[Path] = []
    skipped = 0
    for file, name in _files(paths):
        given = file in paths
        kind = None if not given and (_is_hidden(name) or is_map(file)) else _kind_in_folder(file, given=given)
        if kind == "picture":
            pictures.setdefault(file, name)
        elif kind == "slide":
            slides.append(file)
        elif given:
            raise UserError(f"{file} is no {', '.join(FORMATS)} picture, and no slide that OpenSlide opens")
        else:
            skipped += 1
    if not pictures and not slides:
        raise UserError(f"{', '.join(map(str, paths))} holds no picture ({', '.join(FORMATS)}) and no slide")
    if not slides:
        return Inputs(pictures, [], skipped)
    for slide in slides:
        _refuse_bytes(slide)
    slide_files = find_slides(slides)
    notes = [f"{name} is the same file as {path}: it is upscaled once" for name, path in slide_files.doubles.items()]
    return Inputs(pictures, list(slide_files.names), skipped, notes)


def _kind_in_folder(path: Path, *, given: bool) -> Kind | None:
    """As `kind_of`; a file in a folder that is empty, damaged at its start or not readable counts by its ending.

    A pipe, a socket or a device is nothing: reading it may wait for ever.
    """
    try:
        if path.exists() and not path.is_file():
            return None
    except OSError:  # reading it fails below
        pass
    try:
        kind = kind_of(path)
    except UserError:
        if given:
            raise
        kind = None
    if kind or given:
        return kind
    if path.suffix.lower() in PICTURE_SUFFIXES:
        return "picture"
    return "slide" if path.suffix.lower() in slide_suffixes() else None


def kind_of(path: Path) -> Kind | None:
    """Whether a file is a picture or a slide, by its content; None for anything else.

    A tiled TIFF of unknown origin is a slide where it has several levels or more than 16 million pixels. A file that
    OpenSlide does not open is a slide where its ending is that of slides alone: the slide reader says what is wrong.

    Raises:
        UserError: the file cannot be read.
    """
    try:
        format = format_of(path)
    except (OSError, ValueError) as error:
        raise UserError(f"{path} cannot be read ({reason_of(error)})") from error
    vendor = _vendor(path)
    if vendor in (None, "generic-tiff") and TiffReader.recognises(path):
        return "slide" if TiffReader.is_pyramid(path, largest=_LARGEST_PICTURE) else _left_over(path, format)
    if vendor == "generic-tiff":
        return "slide" if _is_large(path) else "picture"
    if vendor is not None:
        return "slide"
    return _left_over(path, format)


def _left_over(path: Path, format: str | None) -> Kind | None:
    """The kind of a file that no reader of slides takes."""
    if path.suffix.lower() in slide_suffixes() and path.suffix.lower() not in _SHARED_SUFFIXES:
        return "slide"
    return "picture" if format else None


def _vendor(path: Path) -> str | None:
    try:
        return openslide.OpenSlide.detect_format(path)
    except (openslide.OpenSlideError, ValueError):
        return None


def _is_large(path: Path) -> bool:
    try:
        with openslide.OpenSlide(path) as slide:
            width, height = slide.dimensions
            return slide.level_count > 1 or width * height > _LARGEST_PICTURE
    except openslide.OpenSlideError:  # such as 16 bits; the reader of pictures says what is wrong
        return False


def _files(paths: Sequence[Path]) -> Iterator[tuple[Path, Path]]:
    """Each file, and its name in the output."""
    for path in paths:
        try:
            if path.is_dir():
                yield from sorted(walk(path, hidden=True))
            elif path.exists():
                yield path, Path(path.name)
            else:
                raise UserError(f"{str(path)!r} does not exist: give a picture, a slide, or a folder of them")
        except UserError:
            raise
        except (OSError, ValueError) as error:
            raise UserError(f"{str(path)!r} cannot be read ({error})") from error


def _refuse_bytes(slide: Path) -> None:
    try:
        str(slide.absolute()).encode()
    except UnicodeEncodeError:
        raise UserError(f"{str(slide)!r}: the path of a slide must be UTF-8: rename it") from None


def _is_hidden(name: Path) -> bool:
    return any(part.startswith(".") for part in name.parts)
