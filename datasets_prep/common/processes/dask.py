"""An executor on a Dask cluster, which finds its scheduler again when it went away for a while."""

import sys
import time
from asyncio import CancelledError as CancelledTask
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError, Executor, Future
from contextlib import contextmanager
from typing import Any, TypeVar, cast

from datasets_prep.common.errors import UserError

CANCELLED = (CancelledError, CancelledTask)  # errors of a task whose scheduler went away

_ATTEMPTS = 2  # to find a scheduler at the start
_PATIENCE = 60.0  # s, to find one that went away

R = TypeVar("R")


class DaskExecutor(Executor):
    """Runs calls on a Dask cluster.

    Args:
        address: of the scheduler (`tcp://host:8786`).

    Raises:
        UserError: Dask is not installed, there is no scheduler, or it has no workers.
    """

    def __init__(self, address: str) -> None:
        try:
            from distributed import Client
        except ImportError as error:
            raise UserError("--scheduler needs Dask: pip install 'mihatp[cluster]'") from error
        self._address = address
        self._make: Callable[..., Any] = Client
        self._has_waited = False
        self._use(self._connected())

    def _use(self, client: Any) -> None:
        self._client = client
        self._executor = client.get_executor(pure=False)

    def _connected(self) -> Any:
        """A client of the scheduler, which may start at the same time as this process. Raises `UserError`."""
        for left in reversed(range(_ATTEMPTS)):
            try:
                return self._make(self._address, timeout=5, set_as_default=False)
            except (OSError, ValueError) as error:
                if not left or isinstance(error, ValueError):
                    raise UserError(f"there is no Dask scheduler at {self._address}: {error}") from error
                time.sleep(1)
        raise AssertionError("_ATTEMPTS is at least 1")

    @property
    def threads(self) -> int:
        """Number of threads of all workers. Raises `UserError` where there are none."""
        threads = sum(cast("dict[str, int]", self._client.nthreads()).values())
        if not threads:
            raise UserError(
                f"the Dask scheduler at {self._address} has no workers: start some with `dask worker {self._address}`"
            )
        return threads

    def submit(self, fn: Callable[..., R], /, *args: Any, **kwargs: Any) -> Future[R]:
        """The future of a call."""
        return self._executor.submit(fn, *args, **kwargs)

    def find_again(self) -> None:
        """Wait once for a scheduler that went away; the caller then submits its unfinished calls again.

        Raises:
            UserError: it does not come back with a worker, or it went away a second time.
        """
        gone = UserError(
            f"the Dask scheduler at {self._address} went away, or has cancelled the tasks: start it again, and run the "
            "same command again to go on"
        )
        if self._has_waited:
            raise gone
        self._has_waited = True
        print(f"note: the Dask scheduler at {self._address} went away: waiting {_PATIENCE:g} s for it", file=sys.stderr)
        self._client.close(timeout=1)
        end = time.monotonic() + _PATIENCE
        while time.monotonic() < end:
            try:
                client = self._make(self._address, timeout=5, set_as_default=False)
                client.wait_for_workers(1, timeout=max(1, end - time.monotonic()))
            except OSError:  # distributed's time-outs are among them
                time.sleep(0.5)
                continue
            self._use(client)
            return
        raise gone

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Close the connection; the cluster goes on."""
        self._client.close(timeout=5)


@contextmanager
def dask_executor(address: str) -> Iterator[tuple[Executor, int]]:
    """Gives an executor on the cluster, and the number of its threads. Raises `UserError` as `DaskExecutor`."""
    executor = DaskExecutor(address)
    try:
        yield executor, executor.threads
    finally:
        executor.shutdown()
