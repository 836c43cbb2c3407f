"""How many processor cores this process may use."""

import os


def usable_cores() -> int:
    """Cores of this process: those that a cluster or `taskset` gave it, else all of the machine."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
