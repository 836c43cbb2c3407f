"""The images of one side (LR or HR) of a paired data set, as BasicSR will find them: an LMDB folder or plain files."""

import re
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import cv2
import lmdb
import numpy as np
from PIL import Image, UnidentifiedImageError

_META = re.compile(r"(?P<key>[^.]*)\.?\S*\s+\((?P<height>\d+),\s*(?P<width>\d+),\s*\d+\)")
_FILES_MEASURED = 2000  # a header each: a second on a local disk; larger folders are checked by sample


class StoreError(Exception):
    """What is wrong with one side of a data set, without saying which."""


@dataclass(frozen=True)
class ImageStore:
    """Image names in BasicSR's order, and (height, width) in pixels of those that were measured."""

    names: list[str]
    sizes: dict[str, tuple[int, int]]


def read_lmdb(folder: Path) -> ImageStore:
    """Names and sizes by `meta_info.txt`, after the database has been opened and its first image decoded.

    Raises:
        StoreError: no LMDB in BasicSR's layout, empty, cut off, or at odds with its own list.
    """
    if folder.suffix != ".lmdb":
        raise StoreError(f"'{folder}' does not end in .lmdb, as io_backend lmdb asks")
    for name in ("data.mdb", "meta_info.txt"):
        if not (folder / name).is_file():
            raise StoreError(f"'{folder}' is no LMDB of images: it has no {name}")
    sizes: dict[str, tuple[int, int]] = {}
    lines = (folder / "meta_info.txt").read_text(encoding="utf-8", errors="replace").splitlines()
    for number, line in enumerate(lines, 1):
        match = _META.match(line)
        if match is None:
            raise StoreError(f"'{folder}/meta_info.txt' line {number} is not 'name.png (height,width,channels) level'")
        if match["key"] in sizes:
            raise StoreError(f"'{folder}/meta_info.txt' names '{match['key']}' twice")
        sizes[match["key"]] = (int(match["height"]), int(match["width"]))
    if not sizes:
        raise StoreError(f"'{folder}' is empty: its meta_info.txt names no image")
    _open_first(folder, sizes)
    return ImageStore(list(sizes), sizes)


def _open_first(folder: Path, sizes: dict[str, tuple[int, int]]) -> None:
    key, size = next(iter(sizes.items()))
    try:
        with lmdb.open(str(folder), readonly=True, lock=False, readahead=False) as env:
            page, last_page = env.stat()["psize"], env.info()["last_pgno"]
            if (folder / "data.mdb").stat().st_size < (last_page + 1) * page:  # reading on would kill the process
                raise StoreError(f"'{folder}' is damaged: data.mdb is cut off; copy or make it again")
            stored = env.stat()["entries"]
            if stored != len(sizes):
                raise StoreError(f"'{folder}' is damaged: it holds {stored} images, meta_info.txt names {len(sizes)}")
            with env.begin() as transaction:
                value = transaction.get(key.encode())
    except (lmdb.Error, OSError) as error:
        raise StoreError(f"'{folder}' cannot be opened: {error}; copy or make it again") from error
    image = None if value is None else cv2.imdecode(np.frombuffer(value, np.uint8), cv2.IMREAD_COLOR)
    if image is None:
        raise StoreError(f"'{folder}' is damaged: '{key}' is missing or no image; make it again")
    if image.shape[:2] != size:
        raise StoreError(
            f"'{folder}' is damaged: '{key}' is {_text(image.shape[:2])}, meta_info.txt says {_text(size)}"
        )


def read_folder(folder: Path, names: list[str] | None = None) -> ImageStore:
    """Names and sizes of the image files in `folder`: all of them, or those that a meta_info_file names.

    Raises:
        StoreError: no folder, no image, a named file that is missing, a file that is no image.
    """
    if not folder.is_dir():
        raise StoreError(f"'{folder}' is no folder")
    if names is None:
        names = sorted(path.name for path in folder.iterdir() if path.is_file() and not path.name.startswith("."))
    if not names:
        raise StoreError(f"'{folder}' is empty")
    sizes: dict[str, tuple[int, int]] = {}
    for number, name in enumerate(islice(names, _FILES_MEASURED)):
        try:
            with Image.open(folder / name) as image:
                sizes[name] = (image.height, image.width)
                if number == 0:  # one is decoded in full
                    image.load()
        except FileNotFoundError:
            raise StoreError(f"'{folder / name}' is missing") from None
        except (UnidentifiedImageError, OSError, SyntaxError, ValueError) as error:
            shown = str(folder / name).replace("\0", "\\0")
            raise StoreError(f"'{shown}' is no image that can be read") from error
    return ImageStore(names, sizes)


def _text(size: tuple[int, ...]) -> str:
    return f"{size[0]}x{size[1]}"
