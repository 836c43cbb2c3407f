"""One process at a time: a lock file that names its holder, and that ends with the process however it ends."""

import errno
import fcntl
import json
import os
import platform
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime, timezone
from functools import partial
from pathlib import Path

from datasets_prep.common.errors import UserError
from datasets_prep.common.files import make_folder

_WITHOUT_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP)  # disks on which nothing can be locked


def lock_beside(folder: Path) -> Path:
    """The lock file of a folder. It lies beside the folder, which may be renamed."""
    return folder.with_name(f".{folder.name}.lock")


@contextmanager
def only_process(file: Path, subject: str, *, remedy: str) -> Iterator[None]:
    """Inside the block, this process alone holds the lock `file`, whose folder is made. The file is then removed.

    Processes that are started inside the block do not hold the lock. On a disk without locks nothing is locked.

    Args:
        file: the lock file.
        subject: what the lock is for, as it begins the error.
        remedy: what else the user can do than wait, as it ends the error.

    Raises:
        UserError: another process holds the lock; the error names the process and its machine. Or the file cannot be
            written.
    """
    try:
        make_folder(file.parent)
        descriptor = _take(file)
    except BlockingIOError:
        raise UserError(_in_use(file, subject, remedy)) from None
    except OSError as error:
        raise UserError(f"cannot write '{file}': {error.strerror or error}") from error
    holding = [descriptor]
    os.register_at_fork(after_in_child=partial(_close_all, holding))  # a worker must not hold it when this process dies
    try:
        try:
            os.ftruncate(descriptor, 0)
            os.write(descriptor, json.dumps(_this_process()).encode())
        except OSError as error:
            raise UserError(f"cannot write '{file}': {error.strerror or error}") from error
        yield
    finally:
        with suppress(OSError):
            file.unlink()  # before the lock ends: whoever opened the file looks whether it is still there
        _close_all(holding)


def refuse_held(file: Path, subject: str, *, remedy: str) -> None:
    """Raise `UserError`, as `only_process` does, if another process holds the lock. Nothing is written."""
    try:
        descriptor = os.open(file, os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        return
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise UserError(_in_use(file, subject, remedy)) from None
    except OSError:
        return
    finally:
        os.close(descriptor)


def _take(file: Path) -> int:
    """The locked descriptor of the file. Raises `BlockingIOError` if it is locked, and `OSError`."""
    while True:
        descriptor = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno in _WITHOUT_LOCKS:
                return descriptor
            os.close(descriptor)
            raise
        with suppress(OSError):
            if os.path.samestat(os.fstat(descriptor), os.stat(file)):
                return descriptor
        os.close(descriptor)  # the holder before has removed the file meanwhile


def _close_all(descriptors: list[int]) -> None:
    while descriptors:
        with suppress(OSError):
            os.close(descriptors.pop())


def _this_process() -> dict[str, str | int]:
    since = datetime.now(timezone.utc).isoformat(" ", "seconds")
    return {"host": platform.node(), "pid": os.getpid(), "since": since}


def _in_use(file: Path, subject: str, remedy: str) -> str:
    holder: dict[str, str | int] = {}
    with suppress(OSError, ValueError):
        holder = json.loads(file.read_text(encoding="utf-8"))
    who = f"process {holder['pid']} on {holder['host']} (since {holder['since']})" if holder else "another process"
    return f"{subject} is in use by {who}: wait for it, or {remedy}"
