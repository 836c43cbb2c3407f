"""The work folder of a build: results of finished jobs, so that a killed build resumes where it stopped.

The name of each result is a hash of everything that the result depends on. A build with other options reuses the
results that are still valid and computes the others again. A result of other options can never be taken by mistake.
"""

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import TypeVar

import msgspec

from datasets_prep.common.atomic_folder import clean_up, remove_folder
from datasets_prep.common.errors import UserError, reason_of
from datasets_prep.common.files import make_folder
from datasets_prep.common.processes.lock import lock_beside, only_process

T = TypeVar("T")
VERSION = version("mihatp")  # part of every hash: another version computes all results again


def digest(*depends_on: object) -> str:
    """Name of a result: a hash of the values that it depends on (everything that JSON can hold, dataclasses too)."""
    return hashlib.sha256(msgspec.json.encode(depends_on)).hexdigest()[:32]


def fingerprint(path: Path) -> tuple[str, int, int]:
    """Resolved path, size in bytes and modification time in ns of a file. A changed file gives other values.

    Raises `OSError` when the file cannot be read.
    """
    status = path.stat()
    return os.path.realpath(path), status.st_size, status.st_mtime_ns


def read_result(path: Path, kind: type[T]) -> T | None:
    """Read a msgspec struct from a JSON file; None when the file is missing or damaged."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=kind)
    except (FileNotFoundError, msgspec.DecodeError):
        return None


@contextmanager
def work_folder(output: Path) -> Iterator[Path]:
    """Gives the locked folder `.<name>.work` beside `output`; removed when the block ends well or left no result.

    Raises:
        UserError: another build of the same output is running, or the folder cannot be written.
    """
    folder = output.parent / f".{output.name}.work"
    subject = f"{output} is being built by another process: its work folder"
    with only_process(lock_beside(output), subject, remedy="name another folder"):
        try:
            make_folder(folder)
            clean_up(folder)
            for stale in folder.glob("*.partial"):
                stale.unlink()
            yield folder
            remove_folder(folder)
        except UserError as error:
            if not any(folder.glob("*.json")):
                remove_folder(folder)
                raise
            raise UserError(f"{error} (finished work is in {folder}: the same command resumes there)") from error
        except OSError as error:
            raise UserError(
                f"cannot write {error.filename or output}: {reason_of(error)}; free space or name another "
                f"folder (finished work is in {folder}: the same command resumes there)"
            ) from error
