"""The death of a loader's worker, by the kernel for want of memory for example: one line, and nobody waits for ever."""

import multiprocessing
import signal
import threading
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from torch.utils.data._utils.signal_handling import _error_if_any_worker_fails

from mihatp_arch.errors import UserError

_MESSAGE = "DataLoader worker"  # how the errors of torch about dead workers begin
_SECONDS = 1.0  # until the system says that the process behind a broken connection has died


@contextmanager
def worker_deaths_named() -> Iterator[None]:
    """Inside the block, an error because of a dead worker becomes a `UserError`, and the other workers are killed.

    A dead worker may hold the lock of the queue that all workers write to. They would wait for it, and the end of this
    process for them. What the training computed since its last state is lost: the error may come in mid-iteration.
    """
    try:
        yield
    except (RuntimeError, OSError, EOFError) as error:
        reason = str(error) if str(error).startswith(_MESSAGE) else ""
        if not reason and not isinstance(error, RuntimeError):
            reason = _death() or _broken_connection(error)
        if not reason:
            raise
        _kill_workers()
        raise UserError(
            f"{' '.join(reason.split()).rstrip('.')} (out of memory?): the states that were saved are whole, go on "
            "with --auto_resume; a lower datasets.train.num_worker_per_gpu takes less memory"
        ) from error


def _death() -> str:
    """torch's sentence about a dead worker; empty where none has died."""
    try:
        time.sleep(_SECONDS)
        _error_if_any_worker_fails()
    except RuntimeError as error:  # also that of torch's handler of SIGCHLD
        return str(error)
    return ""


def _broken_connection(error: BaseException) -> str:
    """A sentence where the loader itself met the error, while it took a batch from a worker; else empty.

    The system may have said of the death to somebody else already, such as `Process.is_alive`.
    """
    met = any(frame.f_code.co_name == "_try_get_data" for frame, _ in traceback.walk_tb(error.__traceback__))
    return f"{_MESSAGE} (pid not known) has broken its connection: {error}" if met else ""


def _kill_workers() -> None:
    in_main = threading.current_thread() is threading.main_thread()
    handler = signal.getsignal(signal.SIGCHLD)
    while in_main and signal.getsignal(signal.SIGCHLD) != signal.SIG_DFL:
        with suppress(RuntimeError):  # of torch's handler, at every death
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    for worker in multiprocessing.active_children():
        worker.kill()
        worker.join()
    if in_main:
        signal.signal(signal.SIGCHLD, handler)
