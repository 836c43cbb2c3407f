"""Builds that are killed, run out of disk, or run on a cluster: the same bytes, or one clear line."""

import os
import random
import shutil
import signal
import subprocess
import sys
import time

import pytest
from helpers.build import build, write_slides
from helpers.dask_cluster import cluster
from helpers.tiles import hashes

from datasets_prep.check.check import check_dataset

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def slides(tmp_path_factory):
    return write_slides(tmp_path_factory.mktemp("case") / "slides")


@pytest.fixture(scope="module")
def whole(slides, tmp_path_factory):
    out = tmp_path_factory.mktemp("whole") / "data"
    subprocess.run(command(slides, out, workers=1), check=True)
    return hashes(out)


def command(slides, out, *, workers):
    limits = ["--tests", "2", "--train-patches", "400", "--val-patches", "40", "--test-patches", "40"]
    small = ["--patch-size", "96", "--preset", "biopsy", "--workers", str(workers)]
    return [sys.executable, "-m", "datasets_prep.build", str(slides), "-o", str(out), *limits, *small]


def results(folder):
    """Number of scans and shards that a build has stored in its work folder."""
    return len(list((folder / ".data.work").glob("*.json")))


@pytest.mark.parametrize("workers", [1, 2])
def test_a_killed_build_goes_on_and_gives_the_same_bytes(slides, whole, tmp_path, workers):
    """The build is killed four times, each time after some progress; the next build resumes from it."""
    expected = whole
    out = tmp_path / "data"
    chance = random.Random(workers)
    for _ in range(4):
        process = subprocess.Popen(command(slides, out, workers=workers), stderr=subprocess.DEVNULL)
        before = results(tmp_path)
        further = before + chance.randint(1, 4)
        while results(tmp_path) < further and process.poll() is None and not list(tmp_path.glob(".data.*.partial")):
            time.sleep(0.002)
        time.sleep(chance.uniform(0, 0.02))
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert not out.exists() or hashes(out) == expected
    last = subprocess.run(command(slides, out, workers=workers), check=False)
    assert last.returncode in (0, 2)  # 2: the data set was complete already
    assert hashes(out) == expected
    deadline = time.monotonic() + 20  # the workers of killed builds end by themselves
    while process_names(out) and time.monotonic() < deadline:
        time.sleep(0.2)
    assert process_names(out) == "" and [path.name for path in tmp_path.iterdir()] == ["data"]


def process_names(out):
    return subprocess.run(["pgrep", "-f", str(out)], capture_output=True, text=True, check=False).stdout


def test_work_that_was_done_is_not_done_again(slides, whole, tmp_path):
    """Killed during extraction: the next run reuses the finished shards and reads no slide for them."""
    out = tmp_path / "data"
    process = subprocess.Popen(command(slides, out, workers=1), stderr=subprocess.DEVNULL)
    work = tmp_path / ".data.work"
    while len(list(work.glob("shard-*.json"))) < 3 and process.poll() is None:
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    before = {path: path.stat().st_mtime_ns for path in work.glob("*.json")}
    assert len(before) >= 7  # four scans, three shards
    process = subprocess.Popen(command(slides, out, workers=1), stderr=subprocess.DEVNULL)
    while not list(tmp_path.glob(".data.*.partial")) and process.poll() is None:
        now = {path: path.stat().st_mtime_ns for path in before if path.exists()}
        assert now == before or process.poll() is not None or out.exists()
        time.sleep(0.05)
    assert process.wait() == 0 and hashes(out) == whole


def test_a_dask_cluster_gives_the_same_bytes(slides, whole, tmp_path):
    with cluster(tmp_path) as address:
        run = subprocess.run(
            [*command(slides, tmp_path / "data", workers=1), "--scheduler", address],
            capture_output=True,
            text=True,
            check=False,
        )
    assert run.returncode == 0, run.stderr[-2000:]
    assert hashes(tmp_path / "data") == whole


@pytest.fixture
def small_disk(tmp_path):
    """A file system of three megabytes."""
    place = tmp_path / "disk"
    place.mkdir()
    if os.name != "posix" or subprocess.run(["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", place]).returncode:
        pytest.skip("mounting a small tmpfs needs root")
    yield place
    subprocess.run(["umount", place], check=True)


def test_a_full_disk_is_one_line_and_leaves_no_data_set(slides, small_disk):
    run = subprocess.run(command(slides, small_disk / "data", workers=2), capture_output=True, text=True, check=False)
    assert run.returncode == 2
    last = run.stderr.strip().splitlines()[-1]
    assert "No space left" in last and "free space" in last and "Traceback" not in run.stderr
    assert not (small_disk / "data").exists()
    assert not list(small_disk.rglob("*.partial"))


def test_a_read_only_data_set_can_be_checked_but_not_replaced(slides, tmp_path):
    out = tmp_path / "disk" / "data"
    (tmp_path / "disk").mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64m", "tmpfs", out.parent]).returncode:
        pytest.skip("mounting a tmpfs needs root")
    try:
        build(slides, out)
        before = hashes(out)
        subprocess.run(["mount", "-o", "remount,ro", out.parent], check=True)
        assert check_dataset(out, progress=False).findings == []
        run = subprocess.run(
            [*command(slides, out, workers=1), "--overwrite"], capture_output=True, text=True, check=False
        )
        assert run.returncode == 2 and "Read-only file system" in run.stderr.strip().splitlines()[-1]
        assert hashes(out) == before
    finally:
        subprocess.run(["umount", out.parent], check=True)


def test_a_damaged_tile_in_the_middle_is_found_while_cutting(slides, tmp_path):
    """Bytes of level-0 tiles are overwritten: the slide opens and has tissue, but some patches cannot be read."""
    folder = tmp_path / "slides"
    shutil.copytree(slides, folder)
    victim = sorted(folder.iterdir())[0]
    data = bytearray(victim.read_bytes())
    third = len(data) // 3
    data[third : third + 200_000] = bytes(200_000)
    victim.with_name(f"TCGA-BB-0077{victim.suffix}").write_bytes(data)
    run = subprocess.run(command(folder, tmp_path / "data", workers=2), capture_output=True, text=True, check=False)
    assert run.returncode == 3, run.stderr[-2000:]
    assert "TCGA-BB-0077" in run.stderr and "Traceback" not in run.stderr
    assert check_dataset(tmp_path / "data", progress=False).findings == []
