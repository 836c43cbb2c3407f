"""`basicsr train` and `basicsr test` as processes of their own, with a progress bar and a log file."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from datasets_prep.common.processes.progress import begin_at, progress_bar
from mihatp_arch.errors import UserError

_SAFE_PATH = ["-P"] if sys.version_info >= (3, 11) else []  # files in the working folder are data, no modules
_running: set[subprocess.Popen[str]] = set()  # of this process; whoever stops it must let them save first
ITERATION = re.compile(r"\biter:\s*([\d,]+)")  # as BasicSR's MessageLogger writes it
_RESUMED = "Resuming training from"  # in BasicSR's line with the iteration of a state


@dataclass(frozen=True)
class Job:
    """One call of the `basicsr` command.

    Attributes:
        label: its name on the bar and in errors.
        arguments: of `basicsr`.
        folder: working folder, below which BasicSR writes `experiments/` and `results/`.
        lock: only one process at a time holds this file. It is named for the experiment, with `.lock` at its end.
        log: the output is written into this file.
        threads: CPU threads of the process; 0 leaves the choice to torch.
        iterations: length of the bar, 0 for a call that does not report iterations.
    """

    label: str
    arguments: Sequence[str]
    folder: Path
    lock: Path
    log: Path
    threads: int
    iterations: int = 0

    def run(self, *, position: int = 0) -> None:
        """Run it to its end, its bar in the line `position`.

        Raises:
            UserError: it failed; the line names the log and quotes its last line.
        """
        for path in (self.log, self.lock):
            path.parent.mkdir(parents=True, exist_ok=True)
        bar = progress_bar(total=self.iterations or None, desc=f"{self.label:<16}", unit="iteration", position=position)
        last = ""
        with bar, self.log.open("w", encoding="utf-8") as log, self._start() as process, _listed(process):
            for line in process.stdout or ():
                log.write(line)
                last = line.strip() or last
                match = ITERATION.search(line) if self.iterations else None
                if match:
                    done = int(match[1].replace(",", ""))
                    if _RESUMED in line:
                        begin_at(bar, done)
                    else:
                        bar.update(done - bar.n)
        if process.returncode:
            raise UserError(f"{self.label} failed with exit code {process.returncode} (see {self.log}): {last}")

    def _start(self) -> subprocess.Popen[str]:
        threads = {"OMP_NUM_THREADS": str(self.threads), "OMP_WAIT_POLICY": "PASSIVE"} if self.threads else {}
        module = "mihatp_arch.evaluation.run.exclusive_process"
        return subprocess.Popen(
            [sys.executable, *_SAFE_PATH, "-m", module, str(self.lock), *self.arguments],
            cwd=self.folder,
            env=os.environ | threads,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
        )


@contextmanager
def _listed(process: subprocess.Popen[str]) -> Iterator[None]:
    """Inside the block, `end_running` ends the process. An exception ends it too, after its output is read."""
    _running.add(process)
    try:
        yield
    except BaseException:
        process.terminate()
        for _ in process.stdout or ():  # it must not write into a closed pipe while it saves
            pass
        raise
    finally:
        _running.discard(process)


def end_running() -> None:
    """Ask all running processes to save and end. They take a signal that they have from elsewhere for the same one."""
    for process in list(_running):
        process.terminate()
