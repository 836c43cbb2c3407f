"""Measurements in new processes: a process chooses its allocator when it starts, and peak memory needs a fresh one."""

import ctypes
import multiprocessing
import os
import re
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import ParamSpec, TypeVar

from mihatp_arch.evaluation.results.tensor_memory import peak_of_tensors

P = ParamSpec("P")
T = TypeVar("T")

_PROC = Path("/proc/self")
OWN = "own"  # the allocator of this process, for a GPU, whose memory no setting of glibc changes

# glibc maps every block above 32 MiB afresh and gives it back at once: the score tensors of the official HAT then cost
# up to as much in page faults as in arithmetic. With a raised threshold, the comparison is of arithmetic alone.
ALLOCATORS: Mapping[str, Mapping[str, str]] = {
    "default": {},
    "raised": {
        "MALLOC_MMAP_THRESHOLD_": "8589934592",
        "MALLOC_TRIM_THRESHOLD_": "17179869184",
        "MALLOC_TOP_PAD_": "268435456",
    },
}


def with_allocator(allocator: str, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """work(*args, **kwargs) in a new process that starts with this allocator of `ALLOCATORS`; in this one for `own`."""
    if allocator == OWN:
        return work(*args, **kwargs)
    context = multiprocessing.get_context("spawn")
    with _environment(ALLOCATORS[allocator]), ProcessPoolExecutor(1, mp_context=context) as pool:
        return pool.submit(work, *args, **kwargs).result()


def fresh(work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """work(*args, **kwargs) in a process that has imported the networks, but computed nothing yet."""
    context = multiprocessing.get_context("forkserver")  # imports once, then every child is a fork of that
    context.set_forkserver_preload(["mihatp_arch", "spandrel"])
    with _environment(ALLOCATORS["default"]), ProcessPoolExecutor(1, mp_context=context) as pool:
        return pool.submit(work, *args, **kwargs).result()


@contextmanager
def _environment(wanted: Mapping[str, str]) -> Iterator[None]:
    """The environment with these variables, and without those of the other allocators."""
    names = {name for variables in ALLOCATORS.values() for name in variables}
    before = {name: os.environ.pop(name) for name in names if name in os.environ}
    os.environ.update(wanted)
    try:
        yield
    finally:
        for name in names:
            os.environ.pop(name, None)
        os.environ.update(before)


def peak_mib(call: Callable[[], object], *, device: str, warm_up: Callable[[], object]) -> float:
    """MiB above the state before `call`: of the process on a CPU (Linux; elsewhere NaN), of the allocator on a GPU.

    To be measured in a fresh process: memory that was used before can be used again unseen.

    Args:
        call: called once.
        device: `cpu` or `cuda`.
        warm_up: the same on a small input, so that libraries have loaded what they need once.
    """
    warm_up()
    if device == "cuda":
        return peak_of_tensors(call, device=device)
    if not (_PROC / "clear_refs").exists():
        return float("nan")
    _give_back()
    (_PROC / "clear_refs").write_text("5")  # VmHWM starts again from what is resident now
    before = _status("VmRSS")
    call()
    return (_status("VmHWM") - before) / 1024


def _give_back() -> None:
    """Freed memory goes back to the system, or the call could take it unseen."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # glibc alone has it
    if trim is not None:
        trim(0)


def _status(field: str) -> int:
    found = re.search(rf"^{field}:\s+(\d+) kB", (_PROC / "status").read_text(), re.MULTILINE)
    assert found is not None
    return int(found[1])
