"""`python -m …run.attached LOCK ARGUMENTS…`: `basicsr`, alone in its experiment and not left behind.

A benchmark that is killed must not leave a training that goes on beside the one that its next start begins: when the
process that started this one is gone, the training is told to save and end, and whoever comes next waits for its lock.
"""

import os
import runpy
import signal
import sys
import threading
import time

from filelock import FileLock, Timeout

_PATIENCE = 600  # seconds for a training whose parent is gone to finish its iteration and save


def _follow(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(0.2)
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(_PATIENCE / 2)
    os.kill(os.getpid(), signal.SIGKILL)


def main() -> None:
    """Take the lock and run `basicsr` with the rest of the command line."""
    lock, *arguments = sys.argv[1:]
    threading.Thread(target=_follow, args=(os.getppid(),), daemon=True).start()
    held = FileLock(lock)
    try:
        held.acquire(timeout=_PATIENCE)
    except Timeout:
        sys.exit(f"another process has been at work on '{lock.removesuffix('.lock')}' for {_PATIENCE} s: wait for it")
    with held:
        sys.argv = ["basicsr", *arguments]
        runpy.run_module("mihatp_arch", run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
