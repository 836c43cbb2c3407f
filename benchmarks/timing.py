"""Times of several calls that take turns, A B A B …, and what their medians and pairwise ratios say.

They take turns because a machine is never quiet for long: a busy moment slows all calls of a repeat, and hardly changes
their ratio.
"""

import math
import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import torch
from tqdm import tqdm

Times = dict[str, list[float]]  # seconds of each call, round by round


class Spread(NamedTuple):
    """The middle and the ends of some numbers."""

    median: float
    low: float
    high: float

    def range(self) -> str:
        return f"{self.low:.2f}-{self.high:.2f}"


def spread(numbers: Sequence[float]) -> Spread:
    """Median, least and greatest."""
    return Spread(statistics.median(numbers), min(numbers), max(numbers))


def ratio(reference: Sequence[float], other: Sequence[float]) -> Spread:
    """How many times faster `other` is than `reference`, round by round."""
    return spread([a / b for a, b in zip(reference, other, strict=True)])


def share(whole: Sequence[float], *without: Sequence[float]) -> Spread:
    """What part of `whole` is not in the times `without`, round by round."""
    return spread([(all_of_it - sum(rest)) / all_of_it for all_of_it, *rest in zip(whole, *without, strict=True)])


def seconds(call: Callable[[], object], device: str, loops: int = 1) -> float:
    """Wall seconds of one call, the mean of `loops`; on a GPU from its own events."""
    if device == "cuda":
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        torch.cuda.synchronize()
        start.record()
        for _ in range(loops):
            call()
        end.record()
        end.synchronize()
        return start.elapsed_time(end) / 1e3 / loops
    begin = time.perf_counter()
    for _ in range(loops):
        call()
    return (time.perf_counter() - begin) / loops


def alternate(
    calls: Mapping[str, Callable[[], object]], *, repeats: int, device: str, what: str = "", at_least: float = 0.05
) -> Times:
    """Time all calls in turn, `repeats` rounds after one that warms up.

    Args:
        calls: what is timed, by name.
        repeats: rounds that count.
        device: `cpu` or `cuda`.
        what: for the progress bar.
        at_least: seconds that one measurement lasts; shorter calls are repeated within it.
    """
    loops: dict[str, int] = {}
    times: Times = {name: [] for name in calls}
    with tqdm(total=(repeats + 1) * len(calls), desc=what, leave=False, file=sys.stderr) as bar:
        for turn in range(repeats + 1):
            for name, call in calls.items():
                if turn:
                    times[name].append(seconds(call, device, loops[name]))
                else:
                    took = seconds(call, device)
                    if took < 20 * at_least:  # the first call of all also builds what later ones find
                        took = seconds(call, device)
                    loops[name] = max(1, math.ceil(at_least / took))
                bar.update()
    return times
