"""Interrupted runs: killed at any moment, or out of disk space. They resume, and the file has the same bytes."""

import multiprocessing
import os
import random
import resource
import threading
import time
from collections import Counter
from contextlib import contextmanager

import numpy as np
import pytest

from datasets_prep.common.errors import UserError
from mihatp_arch.inference.pyramid import Jpeg, Layout, TileStore, store_path, write_tiff

LAYOUT = Layout(3000, 2000, block_size=512)  # 4x6 blocks
BLOCKS = [(row, column) for row in range(4) for column in range(6)]


def compute(row, column):
    """The pixels of a block: smooth noise of its own."""
    height, width = LAYOUT.block_shape(row, column)
    noise = np.random.default_rng((row, column)).integers(0, 256, (64, 64, 3), np.uint8)
    return np.ascontiguousarray(noise.repeat(8, 0).repeat(8, 1)[:height, :width])


def opened(output):
    return TileStore.open(store_path(output), LAYOUT, compression=Jpeg(), config={"weights": "a"})


def commit_missing(store, notes):
    """Compute the missing blocks. After each commit, its block is noted in a file."""
    note = os.open(notes, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    for row, column in sorted(set(BLOCKS) - store.finished()):
        seams = {"right": bytes([row]), "below": bytes([column])}
        values = np.full((4, 4), 10 * row + column, np.float16)
        store.commit(row, column, compute(row, column), seams=seams, maps={"deviation": values})
        os.write(note, f"{row} {column}\n".encode())
    os.close(note)


def run(output, started):
    """Commit the missing blocks, write the map and the file, and remove the store."""
    started.set()
    with opened(output) as store:
        commit_missing(store, output.with_name("committed"))
        np.save(output.with_name("map.npy"), np.vstack(list(store.map_strips("deviation"))))
        write_tiff(store, output, mpp=0.25, description="text", overwrite=True)
        store.remove()


def start(output):
    """Run in a process of its own. Returns the process and the event that it sets when it begins."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["mihatp_arch.inference.pyramid", "pytest"])
    started = context.Event()
    process = context.Process(target=run, args=(output, started))
    process.start()
    return process, started


def committed(output):
    lines = output.with_name("committed").read_text().splitlines() if output.with_name("committed").exists() else []
    return [tuple(map(int, line.split())) for line in lines]


def kill_until_written(folder, draw):
    """Start `run` again and again, and kill it after random times, until it has written its file.

    Returns:
        Number of kills during the commits, while the file was written, and after that.
    """
    output = folder / "out.tif"
    kills = Counter()
    while not output.exists():
        process, started = start(output)
        assert started.wait(120)
        time.sleep(draw.uniform(0, 0.1 + 0.02 * kills.total()))  # longer each time, so that it ends on any machine
        process.kill()
        process.join()
        if process.exitcode == 0:
            break
        complete = False
        if store_path(output).exists():
            with opened(output) as store:
                assert set(committed(output)) <= store.finished(), "a committed block was lost"
                complete = store.is_complete()
        kills["after the file" if output.exists() else "file" if complete else "commits"] += 1
    if store_path(output).exists():  # killed after the file was written
        run(output, threading.Event())
    return kills


def check(folder, undisturbed):
    """The file and the map are those of the undisturbed run, no block was computed twice, and nothing else is left."""
    assert (folder / "out.tif").read_bytes() == (undisturbed / "out.tif").read_bytes()
    np.testing.assert_array_equal(np.load(folder / "map.npy"), np.load(undisturbed / "map.npy"))
    assert len(set(committed(folder / "out.tif"))) == len(committed(folder / "out.tif"))
    assert sorted(path.name for path in folder.iterdir()) == ["committed", "map.npy", "out.tif"]


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    folder = tmp_path_factory.mktemp("undisturbed")
    run(folder / "out.tif", threading.Event())
    return folder


def test_a_killed_run_resumes_to_the_same_bytes(undisturbed, tmp_path):
    kills = kill_until_written(tmp_path, random.Random(0))
    check(tmp_path, undisturbed)
    assert kills.total() >= 3


@pytest.mark.slow
def test_40_kills_lose_nothing(undisturbed, tmp_path):
    """20 during the commits, and 20 while the file is written."""
    draw, kills = random.Random(1), Counter()
    while min(kills["commits"], kills["file"]) < 20:
        folder = tmp_path / str(kills.total())
        folder.mkdir()
        if kills["commits"] >= 20:
            with opened(folder / "out.tif") as store:
                commit_missing(store, folder / "committed")
        kills += kill_until_written(folder, draw)
        check(folder, undisturbed)


def test_a_store_without_its_main_file_begins_again(tmp_path):
    """A killed process leaves files of SQLite beside the store. The user is told to delete the store only."""
    output = tmp_path / "out.tif"
    process, _ = start(output)
    while not committed(output):
        time.sleep(0.01)
    process.kill()
    process.join()
    assert store_path(output).with_name(store_path(output).name + "-wal").exists()
    store_path(output).unlink()
    with opened(output) as store:
        assert store.finished() == set()


@contextmanager
def disk_of(size):
    """Files cannot grow beyond `size` bytes, as on a full disk: each write of more fails."""
    _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))


def test_a_disk_that_fills_up_during_the_commits_leaves_a_store_that_resumes(undisturbed, tmp_path):
    output = tmp_path / "out.tif"
    with disk_of(2**20), pytest.raises(UserError, match="the same command resumes with the finished blocks") as error:
        run(output, threading.Event())
    assert str(error.value).startswith(f"cannot write {store_path(output)}: ")
    assert "\n" not in str(error.value)
    assert not output.exists()
    with opened(output) as store:
        assert 0 < len(store.finished()) < len(BLOCKS)
        assert store.finished() == set(committed(output))
    run(output, threading.Event())
    check(tmp_path, undisturbed)


def test_a_block_that_did_not_fit_can_be_committed_when_space_is_free(tmp_path):
    output = tmp_path / "out.tif"
    with opened(output) as store:
        with disk_of(2**16), pytest.raises(UserError, match="cannot write"):
            store.commit(0, 0, compute(0, 0))
        assert store.finished() == set()
        store.commit(0, 0, compute(0, 0))
        assert store.finished() == {(0, 0)}


def test_a_disk_that_fills_up_while_the_file_is_written_leaves_no_file(undisturbed, tmp_path):
    output = tmp_path / "out.tif"
    with opened(output) as store:
        commit_missing(store, tmp_path / "committed")
        with disk_of(2**20), pytest.raises(UserError, match=r"the finished blocks are in .*resumes there") as error:
            write_tiff(store, output, mpp=0.25, description="text")
        assert str(error.value).startswith(f"cannot write {output}: ")
        assert not list(tmp_path.glob("*.tif")) and not list(tmp_path.glob(".*.partial"))
        write_tiff(store, output, mpp=0.25, description="text")
    assert output.read_bytes() == (undisturbed / "out.tif").read_bytes()
