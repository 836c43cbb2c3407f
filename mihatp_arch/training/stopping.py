"""SIGTERM and SIGINT end a training after the iteration that runs; a second request ends it at once.

A process has one disposition for each signal, so what was asked of it is kept here once for the process.
"""

import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

import torch
from torch import distributed

_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_ONE_REQUEST = 10  # seconds: Slurm sends SIGTERM twice at once, and again to a step whose first task has ended
_asked: list[tuple[int, float]] = []  # the signals that came, and when


def _note(number: int, _: FrameType | None) -> None:
    now = time.monotonic()
    if _asked and (number == signal.SIGINT or now - _asked[0][1] > _ONE_REQUEST):
        signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)
    _asked.append((number, now))


@contextmanager
def signals_noted() -> Iterator[None]:
    """Inside the block the two signals are noted instead of obeyed; only the main thread can do that."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    _asked.clear()
    before = {number: signal.signal(number, _note) for number in _SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        _asked.clear()


def stop_asked() -> int:
    """The signal that came, or 0; the same answer in all processes of a group, who must stop at the same iteration."""
    asked = _asked[0][0] if _asked else 0
    if distributed.is_available() and distributed.is_initialized():
        answer = torch.tensor(asked)
        distributed.all_reduce(answer, distributed.ReduceOp.MAX)
        asked = int(answer)
    return asked
