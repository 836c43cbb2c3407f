"""Which reader opens which file: the ONE list of slide readers."""

import os
from pathlib import Path
from typing import Literal, TypeAlias

from datasets_prep.slides.openslide import OpenSlideReader
from datasets_prep.slides.protocol import SlideReader
from datasets_prep.slides.tiff_reader import TiffReader
from datasets_prep.slides.tiles import TileReader

Kind: TypeAlias = Literal["slide", "tile"]

# The first reader that recognises a file opens it. OpenSlide recognises every file, so it stays last.
SLIDE_READERS: tuple[type[SlideReader], ...] = (TiffReader, OpenSlideReader)

_OF_SEVERAL_FILES = (".mrxs", ".vms", ".vmu", ".dcm")


def slide_suffixes() -> tuple[str, ...]:
    """Endings of the files that are slides, of all readers."""
    return tuple(dict.fromkeys(suffix for reader in SLIDE_READERS for suffix in reader.suffixes))


def open_slide(path: Path, *, assume_mpp: float | None = None) -> SlideReader:
    """Open a slide with the first reader that recognises it.

    Args:
        path: the slide.
        assume_mpp: µm per pixel, used only where the slide states none or an absurd one.

    Raises:
        UserError: the file is missing, damaged or no slide; its resolution is unknown or absurd, or its pixels are not
            square.
    """
    path = _beside_companions(path)
    reader = next(reader for reader in SLIDE_READERS if reader.recognises(path))
    return reader(path, assume_mpp=assume_mpp)


def open_for_reading(path: Path, *, assume_mpp: float | None) -> SlideReader:
    """Open a slide whose damaged tiles fail one by one, when they are read. Raises `UserError`."""
    slide = open_slide(path, assume_mpp=assume_mpp)
    if isinstance(slide, OpenSlideReader):
        slide.tolerates_damage = True
    return slide


def _beside_companions(path: Path) -> Path:
    """`path`, or the target of this link where a format of several files has its other files beside the target."""
    if path.suffix.lower() not in _OF_SEVERAL_FILES or not path.is_symlink():
        return path
    target = Path(os.path.realpath(path))
    if path.suffix.lower() == ".mrxs":
        has_companions = path.with_suffix("").is_dir()
    else:
        has_companions = len(os.listdir(path.parent)) > 1
    return path if has_companions or target.suffix.lower() != path.suffix.lower() else target


def open_source(path: Path, kind: Kind, *, assume_mpp: float | None = None) -> SlideReader:
    """Open a slide (`open_slide`) or an image tile. Raises `UserError` when it cannot be opened."""
    return open_slide(path, assume_mpp=assume_mpp) if kind == "slide" else TileReader(path, assume_mpp=assume_mpp)
