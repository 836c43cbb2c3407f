"""Messages of libraries: loggers that are silent for a while, and what C code writes on stderr."""

import logging
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from tempfile import TemporaryFile

_STDERR = 2


@contextmanager
def silent_log(name: str) -> Iterator[None]:
    """Within the block, the logger `name` writes nothing."""
    log = logging.getLogger(name)
    silent, log.disabled = log.disabled, True
    try:
        yield
    finally:
        log.disabled = silent


@contextmanager
def captured_stderr() -> Iterator[Callable[[], str]]:
    """Within the block, nothing that this process writes on stderr is shown, not even by C code.

    The value is a function that gives the text since its last call. What it never gave is written on stderr at the end.

    Raises:
        OSError: stderr is closed.
    """
    with TemporaryFile() as file:
        shown, start = os.dup(_STDERR), 0

        def new() -> str:
            nonlocal start
            data = os.pread(file.fileno(), os.fstat(file.fileno()).st_size - start, start)
            start += len(data)
            return data.decode(errors="replace")

        os.dup2(file.fileno(), _STDERR)
        try:
            yield new
        finally:
            os.dup2(shown, _STDERR)
            os.close(shown)
            os.write(_STDERR, new().encode())
