"""Measurements in new processes: a process chooses its allocator when it starts, and peak memory needs a fresh one."""

import multiprocessing
import os
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")

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
