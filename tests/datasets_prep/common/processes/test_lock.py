"""A lock file: one process holds it, others read who; it ends with the process, and workers do not inherit it."""

import multiprocessing
import os
import platform
import signal
import subprocess
import sys
import time

import pytest

from datasets_prep.common.errors import UserError
from datasets_prep.common.processes.lock import lock_beside, only_process, refuse_held

# The worker itself prints its number: when it does, it has given up what it inherited.
HOLD = """
import multiprocessing, os, sys, time
from pathlib import Path
from datasets_prep.common.processes.lock import only_process
def work():
    print(os.getpid(), flush=True)
    time.sleep(30)
with only_process(Path(sys.argv[1]), "it", remedy="go"):
    worker = multiprocessing.get_context("fork").Process(target=work)
    worker.start()
    time.sleep(30)
"""


def held(file):
    return only_process(file, "the experiment", remedy="give another name")


def test_another_process_is_refused_and_reads_who_holds_it(tmp_path):
    file = lock_beside(tmp_path / "experiments" / "run")
    assert file == tmp_path / "experiments" / ".run.lock"
    with held(file):
        code = HOLD.replace("sys.argv[1]", repr(str(file)))
        other = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
        last = other.stderr.splitlines()[-1]
        assert f"it is in use by process {os.getpid()} on {platform.node()} (since 20" in last
        assert last.endswith("wait for it, or go")
        with pytest.raises(UserError, match=f"the experiment is in use by process {os.getpid()}"), held(file):
            pass
        with pytest.raises(UserError, match="give another name"):
            refuse_held(file, "the experiment", remedy="give another name")
        assert file.is_file()
    assert list(file.parent.iterdir()) == []
    refuse_held(file, "the experiment", remedy="")


def test_it_ends_with_a_killed_process_though_its_worker_lives_on(tmp_path):
    file = tmp_path / "lock"
    process = subprocess.Popen([sys.executable, "-c", HOLD, str(file)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    worker = int(process.stdout.readline())
    try:
        with pytest.raises(UserError, match=f"process {process.pid} on"), held(file):
            pass
        process.kill()
        process.wait()
        os.kill(worker, 0)  # it lives
        with held(file):
            pass
        assert not file.exists()
    finally:
        os.kill(worker, signal.SIGKILL)


def _take_in_turn(file, counter):
    for _ in range(20):
        while True:
            try:
                with held(file):
                    before = int(counter.read_text())
                    time.sleep(0.0005)
                    counter.write_text(str(before + 1))
                    break
            except UserError:
                time.sleep(0.0002)


def test_two_processes_never_hold_it_at_the_same_time_though_the_file_comes_and_goes(tmp_path):
    counter = tmp_path / "counter"
    counter.write_text("0")
    context = multiprocessing.get_context("fork")
    processes = [context.Process(target=_take_in_turn, args=(tmp_path / "lock", counter)) for _ in range(3)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
    assert counter.read_text() == "60"
