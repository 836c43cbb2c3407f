"""The value of `--data`: a folder of data sets, or the embedded data."""

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from datasets_prep.common.errors import UserError, reason_of

_DEMO = Path("datasets/demo")
_NOT_WRITABLE = {
    errno.EACCES,
    errno.EDQUOT,
    errno.EEXIST,
    errno.EFBIG,
    errno.EISDIR,
    errno.ENAMETOOLONG,
    errno.ENOSPC,
    errno.ENOTDIR,
    errno.EPERM,
    errno.EROFS,
}


def data_root(value: str) -> Path:
    """The folder that `--data` names; for `demo` the embedded data, built once below the current folder.

    Raises:
        UserError: the embedded data cannot be written.
    """
    if value != "demo":
        return Path(value)
    from datasets_prep.demo import build_demo

    with write_errors():
        return build_demo(_DEMO)


@contextmanager
def write_errors(*more: int) -> Iterator[None]:
    """Turns the error of a full, missing or write-protected folder into a `UserError`; other errors pass through.

    Args:
        more: numbers of further errors that can only mean the folder.
    """
    try:
        yield
    except OSError as error:
        if error.errno not in _NOT_WRITABLE | set(more):
            raise
        raise UserError(f"cannot write '{error.filename or Path.cwd()}': {reason_of(error)}") from error
