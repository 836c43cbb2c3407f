"""Bars and lines that say how far long work is."""

import os
import pty
import subprocess
import sys
import termios

import pytest

from datasets_prep.common.processes import progress
from datasets_prep.common.processes.progress import begin_at, progress_bar


@pytest.fixture
def clock(monkeypatch):
    """A clock that stands at `clock[0]` seconds."""
    now = [0.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    return now


def lines(capsys):
    captured = capsys.readouterr()
    assert captured.out == ""
    return captured.err.splitlines()


def test_without_a_terminal_there_is_a_line_after_each_minute(clock, capsys):
    with progress_bar(total=100, initial=10, desc="a.svs", unit="tile") as bar:
        for seconds in (1, 59, 60, 100, 120):
            clock[0] = seconds
            bar.update(5)
    first, second = lines(capsys)
    assert first == "a.svs: 25 of 100 tiles, 01:00 so far, about 05:00 left"
    assert second == "a.svs: 35 of 100 tiles, 02:00 so far, about 05:12 left"


def test_resumed_work_is_as_slow_as_its_own_part(clock, capsys):
    with progress_bar(total=100, desc="a.svs", unit="tile") as bar:
        begin_at(bar, 80)
        clock[0] = 60
        bar.update(10)
    assert lines(capsys) == ["a.svs: 90 of 100 tiles, 01:00 so far, about 01:00 left"]


def test_a_job_of_ten_hours_writes_few_lines(clock, capsys):
    for second in progress_bar(range(36_000), desc="a"):
        clock[0] = second
    assert 40 < len(lines(capsys)) < 60


def test_short_work_and_work_that_is_not_shown_are_silent(clock, capsys):
    assert list(progress_bar(iter("ab"), unit="picture")) == ["a", "b"]
    with progress_bar(shown=False) as bar:
        clock[0] = 1000
        bar.update()
    assert lines(capsys) == []
    with progress_bar(unit="picture") as bar:
        clock[0] = 2000
        bar.update()
    assert lines(capsys) == ["progress: 1 pictures, 16:40 so far"]


def test_on_a_terminal_there_is_a_bar():
    code = "from datasets_prep.common.processes.progress import progress_bar as b; list(b([1, 2], desc='work'))"
    ours, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, (24, 80))
    subprocess.run([sys.executable, "-c", code], stderr=theirs, check=True)
    os.close(theirs)
    shown = os.read(ours, 10_000).decode()
    os.close(ours)
    assert "work: 100%" in shown and "2/2" in shown
