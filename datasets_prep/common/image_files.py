"""What every reader of image files must check beside Pillow: the size, the bits, the pages and the orientation."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from PIL import Image

from datasets_prep.common.errors import UserError

LARGEST = 2**30  # px; a larger image does not fit into memory after upscaling, and OpenCV (thus BasicSR) refuses it
ORIENTATION = 274  # EXIF tag
TURNED = (5, 6, 7, 8)  # orientations that exchange width and height
_BITS, _SUBFILE_TYPE, _WIDTH, _HEIGHT = 258, 254, 256, 257  # TIFF tags
_REDUCED = 1  # flag of a page that is a reduced copy


@contextmanager
def quiet_and_unlimited() -> Iterator[None]:
    """Pillow without its own limit of the size (`LARGEST` is ours), and without warnings of odd metadata."""
    limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        Image.MAX_IMAGE_PIXELS = limit


def refuse_cut_bits(path: Path, image: Image.Image) -> None:
    """Raise `UserError` for 16 bits per channel, which Pillow and OpenCV reduce to 8 without a word.

    Args:
        path: the file.
        image: the same file, opened by Pillow.
    """
    bits = 8
    if image.format == "PNG":
        with path.open("rb") as file:
            bits = file.read(26)[24]
    elif image.format == "TIFF":
        stored = getattr(image, "tag_v2", {}).get(_BITS, 8)
        bits = max(stored) if isinstance(stored, tuple) else int(stored)
    if bits > 8 or image.mode.startswith(("I", "F")):
        bits = "float pixels" if image.mode.startswith("F") else f"{max(bits, 16)} bits per channel"
        raise UserError(f"{path} has {bits}: 8 are needed, convert it as you want them rounded")


def refuse_other_pages(path: Path, image: Image.Image) -> None:
    """Raise `UserError` for several pages or frames, unless the others are marked as reduced copies of the first."""
    full = 1
    for page in range(1, getattr(image, "n_frames", 1)):
        image.seek(page)
        full += not getattr(image, "tag_v2", {}).get(_SUBFILE_TYPE, 0) & _REDUCED
    image.seek(0)
    if full > 1:
        raise UserError(f"{path} has {full} pages or frames: save the one to be used as a file of its own")


def upright_size(image: Image.Image) -> tuple[int, int]:
    """(width, height) as BasicSR sees it: OpenCV turns an image as its EXIF orientation says."""
    tags = getattr(image, "tag_v2", {})  # the size of a TIFF may be that of the turned image already
    width, height = int(tags.get(_WIDTH, image.width)), int(tags.get(_HEIGHT, image.height))
    return (height, width) if image.getexif().get(ORIENTATION) in TURNED else (width, height)
