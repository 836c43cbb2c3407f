"""The thread that loads batches ahead (`prefetch_mode: cpu`): its error ends the training, as without a thread."""

import threading
from collections.abc import Iterator
from contextlib import ExitStack
from queue import Queue
from types import TracebackType
from typing import Any


class PrefetchGenerator:
    """Stands in for BasicSR's `PrefetchGenerator`: the batches of an iterator, which a thread takes from it in advance.

    Args:
        generator: the iterator; its error is raised by `__next__`, after the batches before it.
        num_prefetch_queue: number of batches that wait at most.
    """

    def __init__(self, generator: Iterator[Any], num_prefetch_queue: int) -> None:
        self._queue: Queue[tuple[Any, BaseException | None]] = Queue(num_prefetch_queue)
        self._end: BaseException | None = None
        threading.Thread(target=self._load, args=(generator,), name="prefetch", daemon=True).start()

    def _load(self, generator: Iterator[Any]) -> None:
        with ExitStack() as stack:
            stack.push(self._hand_over)  # without the error, the training would wait for its next batch for ever
            for batch in generator:
                self._queue.put((batch, None))

    def _hand_over(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        self._queue.put((None, error or StopIteration()))
        return True

    def __iter__(self) -> "PrefetchGenerator":
        return self

    def __next__(self) -> Any:
        if self._end is None:
            batch, self._end = self._queue.get()
            if self._end is None:
                return batch
        raise self._end
