"""The most memory that one call takes above what was there before it."""

import ctypes
import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from torch.profiler import ProfilerActivity, profile

_PROC = Path("/proc/self")


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
        torch.cuda.synchronize()
        before = torch.cuda.memory_allocated()
        torch.cuda.reset_peak_memory_stats()
        call()
        torch.cuda.synchronize()
        return (torch.cuda.max_memory_allocated() - before) / 2**20
    if not (_PROC / "clear_refs").exists():
        return float("nan")
    _give_back()
    (_PROC / "clear_refs").write_text("5")  # VmHWM starts again from what is resident now
    before = _status("VmRSS")
    call()
    return (_status("VmHWM") - before) / 1024


def tensors_mib(call: Callable[[], object], *, device: str) -> float:
    """MiB of tensors at most at once in `call`: for single blocks, beside which a process's memory is too noisy.

    The second call counts, the first one may fill caches.
    """
    call()
    if device == "cuda":
        return peak_mib(call, device=device, warm_up=call)
    with _quiet(), profile(activities=[ProfilerActivity.CPU], profile_memory=True) as recorded:
        call()
    held = most = 0
    assert recorded.profiler is not None and recorded.profiler.kineto_results is not None
    events = [one for one in recorded.profiler.kineto_results.events() if one.name() == "[memory]"]
    for event in sorted(events, key=lambda one: one.start_ns()):
        held += event.nbytes()  # type: ignore[attr-defined]
        most = max(most, held)
    return most / 2**20


@contextmanager
def _quiet() -> Iterator[None]:
    """Without what kineto (torch 2.13) writes to the terminal past Python whenever it starts and stops."""
    terminal, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        yield
    finally:
        os.dup2(terminal, 2)
        os.close(terminal)
        os.close(nowhere)


def _give_back() -> None:
    """Freed memory goes back to the system, or the call could take it unseen."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # glibc alone has it
    if trim is not None:
        trim(0)


def _status(field: str) -> int:
    found = re.search(rf"^{field}:\s+(\d+) kB", (_PROC / "status").read_text(), re.MULTILINE)
    assert found is not None
    return int(found[1])
