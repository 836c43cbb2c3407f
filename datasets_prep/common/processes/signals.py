"""How a command ends after a signal of a batch system: its clean-up runs, and its exit code is that of SIGTERM."""

import os
import signal
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from types import FrameType

STOP_SIGNALS = (signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1)
_SAME_REQUEST = 10  # seconds: batch systems and `timeout` send a signal twice at once


class Stopped(BaseException):
    """A signal asks this process to end; as `KeyboardInterrupt`, no handler of errors catches it.

    Attributes:
        number: of the signal.
    """

    def __init__(self, number: int) -> None:
        super().__init__(f"stopped by {signal.Signals(number).name}")
        self.number = number


def as_sigterm(number: int) -> int:
    """SIGTERM for each of `STOP_SIGNALS`: a batch system may send any of them for it. SIGINT stays what it is."""
    return signal.SIGTERM if number in STOP_SIGNALS else number


@contextmanager
def signals_raised() -> Iterator[None]:
    """Inside the block, SIGTERM, SIGHUP and SIGUSR1 raise `Stopped`. An ignored SIGHUP (nohup) stays ignored.

    The same signal again ends the process at once, unless it comes within ten seconds. Only the main thread can set
    signal handlers; in other threads the block changes nothing.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    since: list[float] = []

    def stop(number: int, _: FrameType | None) -> None:
        if not since:
            since.append(time.monotonic())
            raise Stopped(number)
        if time.monotonic() - since[0] > _SAME_REQUEST:
            end_at_once(number)

    numbers = [number for number in STOP_SIGNALS if signal.getsignal(number) != signal.SIG_IGN]
    with handled(numbers, stop):
        yield


def end_at_once(number: int) -> None:
    """End this process by a signal, without any clean-up."""
    signal.signal(as_sigterm(number), signal.SIG_DFL)
    os.kill(os.getpid(), as_sigterm(number))


@contextmanager
def handled(numbers: Iterable[int], handler: Callable[[int, FrameType | None], object]) -> Iterator[None]:
    """Inside the block these signals call `handler`; afterwards their handlers are those of before."""
    before = {number: signal.signal(number, handler) for number in numbers}
    try:
        yield
    finally:
        for number, earlier in before.items():
            signal.signal(number, earlier)


def ignore_signals() -> None:
    """Let this worker process ignore the signals that its parent acts upon: the parent ends it."""
    for number in (signal.SIGINT, *STOP_SIGNALS):
        signal.signal(number, signal.SIG_IGN)
