"""Where a training stops: after SIGTERM or SIGINT, between two iterations, with everything saved.

`signals_noted` notes the signals while the training runs. BasicSR calls `update_learning_rate` first in every
iteration. There the training looks whether a signal came, saves the iteration before, and ends.
A second signal ends the process at once.
"""

import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

import torch
from basicsr.models.base_model import BaseModel
from basicsr.utils import get_root_logger
from torch import distributed

from mihatp_arch.training.data_order import training_start

_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_SAME_REQUEST = 10  # seconds: Slurm sends SIGTERM twice at once, and again to a step whose first task has ended
_requests: list[tuple[int, float]] = []  # signal and time; one list, because a process has one handler for each signal
_update_learning_rate = BaseModel.update_learning_rate


def update_learning_rate(self: BaseModel, current_iter: int, warmup_iter: int = -1) -> None:
    """BasicSR's, at the start of iteration `current_iter`. After a signal it saves iteration `current_iter` - 1 first.

    Raises:
        SystemExit: a signal came; the exit code is 128 plus the number of the signal.
    """
    request = requested_signal()
    if request:
        _stop(self, request, current_iter - 1)
    _update_learning_rate(self, current_iter, warmup_iter)


def _stop(model: BaseModel, request: int, iteration: int) -> None:
    """Save the model after `iteration`, if there was one, and end the process."""
    start = training_start.get()
    if iteration > 0:
        model.save(0 if start is None else start.after(iteration)[0], iteration)
        get_root_logger().info(f"Stopped by signal {request} after iteration {iteration}; go on with --auto_resume.")
    if distributed.is_initialized():
        distributed.barrier()  # Slurm and torchrun end the processes that still save when the first one has ended
    raise SystemExit(128 + request)


@contextmanager
def signals_noted() -> Iterator[None]:
    """Inside the block, SIGINT and SIGTERM are noted instead of obeyed.

    Only the main thread can set signal handlers; in other threads the block changes nothing.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    _requests.clear()
    before = {number: signal.signal(number, _note) for number in _SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        _requests.clear()


def _note(number: int, _: FrameType | None) -> None:
    now = time.monotonic()
    if _requests and (number == signal.SIGINT or now - _requests[0][1] > _SAME_REQUEST):
        signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)
    _requests.append((number, now))


def requested_signal() -> int:
    """The signal that came, or 0.

    All processes of a group get the same answer, because they must stop at the same iteration.
    """
    request = _requests[0][0] if _requests else 0
    if distributed.is_available() and distributed.is_initialized():
        answer = torch.tensor(request)
        distributed.all_reduce(answer, distributed.ReduceOp.MAX)
        request = int(answer)
    return request
