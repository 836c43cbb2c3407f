"""`python -m …run.exclusive_process LOCK ARGUMENTS…`: `basicsr` as the only process of its experiment.

When a benchmark is killed, its training must not run on beside the training that the next start of the benchmark
begins. So a training whose parent process is gone saves and ends, and the next one waits for its lock.
"""

import os
import runpy
import signal
import sys
import threading
import time

from filelock import FileLock, Timeout

_PATIENCE = 600  # seconds in which a training without a parent must finish its iteration and save


def _end_with_parent(parent: int) -> None:
    """Tell this process to save and end as soon as `parent` is gone; kill it when that takes too long."""
    while os.getppid() == parent:
        time.sleep(0.2)
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(_PATIENCE / 2)
    os.kill(os.getpid(), signal.SIGKILL)


def main() -> None:
    """Take the lock and run `basicsr` with the rest of the command line."""
    path, *arguments = sys.argv[1:]
    threading.Thread(target=_end_with_parent, args=(os.getppid(),), daemon=True).start()
    lock = FileLock(path)
    try:
        lock.acquire(timeout=_PATIENCE)
    except Timeout:
        sys.exit(f"another process has been at work on '{path.removesuffix('.lock')}' for {_PATIENCE} s: wait for it")
    with lock:
        sys.argv = ["basicsr", *arguments]
        runpy.run_module("mihatp_arch", run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
