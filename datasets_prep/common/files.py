"""Write a file whole: readers see the old file or the new one, never a part, also after a power cut. And its hash."""

import errno
import glob
import hashlib
import os
import platform
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from datasets_prep.common.errors import UserError

MAP = "of the super-resolved slide beside it"  # in the description of each trust map
COMPUTED = b"MiHATP"  # in the description of each picture and slide that this package computes
_START = 2**20  # bytes, in which the mark of a file of this program is looked for


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Gives a temporary path beside `path`; when the block ends well, the file written there replaces `path`.

    The new file and its folder are synced to the disk. When the block raises, the temporary file is removed and `path`
    is as it was.

    Raises:
        OSError: the file cannot be synced or renamed.
    """
    partial = path.with_name(f".{path.name}.{_host()}-{os.getpid()}.partial")
    try:
        yield partial
        sync(partial)
        partial.replace(path)
        sync(path.parent)
    except BaseException:
        with suppress(OSError):
            partial.unlink(missing_ok=True)
        raise


def remove_partials(path: Path) -> None:
    """Remove what killed processes left of `path`. No other process may be writing it. Raises `OSError`."""
    for stale in path.parent.glob(f".{glob.escape(path.name)}.*.partial"):
        stale.unlink()


def remove_dead_partials(folder: Path) -> None:
    """Remove the temporary files that killed processes of this host left in `folder`. Raises `OSError`.

    Temporary files of running processes stay, and those of other hosts, whose processes cannot be looked up.
    """
    pattern = re.compile(rf"\..*\.{_host()}-(\d{{1,9}})\.partial")
    for entry in list(folder.iterdir()) if folder.is_dir() else []:
        name = pattern.fullmatch(entry.name)
        if name is not None and (int(name[1]) == os.getpid() or not is_running(int(name[1]))):
            entry.unlink(missing_ok=True)


def is_running(process: int) -> bool:
    """Whether a process of this number runs on this host."""
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # the process runs, as another user
        return True
    return True


def _host() -> str:
    """A short name of this host, for names of files."""
    return hashlib.sha256(platform.node().encode()).hexdigest()[:8]


def make_folder(folder: Path) -> None:
    """Make a folder, and those above it, where they are missing. Raises `OSError`; a file in its place is said."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError) as error:
        raise NotADirectoryError(errno.ENOTDIR, "a file has the name of its folder", str(folder)) from error


def write_file(path: Path, data: bytes | memoryview) -> None:
    """Write `data` to `path`, whole or not at all. Raises `OSError` when it cannot be written."""
    with replacing(path) as partial:
        partial.write_bytes(data)


def refuse_foreign(path: Path, *marks: bytes) -> None:
    """Raise `UserError` where something is at `path` that this program did not write, so that nobody replaces it.

    A link is refused too: it would be replaced, and not the file that it leads to.

    Args:
        path: the file that a command would replace.
        marks: the first MiB of each file of this kind has one of them. An empty file may be replaced.
    """
    if os.path.islink(path):
        raise UserError(f"{path} is a link, so it stays: remove it, or give the name of the file that it leads to")
    if not os.path.lexists(path):
        return
    start = _start_of(path)
    if start and not any(mark in start for mark in marks):
        raise UserError(
            f"{path} is no file of this program, so it stays: move it away, or give another name for the output"
        )


def refuse_foreign_results(folder: Path, table: str, mark: bytes, *others: str) -> None:
    """Raise `UserError` where a result in `folder` would replace a file that this program did not write.

    Args:
        folder: of the results.
        table: name of a CSV whose first MiB has `mark`. It is written before `others`, so with it they are its results.
        mark: as above.
        others: names of the results that have no mark of their own.
    """
    refuse_foreign(folder / table, mark)
    if not (folder / table).exists():
        for name in others:
            refuse_foreign(folder / name)


def is_computed(path: Path) -> bool:
    """Whether a picture or slide is an output of `mihatp upscale`, by its description."""
    return COMPUTED in _start_of(path)


def is_map(path: Path) -> bool:
    """Whether a file is a trust map of `mihatp upscale`, by its name and its description."""
    return path.name.endswith((".inconsistency.tif", ".deviation.tif")) and MAP.encode() in _start_of(path)


def _start_of(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(_START)
    except OSError:  # a folder, or a file of someone else
        return b"?"


def sha256_of(path: Path) -> str:
    """SHA-256 of the bytes of a file, in hexadecimal; memory does not depend on its size. Raises `OSError`."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while part := file.read(2**20):
            digest.update(part)
    return digest.hexdigest()


def sync(path: Path) -> None:
    """Wait until a file or folder is on the disk. Raises `OSError` when it cannot be synced."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
