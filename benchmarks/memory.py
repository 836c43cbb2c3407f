"""The peak memory of one call, above the memory in use before it."""

import ctypes
import re
from collections.abc import Callable
from pathlib import Path

from mihatp_arch.evaluation.results.tensor_memory import peak_of_tensors

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
        return peak_of_tensors(call, device=device)
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
    return peak_of_tensors(call, device=device)


def _give_back() -> None:
    """Freed memory goes back to the system, or the call could take it unseen."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # glibc alone has it
    if trim is not None:
        trim(0)


def _status(field: str) -> int:
    found = re.search(rf"^{field}:\s+(\d+) kB", (_PROC / "status").read_text(), re.MULTILINE)
    assert found is not None
    return int(found[1])
