"""Read BasicSR's LMDB format. A damaged folder gives one clear error; it never kills the process."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import lmdb

from datasets_prep.common.errors import UserError, reason_of

Size = tuple[int, int]  # height, width in pixels

_META = re.compile(r"(?P<key>[^.]*)\.?\S*\s+\((?P<height>\d+),\s*(?P<width>\d+),\s*\d+\)")
_AGAIN = "copy or make it again"
_MOST_MAPPED = 32 << 20  # bytes, read since the file was opened


class LmdbReader:
    """Reads images from an LMDB that `open_images` has opened; keys, sizes and one value are in memory.

    Attributes:
        path: the folder `NAME.lmdb`.
        sizes: key -> (height, width), from `meta_info.txt` and in its order.
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
        """(key, encoded image) in the order of `meta_info.txt`; raises as `get` does."""
        for key in self.sizes:
            yield key, self.get(key)

    def get(self, key: str) -> bytes:
        """The encoded image of a key. Raises `UserError` when the key is missing or the file is damaged."""
        if self._mapped > _MOST_MAPPED:  # pages that were read stay mapped and count as memory of the process
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
    """Key -> (height, width), read from the `meta_info.txt` of a BasicSR LMDB and in its order.

    As in BasicSR, the key is the text before the first dot.

    Raises:
        UserError: the file is missing, empty or malformed, or it names a key twice.
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
        raise UserError(f"{meta} cannot be read: {reason_of(error)}; {_AGAIN}") from error
    if not sizes:
        raise UserError(f"{folder} is empty: its meta_info.txt names no image; make it again")
    return sizes


@contextmanager
def open_images(folder: Path) -> Iterator[LmdbReader]:
    """Open a BasicSR LMDB folder (`NAME.lmdb`) for reading; nothing is written or locked, so read-only media work too.

    Raises:
        UserError: the folder is missing, is no LMDB in BasicSR's layout, is empty or cut off, or its number of images
            differs from that of its `meta_info.txt`.
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
    # LMDB reads only the two header pages when it opens a file. Access to a later page that is missing is a bus error,
    # which kills the process.
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
