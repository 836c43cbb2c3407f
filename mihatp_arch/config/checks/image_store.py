"""The images of one side (LR or HR) of a paired data set, as BasicSR reads them: an LMDB folder or image files."""

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from PIL import Image, UnidentifiedImageError

from datasets_prep.common.errors import UserError
from datasets_prep.common.image_files import quiet_and_unlimited, refuse_cut_bits, upright_size
from datasets_prep.common.png import decode_rgb
from datasets_prep.dataset.lmdb_reader import open_images
from mihatp_arch.training.data.meta_info import read_names

_DECODED_AT_ONCE = 64  # images in memory
_FILES_MEASURED = 2000  # one header each, about a second on a local disk; of a larger folder only these are measured


class StoreError(Exception):
    """A mistake in one side of a data set; the caller adds which side."""


@dataclass(frozen=True)
class ImageStore:
    """Image names in the order of BasicSR, and (height, width) in pixels of the measured images."""

    names: list[str]
    sizes: dict[str, tuple[int, int]]


def read_lmdb(folder: Path, *, full: bool = False) -> ImageStore:
    """Names and sizes by `meta_info.txt`, after the database has been opened and its first image decoded.

    With `full`, all images are decoded.

    Raises:
        StoreError: no LMDB in BasicSR's layout, empty, cut off, or at odds with its own list.
    """
    try:
        with open_images(folder) as reader:
            key, size = next(iter(reader.sizes.items()))
            data = reader.get(key)
            sizes = _decode_all(folder, reader.names, reader.get) if full else {}
    except UserError as error:
        raise StoreError(str(error)) from error
    try:
        decoded = decode_rgb(data).shape[:2]
    except UserError as error:
        raise StoreError(f"{folder} is damaged: {key}: {error}; make it again") from error
    if decoded != size:
        raise StoreError(f"{folder} is damaged: {key} is {_text(decoded)}, meta_info.txt says {_text(size)}")
    other = next((name for name, decoded in sizes.items() if decoded != reader.sizes[name]), None)
    if other is not None:
        raise StoreError(
            f"{folder} is damaged: {other} is {_text(sizes[other])}, meta_info.txt says {_text(reader.sizes[other])}"
        )
    return ImageStore(reader.names, reader.sizes)


def read_folder(folder: Path, names: list[str] | None = None, *, full: bool = False) -> ImageStore:
    """Names and sizes of the image files in `folder`: all of them, or those that a meta_info_file names.

    With `full`, all images are decoded, and all sizes are known.

    Raises:
        StoreError: no folder, no image, a named file that is missing, a file that is no image.
    """
    if not folder.is_dir():
        raise StoreError(f"'{folder}' is no folder")
    why = "" if names is None else ", but the meta_info_file names it"
    if names is None:
        names = sorted(path.name for path in folder.iterdir() if path.is_file() and not path.name.startswith("."))
    if not names:
        raise StoreError(f"'{folder}' is empty")
    sizes: dict[str, tuple[int, int]] = {}
    for number, name in enumerate(islice(names, None if full else _FILES_MEASURED)):
        try:
            with quiet_and_unlimited(), Image.open(folder / name) as image:
                refuse_cut_bits(folder / name, image)
                width, height = upright_size(image)
                sizes[name] = (height, width)
                if number == 0:  # the first image is decoded completely
                    image.load()
        except FileNotFoundError:
            raise StoreError(f"'{folder / name}' is missing{why}") from None
        except UserError as error:
            raise StoreError(str(error)) from error
        except (UnidentifiedImageError, OSError, SyntaxError, ValueError) as error:
            shown = str(folder / name).replace("\0", "\\0")
            raise StoreError(f"'{shown}' is no image that can be read") from error
    if full:
        sizes = _decode_all(folder, names, lambda name: (folder / name).read_bytes())
    return ImageStore(names, sizes)


def _decode_all(folder: Path, names: Sequence[str], read: Callable[[str], bytes]) -> dict[str, tuple[int, int]]:
    """(height, width) of every image, decoded by all cores. Raises `StoreError`, which names those that are damaged."""
    sizes: dict[str, tuple[int, int]] = {}
    flaws: dict[str, str] = {}
    with ThreadPoolExecutor(os.cpu_count()) as threads:
        for portion in _portions(names):
            for name, size in zip(
                portion, threads.map(_size_of, [_bytes_of(name, read) for name in portion]), strict=True
            ):
                if isinstance(size, str):
                    flaws[name] = size
                else:
                    sizes[name] = size
    if flaws:
        first, *others = flaws
        more = f", and so are {len(others)} more: {', '.join(others[:20])}" if others else ""
        raise StoreError(f"'{first}' in '{folder}' is damaged ({flaws[first]}){more}; replace or leave out")
    return sizes


def _portions(names: Sequence[str]) -> Iterator[Sequence[str]]:
    return (names[start : start + _DECODED_AT_ONCE] for start in range(0, len(names), _DECODED_AT_ONCE))


def _bytes_of(name: str, read: Callable[[str], bytes]) -> bytes | str:
    """The encoded image, or why it cannot be read."""
    try:
        return read(name)
    except OSError as error:
        return error.strerror or str(error)
    except (UserError, ValueError) as error:
        return str(error)


def _size_of(data: bytes | str) -> tuple[int, int] | str:
    """(height, width) of an encoded image, or why there is none."""
    if isinstance(data, str):
        return data
    try:
        height, width = decode_rgb(data).shape[:2]
    except UserError as error:
        return str(error)
    return height, width


def names_as_basicsr_reads_them(file: str | None) -> list[str] | None:
    """The names in the meta_info_file of a SingleImageDataset, which takes each line as it is; None for None.

    Raises:
        StoreError: a line is blank, or begins with a space.
        UserError: the file cannot be read.
    """
    if file is None:
        return None
    names = read_names(file)
    with open(file, encoding="utf-8") as lines:
        if [line.rstrip().split(" ")[0] for line in lines] != names:
            raise StoreError(f"the meta_info_file '{file}' has blank lines, or spaces before a name: remove them")
    return names


def renamed(template: str, name: str) -> str:
    """The name of the LR image of the HR image `name`. Raises `StoreError` where `filename_tmpl` is no template."""
    file = Path(name)
    try:
        return template.format(file.stem) + file.suffix
    except (AttributeError, LookupError, ValueError) as error:
        raise StoreError(f"filename_tmpl {template!r} cannot be filled in: one {{}} stands for the name") from error


def _text(size: tuple[int, ...]) -> str:
    return f"{size[0]}x{size[1]}"
