"""Where a training stops: after a signal or an image that cannot be read, between two iterations, everything saved.

`signals_noted` notes the signals while the training runs. BasicSR calls `update_learning_rate` first in every
iteration. There the training looks whether a signal came, saves the iteration before, and ends. A validation looks
between its images (`stop_if_requested`). A second signal ends the process at once.
"""

import multiprocessing
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing import resource_tracker
from types import FrameType
from typing import Any

import torch
from basicsr.models.base_model import BaseModel
from basicsr.utils import get_root_logger
from torch import distributed

from datasets_prep.common.processes.signals import STOP_SIGNALS, as_sigterm, end_at_once, handled
from mihatp_arch.errors import UserError
from mihatp_arch.training.data.order import training_start

SIGNALS = (signal.SIGINT, *STOP_SIGNALS)
_MISTAKE = 1000  # a request that is no signal: a mistake in the data
_SAME_REQUEST = 10  # seconds: Slurm sends SIGTERM twice at once, and again to a step whose first task has ended
_requests: list[tuple[int, float]] = []  # signal and time; one list, because a process has one handler for each signal
_mistakes: list[str] = []  # sentences about the data, see note_mistake
_update_learning_rate = BaseModel.update_learning_rate


def update_learning_rate(self: BaseModel, current_iter: int, warmup_iter: int = -1) -> None:
    """BasicSR's, at the start of iteration `current_iter`; after a request to stop, as `stop_if_requested`."""
    stop_if_requested(self, current_iter - 1)
    _update_learning_rate(self, current_iter, warmup_iter)


def note_mistake(reason: str) -> None:
    """Let the training stop before its next iteration, or before the next image of a validation.

    It then saves and raises `UserError` with the sentence `reason`. All processes of a group stop.
    """
    _mistakes.append(reason)


def stop_if_requested(model: Any, iteration: int, *, before_end: Callable[[], None] | None = None) -> None:
    """Save the training after `iteration` and end the process, if a signal came or a mistake was noted.

    All processes of a group must call this equally often.

    Args:
        model: of a training, which is saved, or of a test.
        iteration: the last one that is done; 0 before the first one.
        before_end: called after the training is saved.

    Raises:
        SystemExit: a signal came; the exit code is 130 after SIGINT, and 143 after the others.
        UserError: a mistake in the data was noted, in this process or in another one.
    """
    request = requested_signal()
    if not request:
        return
    saved = model.opt["is_train"] and iteration > 0
    if saved:
        start = training_start.get()
        model.save(0 if start is None else start.after(iteration)[0], iteration)
    if before_end is not None:
        before_end()
    if request != _MISTAKE:
        where = f"after iteration {iteration}; go on with --auto_resume" if saved else "before anything was saved"
        get_root_logger().info(f"Stopped by signal {request} {where}.")
    if distributed.is_initialized():
        distributed.barrier()  # Slurm and torchrun end the processes that still save when the first one has ended
    if request != _MISTAKE:
        raise SystemExit(128 + as_sigterm(request))
    reason = _mistakes[0] if _mistakes else "another process met an image that it cannot read"
    raise UserError(f"{reason}; iteration {iteration} is saved: then go on with --auto_resume" if saved else reason)


@contextmanager
def signals_noted() -> Iterator[None]:
    """Inside the block, the signals `SIGNALS` are noted instead of obeyed. An ignored SIGHUP (nohup) stays ignored.

    Only the main thread can set signal handlers; in other threads the block changes nothing.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    _requests.clear()
    _mistakes.clear()
    ignored = signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
    numbers = [number for number in SIGNALS if number != signal.SIGHUP or not ignored]
    try:
        with handled(numbers, _note):
            yield
    finally:
        _requests.clear()
        _mistakes.clear()


@contextmanager
def signals_blocked() -> Iterator[None]:
    """Processes that are started inside the block never see the signals `SIGNALS`; this one sees them after the block.

    The workers of a loader would otherwise die when a batch system signals all processes of a training, and take the
    training with them.
    """
    if multiprocessing.get_start_method() != "fork":
        resource_tracker.ensure_running()  # its start would let the signals through again
    before = signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _note(number: int, _: FrameType | None) -> None:
    now = time.monotonic()
    if _requests and (number == signal.SIGINT or now - _requests[0][1] > _SAME_REQUEST):
        end_at_once(number)
    _requests.append((number, now))


def requested_signal() -> int:
    """The signal that came, or 0; `_MISTAKE` where a mistake was noted.

    All processes of a group get the same answer, because they must stop at the same iteration.
    """
    request = _MISTAKE if _mistakes else _requests[0][0] if _requests else 0
    if distributed.is_available() and distributed.is_initialized():
        answer = torch.tensor(request)
        distributed.all_reduce(answer, distributed.ReduceOp.MAX)
        request = int(answer)
    return request
