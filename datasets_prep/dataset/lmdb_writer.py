"""BasicSR's LMDB format: PNG values under ASCII keys, and a text file that lists them.

A folder `NAME.lmdb` holds `data.mdb`, `lock.mdb` and `meta_info.txt` with one line `KEY.png (h,w,c) 1` per image
(`basicsr.utils.lmdb_util.make_lmdb_from_imgs`); the key is the name without its extension.
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

import cv2
import lmdb
import numpy as np
from numpy.typing import NDArray

from datasets_prep.common.atomic_folder import atomic_folder
from datasets_prep.common.errors import UserError

COMPRESS_LEVEL = 1  # BasicSR's default: decoding speed matters more than the last per cent of size
_MARKS = {"data.mdb": "", "meta_info.txt": r"[^\s./]+\.png \(\d+,\d+,\d+\) \d+$"}
_BATCH = 64  # images per transaction
_FIRST_MAP_SIZE = 16 << 20  # grown as needed


def encode_png(rgb: NDArray[np.uint8]) -> bytes:
    """H×W×3 uint8 RGB to PNG bytes, as `cv2.imdecode` (and so BasicSR, which expects BGR from it) reads them."""
    # Run lengths alone are a fifth faster than zlib's default search at this level, and on tissue smaller as well.
    options = [cv2.IMWRITE_PNG_COMPRESSION, COMPRESS_LEVEL, cv2.IMWRITE_PNG_STRATEGY, cv2.IMWRITE_PNG_STRATEGY_RLE]
    done, png = cv2.imencode(".png", rgb[..., ::-1], options)
    if not done:
        raise UserError(f"an image of shape {rgb.shape} could not be encoded as PNG")
    return png.tobytes()


class LmdbWriter:
    """What `open_lmdb` gives to write with; memory holds one batch of PNGs."""

    def __init__(self, path: Path, env: lmdb.Environment, meta: TextIO) -> None:
        self.path = path
        self._env = env
        self._meta = meta
        self._batch: list[tuple[bytes, bytes]] = []
        self._keys: set[str] = set()

    def put(self, key: str, rgb: NDArray[np.uint8]) -> None:
        """Add one H×W×3 uint8 RGB image; `key` as in `put_png`."""
        if rgb.dtype != np.uint8 or rgb.ndim != 3 or rgb.shape[2] != 3:
            raise UserError(f"{self.path}: {key} is {rgb.dtype} {rgb.shape}, not HxWx3 uint8 RGB")
        self.put_png(key, encode_png(rgb), height=rgb.shape[0], width=rgb.shape[1])

    def put_png(self, key: str, png: bytes, *, height: int, width: int) -> None:
        """Add one image from `encode_png`; `key` is new, ASCII, without '.', '/' or white space, at most 500 long."""
        if not key.isascii() or not 0 < len(key) <= 500 or any(c in "./" or c.isspace() for c in key):
            raise UserError(f"{self.path}: the key {key!r} must be ASCII without '.', '/' or white space")
        if key in self._keys:
            raise UserError(f"{self.path}: the key {key} is there twice")
        self._keys.add(key)
        self._meta.write(f"{key}.png ({height},{width},3) {COMPRESS_LEVEL}\n")
        self._batch.append((key.encode("ascii"), png))
        if len(self._batch) >= _BATCH:
            self.commit()

    def commit(self) -> None:
        """Write the batch that waits; `put` and the end of the block do it by themselves."""
        while self._batch:
            try:
                with self._env.begin(write=True) as transaction:
                    for key, value in self._batch:
                        transaction.put(key, value)
            except lmdb.MapFullError:
                needed = sum(len(value) for _, value in self._batch)
                self._env.set_mapsize(2 * (self._env.info()["map_size"] + needed))
            else:
                self._batch.clear()


@contextmanager
def open_lmdb(path: Path, *, overwrite: bool = False) -> Iterator[LmdbWriter]:
    """A new LMDB folder `path` (`NAME.lmdb`) to `put` images into.

    It is written aside, synced and renamed when the block ends; if the block fails nothing of it remains. The map grows
    with the data. The same images in the same order give the same `data.mdb`. Raises `UserError` if `path` is there
    (unless `overwrite`, and it is an LMDB), does not end in `.lmdb`, or cannot be written.
    """
    if path.suffix != ".lmdb":
        raise UserError(f"{path}: the name of a BasicSR LMDB must end in .lmdb")
    with atomic_folder(path, overwrite=overwrite, marks=_MARKS) as partial:
        try:
            with (
                lmdb.open(str(partial), map_size=_FIRST_MAP_SIZE, sync=False) as env,
                (partial / "meta_info.txt").open("w", encoding="ascii", newline="\n") as meta,
            ):
                writer = LmdbWriter(path, env, meta)
                yield writer
                writer.commit()
                env.sync(True)
        except lmdb.Error as error:
            raise UserError(f"cannot write {path}: {error}; free space or name another folder") from error


def write_lmdb(path: Path, images: Iterable[tuple[str, NDArray[np.uint8]]], *, overwrite: bool = False) -> int:
    """Write (key, H×W×3 uint8 RGB) pairs as one BasicSR LMDB and return how many; errors as `open_lmdb`."""
    count = 0
    with open_lmdb(path, overwrite=overwrite) as writer:
        for key, rgb in images:
            writer.put(key, rgb)
            count += 1
    return count
