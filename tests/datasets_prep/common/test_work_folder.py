"""The work folder: results of a killed build are found again, and no others; jobs run once."""

import os
import subprocess
import sys

import msgspec
import pytest

from datasets_prep.common.errors import UserError
from datasets_prep.common.executors import open_executor, run_all
from datasets_prep.common.files import write_file
from datasets_prep.common.work_folder import digest, fingerprint, read_result, work_folder


class Result(msgspec.Struct):
    count: int


def test_folder_stays_when_the_block_fails_and_goes_when_it_ends(tmp_path):
    output = tmp_path / "data"
    with pytest.raises(ZeroDivisionError), work_folder(output) as folder:
        write_file(folder / "a.json", msgspec.json.encode(Result(3)))
        (folder / "b.json.77.partial").write_bytes(b"half")
        raise ZeroDivisionError
    with work_folder(output) as folder:
        assert read_result(folder / "a.json", Result) == Result(3)
        assert not list(folder.glob("*.partial"))
    assert list(tmp_path.iterdir()) == []


def test_damaged_and_missing_results_are_none(tmp_path):
    assert read_result(tmp_path / "absent.json", Result) is None
    for content in (b"", b'{"cou', b'{"count": "many"}'):
        (tmp_path / "a.json").write_bytes(content)
        assert read_result(tmp_path / "a.json", Result) is None


def test_two_builds_of_one_output_exclude_each_other(tmp_path):
    code = "import sys; from pathlib import Path; from datasets_prep.common.work_folder import work_folder\n"
    code += "with work_folder(Path(sys.argv[1])): pass"
    with work_folder(tmp_path / "data"):
        other = subprocess.run(
            [sys.executable, "-c", code, str(tmp_path / "data")], capture_output=True, text=True, check=False
        )
    assert "being built by another process" in other.stderr


def test_digest_tells_inputs_apart(tmp_path):
    file = tmp_path / "a"
    file.write_text("x")
    before = digest(fingerprint(file), {"lr": "area"})
    assert before == digest(fingerprint(file), {"lr": "area"})
    assert before != digest(fingerprint(file), {"lr": "bicubic"})
    os.utime(file, ns=(1, 1))
    assert before != digest(fingerprint(file), {"lr": "area"})


def square(value):
    return value * value


def fail(value):
    raise OSError(28, "No space left on device", f"file{value}")


def die(_):
    os._exit(9)


@pytest.mark.parametrize("workers", [1, 2])
def test_every_task_is_done_once_and_few_at_a_time(workers):
    given = []

    def tasks():
        for value in range(20):
            given.append(value)
            yield value, (value,)

    with open_executor(workers=workers, scheduler=None) as (executor, at_once):
        results = {}
        for value, result in run_all(executor, square, tasks(), at_once=at_once):
            results[value] = result
            assert len(given) <= len(results) + at_once
        assert results == {value: value**2 for value in range(20)}
        with pytest.raises(OSError, match="No space"):
            list(run_all(executor, fail, [(0, (0,))], at_once=at_once))


def test_a_worker_that_dies_is_one_clear_error():
    with pytest.raises(UserError, match="worker process died"), open_executor(workers=2, scheduler=None) as (pool, _):
        list(run_all(pool, die, [(0, (0,))], at_once=1))


@pytest.mark.slow  # Dask waits for a scheduler
def test_no_workers_and_no_scheduler_are_refused():
    with pytest.raises(UserError, match="at least 1"), open_executor(workers=0, scheduler=None):
        pass
    with pytest.raises(UserError, match="no Dask scheduler"), open_executor(workers=1, scheduler="tcp://127.0.0.1:9"):
        pass
    with pytest.raises(UserError, match="no Dask scheduler"), open_executor(workers=1, scheduler="nonsense://x"):
        pass


def test_a_kill_while_the_folder_is_deleted_leaves_no_half_of_it(tmp_path):
    """A result without its patches would stop the next build of the same output."""
    code = (
        "import os, shutil, sys; from pathlib import Path; from datasets_prep.common import work_folder as work\n"
        "def half(folder, **_):\n"
        "    (folder / 'shard.patches').unlink()\n"
        "    os._exit(9)\n"
        "shutil.rmtree = half\n"
        "with work.work_folder(Path(sys.argv[1])) as folder:\n"
        "    (folder / 'shard.patches').write_bytes(b'')\n"
        "    (folder / 'shard.json').write_bytes(b'{}')\n"
    )
    assert subprocess.run([sys.executable, "-c", code, str(tmp_path / "data")], check=False).returncode == 9
    assert len(list(tmp_path.rglob("shard.json"))) == 1
    with work_folder(tmp_path / "data") as folder:
        assert list(folder.iterdir()) == []
        assert sorted(path.name for path in tmp_path.iterdir()) == [".data.lock", ".data.work"]
    assert list(tmp_path.iterdir()) == []
