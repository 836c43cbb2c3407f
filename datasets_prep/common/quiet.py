"""Loggers that are silent for a while."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def silent_log(name: str) -> Iterator[None]:
    """Within the block, the logger `name` writes nothing."""
    log = logging.getLogger(name)
    silent, log.disabled = log.disabled, True
    try:
        yield
    finally:
        log.disabled = silent
