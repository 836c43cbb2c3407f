"""The folder in which a build keeps what it has done, so that a killed one goes on where it stopped.

Results are filed under a hash of all that they depend on. A build with other options finds what is still the same and
makes the rest anew; nothing that was made for other options can slip in.
"""

import hashlib
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import TypeVar

import msgspec
from filelock import FileLock, Timeout

from datasets_prep.common.errors import UserError

T = TypeVar("T")
VERSION = version("mihatp")  # results of another one are made anew


def digest(*depends_on: object) -> str:
    """A name for a result: a hash of what it depends on (anything that JSON can hold, dataclasses too)."""
    return hashlib.sha256(msgspec.json.encode(depends_on)).hexdigest()[:32]


def fingerprint(path: Path) -> tuple[str, int, int]:
    """What tells a file from a changed one: its resolved path, size in bytes and modification time in ns."""
    status = path.stat()
    return os.path.realpath(path), status.st_size, status.st_mtime_ns


def read_result(path: Path, kind: type[T]) -> T | None:
    """The msgspec struct in a JSON file; None where there is none, or what a damaged disk left of it."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=kind)
    except (FileNotFoundError, msgspec.DecodeError):
        return None


@contextmanager
def work_folder(output: Path) -> Iterator[Path]:
    """The folder `.<name>.work` beside `output`, locked; it goes when the block ends well, or has nothing to keep.

    Raises `UserError` where another build of the same output is running, or nothing can be written there.
    """
    folder = output.parent / f".{output.name}.work"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with FileLock(folder / "lock", timeout=0):
            for stale in folder.glob("*.partial"):
                stale.unlink()
            yield folder
        shutil.rmtree(folder, ignore_errors=True)
    except UserError as error:
        if not any(folder.glob("*.json")):
            shutil.rmtree(folder, ignore_errors=True)
            raise
        raise UserError(f"{error} (what is done so far is kept in {folder})") from error
    except Timeout:
        raise UserError(f"{output} is being built by another process: wait for it, or name another folder") from None
    except OSError as error:
        raise UserError(
            f"cannot write {error.filename or output}: {error.strerror or error}; free space or name another folder "
            f"(what is done so far is kept in {folder})"
        ) from error
