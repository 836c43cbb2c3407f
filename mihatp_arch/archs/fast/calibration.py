"""Which of several ways a layer takes on a CPU: they compute the same, and differ in time and in the last bits.

Training, validation and `basicsr test` take the fixed way, so that a run has the same bits on each start. Inference
runs inside `calibrated`: the first call of a layer with new shapes measures the ways, which takes milliseconds, and the
fastest serves all later calls. Choices are stored (choice_file.py), so that the same command gives the same bits again.
Where they cannot be stored, the fixed way is taken.
"""

import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path

import torch

from mihatp_arch.archs.fast.choice_file import add_choice, default_file, machine_key, read_choices
from mihatp_arch.archs.fast.fast_setting import fast_setting

_ROUNDS = 15
_SECONDS = 0.2  # for one measurement; at least one round is measured
_GAIN = 0.95  # another way must need less than this part of the fixed way's time


class Calibration:
    """The choices of this machine.

    Args:
        file: where they are stored; by default in the user's cache folder.
    """

    def __init__(self, file: Path | None = None) -> None:
        self._file = file or default_file()
        self._machine = machine_key()
        self._choices: dict[str, str] = {}
        self._lock = threading.Lock()

    @property
    def choices(self) -> Mapping[str, str]:
        """The way of each layer and shape that this process has met."""
        return dict(self._choices)

    def choose(self, key: str, ways: Sequence[str], run: Callable[[str], object], fixed: str) -> str:
        """The name of the way: stored, or measured now and stored, else `fixed`. Arguments as of `chosen_way`."""
        key = f"{key}, {'/'.join(ways)}, {torch.get_num_threads()} threads"
        chosen = self._choices.get(key)
        if chosen is None:
            with self._lock:  # other threads wait, and do not disturb the measurement
                chosen = self._choices.get(key) or self._stored_or_measured(key, ways, run, fixed)
                self._choices[key] = chosen
        return chosen

    def _stored_or_measured(self, key: str, ways: Sequence[str], run: Callable[[str], object], fixed: str) -> str:
        stored = read_choices(self._file, self._machine).get(key)
        if stored is not None and stored in ways:
            return stored
        return add_choice(self._file, self._machine, key, fastest(ways, run, fixed), ways) or fixed


def fastest(ways: Sequence[str], run: Callable[[str], object], fixed: str) -> str:
    """The way with the least time; `fixed` unless another one is clearly faster.

    The ways take turns. With one thread, its own time counts, which other processes do not change.
    """
    clock = time.thread_time if torch.get_num_threads() == 1 else time.perf_counter
    for way in ways:
        run(way)  # builds what later calls find
    least = dict.fromkeys(ways, float("inf"))
    end = time.perf_counter() + _SECONDS
    for _ in range(_ROUNDS):
        for way in ways:
            start = clock()
            run(way)
            least[way] = min(least[way], clock() - start)
        if time.perf_counter() > end:
            break
    best = min(least, key=lambda way: least[way])
    return best if least[best] < _GAIN * least[fixed] else fixed


@contextmanager
def calibrated(calibration: Calibration | None) -> Iterator[None]:
    """Inside the block, layers of this thread take the ways of `calibration`; None leaves them as they are."""
    token = _current.set(calibration)
    try:
        yield
    finally:
        _current.reset(token)


def in_inference() -> bool:
    """Whether this is inference inside `calibrated`: without a graph, outside of compiled code."""
    if torch.compiler.is_compiling() or torch.is_grad_enabled() or torch.jit.is_tracing():
        return False
    return _current.get() is not None


def current_calibration() -> Calibration | None:
    """The calibration of this block; None outside of inference, or if `MIHATP_FAST` allows no measurement."""
    return _current.get() if in_inference() and fast_setting().calibrated else None


def chosen_way(layer: str, key: str, ways: Sequence[str], run: Callable[[str], object], *, fixed: str) -> str:
    """The name of the way that a layer takes on a CPU.

    Args:
        layer: kind of the layer, as `MIHATP_FAST` has it.
        key: its shapes and types, as text.
        ways: names of the ways that can compute it.
        run: solves a small problem of the same kind by the way of this name.
        fixed: the way without a calibration.
    """
    if torch.compiler.is_compiling():
        return fixed
    asked = fast_setting().ways.get(layer)
    if asked is not None:
        return asked if asked in ways else fixed
    calibration = current_calibration()
    return fixed if calibration is None else calibration.choose(f"{layer} {key}", ways, run, fixed)


_current: ContextVar[Calibration | None] = ContextVar("current calibration", default=None)
