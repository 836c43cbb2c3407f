"""Where the work is done: in this process, in processes of this machine, or on a Dask cluster, behind one interface."""

import itertools
import multiprocessing
import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Executor, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from typing import Any, TypeVar, cast

from threadpoolctl import threadpool_limits

from datasets_prep.common.errors import UserError

T = TypeVar("T")
R = TypeVar("R")


class _Here(Executor):
    """Does each task at once, in this process."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except Exception as error:
            future.set_exception(error)
        return future


def _start_worker(parent: int) -> None:
    """A killed build must not leave its workers behind: each looks whether its parent is still there."""
    threadpool_limits(1, "blas")

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(0.5)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


@contextmanager
def open_executor(*, workers: int, scheduler: str | None) -> Iterator[tuple[Executor, int]]:
    """An executor, and how many tasks it should have at once.

    Args:
        workers: local processes; 1 works in this process.
        scheduler: address of a Dask scheduler (`tcp://host:8786`), whose workers see the same files; else None.

    Raises:
        UserError: no workers, no Dask, no scheduler at that address, or a worker that died.
    """
    if workers < 1:
        raise UserError(f"--workers {workers}: at least 1 is needed")
    try:
        if scheduler is not None:
            with _dask(scheduler) as (executor, threads):
                yield executor, 2 * threads
        elif workers == 1:
            with threadpool_limits(1, "blas"):  # matrices are small here, and waiting threads take the time of others
                yield _Here(), 1
        else:
            context = multiprocessing.get_context("spawn")  # OpenSlide handles and OpenCV threads do not survive a fork
            with ProcessPoolExecutor(workers, context, _start_worker, (os.getpid(),)) as executor:
                try:
                    yield executor, 2 * workers
                except BaseException:
                    executor.shutdown(wait=False, cancel_futures=True)
                    raise
    except BrokenProcessPool as error:
        raise UserError(
            "a worker process died (out of memory?): run the same command again to go on, with fewer --workers"
        ) from error


@contextmanager
def _dask(address: str) -> Iterator[tuple[Executor, int]]:
    try:
        from distributed import Client
    except ImportError as error:
        raise UserError("--scheduler needs Dask: pip install 'mihatp[cluster]'") from error
    try:
        client = Client(address, timeout=5, set_as_default=False)
    except (OSError, ValueError) as error:
        raise UserError(f"there is no Dask scheduler at {address}: {error}") from error
    with client:
        threads = sum(cast("dict[str, int]", client.nthreads()).values())
        if not threads:
            raise UserError(f"the Dask scheduler at {address} has no workers: start some with `dask worker {address}`")
        yield client.get_executor(pure=False), threads


def run_all(
    executor: Executor, function: Callable[..., R], tasks: Iterable[tuple[T, tuple[Any, ...]]], *, at_once: int
) -> Iterator[tuple[T, R]]:
    """Call `function(*arguments)` for each (label, arguments); (label, result) in the order in which they are done.

    At most `at_once` tasks wait or run, so that memory does not grow with their number.
    """
    waiting: dict[Future[R], T] = {}
    rest = iter(tasks)
    while True:
        for label, arguments in itertools.islice(rest, at_once - len(waiting)):
            waiting[executor.submit(function, *arguments)] = label
        if not waiting:
            return
        done, _ = wait(waiting, return_when=FIRST_COMPLETED)
        for future in done:
            yield waiting.pop(future), future.result()
