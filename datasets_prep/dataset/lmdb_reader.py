"""BasicSR's LMDB format, read with suspicion: what is wrong with a folder is one line, never a killed process."""

import re
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import cv2
import lmdb
import numpy as np
from numpy.typing import NDArray

from datasets_prep.common.errors import UserError

Size = tuple[int, int]  # height, width in pixels

_META = re.compile(r"(?P<key>[^.]*)\.?\S*\s+\((?P<height>\d+),\s*(?P<width>\d+),\s*\d+\)")
_AGAIN = "copy or make it again"
_MOST_MAPPED = 32 << 20  # bytes


class LmdbReader:
    """What `open_images` gives to read with; memory holds the names and sizes, and one value at a time.

    Attributes:
        path: the folder `NAME.lmdb`.
        sizes: key -> (height, width) as `meta_info.txt` says, in its order.
    """

    def __init__(self, path: Path, sizes: dict[str, Size]) -> None:
        self.path = path
        self.sizes = sizes
        self._env = _open(path, sizes)
        self._mapped = 0

    def close(self) -> None:
        """Close the file."""
        self._env.close()

    @property
    def names(self) -> list[str]:
        """The keys in the order of `meta_info.txt`."""
        return list(self.sizes)

    def __len__(self) -> int:
        return len(self.sizes)

    def __contains__(self, key: object) -> bool:
        return key in self.sizes

    def __iter__(self) -> Iterator[tuple[str, bytes]]:
        """(key, encoded image) in the order of `meta_info.txt`; errors as `get`."""
        for key in self.sizes:
            yield key, self.get(key)

    def get(self, key: str) -> bytes:
        """The encoded image of a key. Raises `UserError` where there is none, or a damaged one."""
        if self._mapped > _MOST_MAPPED:  # what was read stays mapped, and counts as memory of the process
            self.close()
            self._env, self._mapped = _open(self.path, self.sizes), 0
        try:
            with self._env.begin() as transaction:
                value = transaction.get(key.encode())
        except lmdb.Error as error:
            raise UserError(f"{self.path} is damaged: {key} cannot be read ({error}); {_AGAIN}") from error
        if value is None:
            raise UserError(f"{self.path} is damaged: {key} is in meta_info.txt but not in data.mdb; {_AGAIN}")
        self._mapped += len(value)
        return value


def read_meta(folder: Path) -> dict[str, Size]:
    """Key -> (height, width) of the `meta_info.txt` of a BasicSR LMDB, in its order.

    As BasicSR does, a key is what stands before the first dot. Raises `UserError` where the file is missing, empty,
    malformed, or names a key twice.
    """
    meta = folder / "meta_info.txt"
    sizes: dict[str, Size] = {}
    try:
        with meta.open(encoding="utf-8", errors="replace") as lines:
            for number, line in enumerate(lines, 1):
                match = _META.match(line)
                if match is None:
                    raise UserError(f"{meta} line {number} is not 'name.png (height,width,channels) level': {_AGAIN}")
                if match["key"] in sizes:
                    raise UserError(f"{meta} line {number} names {match['key']} a second time: {_AGAIN}")
                sizes[match["key"]] = (int(match["height"]), int(match["width"]))
    except OSError as error:
        raise UserError(f"{meta} cannot be read: {error.strerror or error}; {_AGAIN}") from error
    if not sizes:
        raise UserError(f"{folder} is empty: its meta_info.txt names no image; make it again")
    return sizes


@contextmanager
def open_images(folder: Path) -> Iterator[LmdbReader]:
    """Open a BasicSR LMDB folder (`NAME.lmdb`) to read; nothing is written or locked, so read-only media will do.

    Raises `UserError` for a folder that is missing, no LMDB in BasicSR's layout, empty, cut off, or whose number of
    images is not that of its `meta_info.txt`.
    """
    if folder.suffix != ".lmdb":
        raise UserError(
            f"{folder} does not end in .lmdb, as BasicSR asks of an LMDB: rename it, or name another folder"
        )
    for name in ("data.mdb", "meta_info.txt"):
        if not (folder / name).is_file():
            raise UserError(f"{folder} is no LMDB of images: it has no {name}; name another folder, or make it again")
    reader = LmdbReader(folder, read_meta(folder))
    try:
        yield reader
    finally:
        reader.close()


def _open(folder: Path, sizes: dict[str, Size]) -> lmdb.Environment:
    try:
        env = lmdb.open(str(folder), readonly=True, lock=False, readahead=False)
    except (lmdb.Error, OSError) as error:
        raise UserError(f"{folder} cannot be opened: {error}; {_AGAIN}") from error
    try:
        _refuse_damage(folder, env, sizes)
    except BaseException:
        env.close()
        raise
    return env


def _refuse_damage(folder: Path, env: lmdb.Environment, sizes: dict[str, Size]) -> None:
    # Opening reads the two header pages alone. Any other page that the file lacks is a bus error of the whole process.
    needed = (env.info()["last_pgno"] + 1) * env.stat()["psize"]
    there = (folder / "data.mdb").stat().st_size
    if there < needed:
        raise UserError(f"{folder} is damaged: data.mdb is cut off ({there} of {needed} bytes); {_AGAIN}")
    stored = env.stat()["entries"]
    if stored != len(sizes):
        raise UserError(
            f"{folder} is damaged: data.mdb holds {stored} images, meta_info.txt names {len(sizes)}"
            f"{_first_difference(env, sizes)}; {_AGAIN}"
        )


def _first_difference(env: lmdb.Environment, sizes: dict[str, Size]) -> str:
    try:
        with env.begin() as transaction:
            stored = {key.decode(errors="replace") for key in transaction.cursor().iternext(values=False)}
    except lmdb.Error:
        return ""
    lacking = next((key for key in sizes if key not in stored), None)
    if lacking is not None:
        return f" ({lacking} is not in data.mdb)"
    return f" ({min(stored - sizes.keys())} is not in meta_info.txt)" if stored - sizes.keys() else ""


_PNG = b"\x89PNG\r\n\x1a\n"


def decode_rgb(data: bytes) -> NDArray[np.uint8]:
    """H×W×3 uint8 RGB of an encoded image, as BasicSR decodes it.

    Raises `UserError` (without saying where) for one that is cut off or damaged, a PNG also where OpenCV would hand out
    what is left of it.
    """
    flaw = _png_flaw(data) if data.startswith(_PNG) else ""
    if flaw:
        raise UserError(f"its PNG {flaw}")
    try:
        bgr = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    except cv2.error:  # no bytes at all
        bgr = None
    if bgr is None or bgr.dtype != np.uint8:
        raise UserError("it is no image that OpenCV can decode")
    return cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB).astype(np.uint8, copy=False)


def _png_flaw(data: bytes) -> str:
    """Empty where every chunk up to the last is whole."""
    start = len(_PNG)
    while start + 12 <= len(data):
        end = start + 12 + int.from_bytes(data[start : start + 4], "big")
        if end > len(data):
            break
        if zlib.crc32(data[start + 4 : end - 4]) != int.from_bytes(data[end - 4 : end], "big"):
            return "is damaged"
        if data[start + 4 : start + 8] == b"IEND":
            return ""
        start = end
    return "is cut off"
