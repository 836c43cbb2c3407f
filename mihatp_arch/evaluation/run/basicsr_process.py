"""`basicsr train` and `basicsr test` as processes of their own, with a progress bar and a log file."""

import os
import re
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tqdm import tqdm

from mihatp_arch.errors import UserError

ITERATION = re.compile(r"\biter:\s*([\d,]+)")  # as BasicSR's MessageLogger writes it


@dataclass(frozen=True)
class Job:
    """One call of the `basicsr` command.

    Attributes:
        label: what the bar and an error call it.
        arguments: those of `basicsr`.
        folder: working folder, below which BasicSR writes `experiments/` and `results/`.
        lock: file that only one process at a time holds; what it works on is its name without `.lock`.
        log: file that keeps the output.
        threads: CPU threads the process may use; 0 leaves that to torch.
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
        """Run it to its end.

        Raises:
            UserError: it failed; the line names the log and quotes its last line.
        """
        threads = {"OMP_NUM_THREADS": str(self.threads), "OMP_WAIT_POLICY": "PASSIVE"} if self.threads else {}
        command = [sys.executable, "-m", "mihatp_arch.evaluation.run.attached", str(self.lock), *self.arguments]
        for path in (self.log, self.lock):
            path.parent.mkdir(parents=True, exist_ok=True)
        bar = tqdm(
            total=self.iterations or None, desc=f"{self.label:<16}", unit="it", position=position, dynamic_ncols=True
        )
        with (
            bar,
            self.log.open("w", encoding="utf-8") as log,
            subprocess.Popen(
                command,
                cwd=self.folder,
                env=os.environ | threads,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                errors="replace",
            ) as process,
        ):
            last = ""
            for line in process.stdout or ():
                log.write(line)
                last = line.strip() or last
                found = ITERATION.search(line) if self.iterations else None
                if found:
                    bar.update(int(found[1].replace(",", "")) - bar.n)
        if process.returncode:
            raise UserError(f"{self.label} failed with exit code {process.returncode} (see {self.log}): {last}")
