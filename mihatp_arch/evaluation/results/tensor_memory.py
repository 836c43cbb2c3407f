"""The most memory that the tensors of one call hold at once."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch.profiler import ProfilerActivity, profile


def peak_of_tensors(call: Callable[[], object], *, device: str) -> float:
    """The peak, in MiB above the state before `call`, of the memory that torch's allocator gave out.

    Buffers that a kernel allocates by itself are not counted.

    Args:
        call: is called once.
        device: `cuda` or `cpu`.
    """
    if device == "cuda":
        torch.cuda.synchronize()
        before = torch.cuda.memory_allocated()
        torch.cuda.reset_peak_memory_stats()
        call()
        torch.cuda.synchronize()
        return (torch.cuda.max_memory_allocated() - before) / 2**20
    with _quiet(), profile(activities=[ProfilerActivity.CPU], profile_memory=True) as recorded:
        call()
    allocated = peak = 0
    assert recorded.profiler is not None and recorded.profiler.kineto_results is not None
    events = [event for event in recorded.profiler.kineto_results.events() if event.name() == "[memory]"]
    for event in sorted(events, key=lambda event: event.start_ns()):
        allocated += event.nbytes()  # type: ignore[attr-defined]
        peak = max(peak, allocated)
    return peak / 2**20


@contextmanager
def _quiet() -> Iterator[None]:
    """Silences kineto (torch 2.13): it writes to the terminal, past Python, whenever it starts and stops."""
    terminal, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        yield
    finally:
        os.dup2(terminal, 2)
        os.close(terminal)
        os.close(nowhere)
