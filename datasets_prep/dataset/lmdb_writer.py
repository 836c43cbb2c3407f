"""Write BasicSR's LMDB format: PNG values under ASCII keys, and a text file that lists them.

A folder `NAME.lmdb` holds `data.mdb`, `lock.mdb` and `meta_info.txt` with one line `KEY.png (h,w,c) 1` per image
(`basicsr.utils.lmdb_util.make_lmdb_from_imgs`); the key is the name without its extension.
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

import lmdb
import numpy as np
from numpy.typing import NDArray

from datasets_prep.common.atomic_folder import atomic_folder
from datasets_prep.common.errors import UserError
from datasets_prep.common.png import COMPRESS_LEVEL, encode_png

_SIGNATURE = {"data.mdb": "", "meta_info.txt": r"[^\s./]+\.png \(\d+,\d+,\d+\) \d+$"}
_FILES = r"data\.mdb|lock\.mdb|meta_info\.txt"
_BATCH = 64  # images per transaction
_FIRST_MAP_SIZE = 16 << 20  # bytes; grows as needed


class LmdbWriter:
    """Writes images into an LMDB that `open_lmdb` has opened; one batch of PNGs is in memory."""

    def __init__(self, path: Path, env: lmdb.Environment, meta: TextIO) -> None:
        self.path = path
        self._env = env
        self._meta = meta
        self._batch: list[tuple[bytes, bytes]] = []
        self._keys: set[str] = set()

    def put(self, key: str, rgb: NDArray[np.uint8]) -> None:
        """Add one image, [H, W, 3] uint8 RGB; for `key` see `put_png`."""
        if rgb.dtype != np.uint8 or rgb.ndim != 3 or rgb.shape[2] != 3:
            raise UserError(f"{self.path}: {key} is {rgb.dtype} {rgb.shape}, not HxWx3 uint8 RGB")
        self.put_png(key, encode_png(rgb), height=rgb.shape[0], width=rgb.shape[1])

    def put_png(self, key: str, png: bytes, *, height: int, width: int) -> None:
        """Add one image that `encode_png` has encoded.

        Args:
            key: a new key: ASCII, 1 to 500 characters, without '.', '/' and white space.
            png: the encoded image.
            height, width: size of the image.

        Raises:
            UserError: the key is not allowed, or exists already.
        """
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
        """Write the pending batch. `put_png` does it when the batch is full, `open_lmdb` at the end of the block."""
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
    """Gives a writer for a new LMDB folder; when the block ends well, the folder appears under its name.

    When the block raises, nothing of it remains. The same images in the same order give the same `data.mdb`.

    Args:
        path: the new folder, `NAME.lmdb`.
        overwrite: whether an existing LMDB may be replaced.

    Raises:
        UserError: `path` exists and may not be replaced, does not end in `.lmdb`, or cannot be written.
    """
    if path.suffix != ".lmdb":
        raise UserError(f"{path}: the name of a BasicSR LMDB must end in .lmdb")
    with atomic_folder(path, overwrite=overwrite, signature=_SIGNATURE, files=_FILES) as partial:
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
    """Write (key, image) pairs, [H, W, 3] uint8 RGB, as one LMDB. Returns their number; raises as `open_lmdb`."""
    count = 0
    with open_lmdb(path, overwrite=overwrite) as writer:
        for key, rgb in images:
            writer.put(key, rgb)
            count += 1
    return count
