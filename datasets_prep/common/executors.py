"""Runs jobs in this process, in worker processes of this machine, or on a Dask cluster, behind one interface."""

import itertools
import multiprocessing
import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Executor, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from typing import Any, TypeVar

from threadpoolctl import threadpool_limits

from datasets_prep.common.errors import UserError
from datasets_prep.common.processes.dask import CANCELLED, DaskExecutor, dask_executor
from datasets_prep.common.processes.open_files import allow_open_files
from datasets_prep.common.processes.signals import ignore_signals

T = TypeVar("T")
R = TypeVar("R")


class _ThisProcess(Executor):
    """Runs each job at once, in this process. An error of the job is raised by `submit` itself."""

    def submit(self, fn: Callable[..., R], /, *args: Any, **kwargs: Any) -> Future[R]:
        future: Future[R] = Future()
        future.set_result(fn(*args, **kwargs))
        return future


def _start_worker(parent: int) -> None:
    """Start of a worker process: one BLAS thread, and a watch that ends the worker when its parent is gone.

    Without the watch, a killed build would leave its workers behind.
    """
    threadpool_limits(1, "blas")
    ignore_signals()

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(0.5)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


@contextmanager
def open_executor(*, workers: int, scheduler: str | None) -> Iterator[tuple[Executor, int]]:
    """Gives an executor, and the number of jobs that should be submitted at the same time.

    Args:
        workers: number of local processes; with 1 the jobs run in this process.
        scheduler: address of a Dask scheduler (`tcp://host:8786`), used instead of local processes. Its workers must
            see the same files.

    Raises:
        UserError: `workers` is below 1, Dask is not installed, no scheduler answers at that address or it has no
            workers, or a worker process died.
    """
    if workers < 1:
        raise UserError(f"--workers {workers}: at least 1 is needed")
    try:
        if scheduler is not None:
            with dask_executor(scheduler) as (executor, threads):
                yield executor, 2 * threads
        elif workers == 1:
            with threadpool_limits(1, "blas"):  # the matrices are small: BLAS threads would only wait for one another
                yield _ThisProcess(), 1
        else:
            allow_open_files(workers, option=f"--workers {workers}")
            context = multiprocessing.get_context("spawn")  # OpenSlide handles and OpenCV threads do not survive a fork
            with ProcessPoolExecutor(workers, context, _start_worker, (os.getpid(),)) as executor:
                try:
                    yield executor, 2 * workers
                except Exception:
                    executor.shutdown(wait=False, cancel_futures=True)
                    raise
                except BaseException:  # Ctrl-C, or a signal: the workers may have hours of work before them
                    for worker in list(executor._processes.values()):
                        worker.kill()
                    executor.shutdown(wait=False, cancel_futures=True)
                    raise
    except BrokenProcessPool as error:
        raise UserError(
            "a worker process died (out of memory?): run the same command again to go on, with fewer --workers"
        ) from error


def run_all(
    executor: Executor, function: Callable[..., R], tasks: Iterable[tuple[T, tuple[Any, ...]]], *, at_once: int
) -> Iterator[tuple[T, R]]:
    """Call `function(*arguments)` for each (label, arguments), and yield (label, result) in the order of completion.

    Args:
        executor: runs the calls, see `open_executor`.
        function: the job.
        tasks: (label, arguments) of each job; taken one by one, when a job can be submitted.
        at_once: at most so many jobs wait or run at a time. This bounds the memory.

    A Dask scheduler that goes away is awaited once, and the unfinished jobs are submitted again: a job may run twice.
    """
    waiting: dict[Future[R], tuple[T, tuple[Any, ...]]] = {}
    rest = iter(tasks)
    while True:
        for label, arguments in itertools.islice(rest, at_once - len(waiting)):
            waiting[executor.submit(function, *arguments)] = label, arguments
        if not waiting:
            return
        done, _ = wait(waiting, return_when=FIRST_COMPLETED)
        for future in done:
            try:
                result = future.result()
            except CANCELLED:
                if not isinstance(executor, DaskExecutor):
                    raise
                executor.find_again()
                rest = itertools.chain(list(waiting.values()), rest)
                waiting.clear()
                break
            label, _ = waiting.pop(future)
            yield label, result
