"""How far long work is: a bar on a terminal; elsewhere, such as in the log of a cluster, a line now and then."""

import sys
import time
from collections.abc import Iterable, Iterator
from typing import Any

from tqdm import tqdm

_PAUSE = 60.0  # s, before the first line, and between two lines
_SHARE = 0.1  # of the time so far, between two lines: a job of ten hours writes about 50 lines


def progress_bar(
    iterable: Iterable[Any] | None = None,
    *,
    desc: str | None = None,
    total: int | None = None,
    initial: int = 0,
    unit: str = "it",
    leave: bool = True,
    position: int | None = None,
    shown: bool = True,
) -> "tqdm[Any]":
    """A progress bar of tqdm on standard error; use it in a `with` statement, or iterate over it.

    Without a terminal, a line is written after each minute, and less often later.

    Args:
        iterable: the items, where the bar counts them itself.
        desc: in front of it.
        total: number of items; None: that of `iterable`, or not known.
        initial: number of items that are finished already.
        unit: name of an item.
        leave: whether the bar stays on the terminal when it is full.
        position: line of the bar among several ones.
        shown: whether anything is written at all.
    """
    if shown and not sys.stderr.isatty():
        return _Lines(iterable, desc=desc, total=total, initial=initial, unit=unit)
    return tqdm(
        iterable,
        desc=desc,
        total=total,
        initial=initial,
        unit=unit,
        leave=leave,
        position=position,
        dynamic_ncols=True,
        disable=not shown,
    )


def begin_at(bar: "tqdm[Any]", done: int) -> None:
    """Count `done` items as finished before: they took none of the time, so the rest is not expected to be as fast."""
    bar.initial = bar.n = bar.last_print_n = done
    bar.refresh()


class _Lines(tqdm):  # pyright: ignore[reportMissingTypeArgument]
    """Lines in place of a bar."""

    def __init__(
        self, iterable: Iterable[Any] | None, *, desc: str | None, total: int | None, initial: int, unit: str
    ) -> None:
        super().__init__(iterable, total=total, initial=initial, disable=True)  # no bar
        self.desc, self.unit, self.initial = desc or "", unit, initial
        self._start = self._last = time.monotonic()

    def __iter__(self) -> Iterator[Any]:
        for item in self.iterable or ():
            yield item
            self.update()

    def update(self, n: float | None = 1) -> None:
        """Count `n` items, and write a line when it is time for one."""
        self.n += n or 0
        now = time.monotonic()
        if now - self._last >= max(_PAUSE, _SHARE * (now - self._start)):
            self._last = now
            print(self._line(now - self._start), file=sys.stderr, flush=True)

    def _line(self, seconds: float) -> str:
        parts = [f"{self.n:g} {self.unit}s" if self.total is None else f"{self.n:g} of {self.total:g} {self.unit}s"]
        parts.append(f"{self.format_interval(seconds)} so far")
        done = self.n - self.initial
        if self.total and done > 0:
            parts.append(f"about {self.format_interval(max(0, self.total - self.n) / done * seconds)} left")
        name = (self.desc or "").strip(" :")
        return f"{name or 'progress'}: {', '.join(parts)}"
