"""A damaged LMDB folder gives one clear error, never a killed process."""

import os
import subprocess
import sys

import lmdb
import numpy as np
import pytest

from datasets_prep.common.errors import UserError
from datasets_prep.common.png import decode_rgb, encode_png
from datasets_prep.dataset.lmdb_reader import open_images
from datasets_prep.dataset.lmdb_writer import open_lmdb, write_lmdb


@pytest.fixture
def images():
    rng = np.random.default_rng(0)
    return {f"b{9 - index}": rng.integers(0, 256, (40, 30 + index, 3), dtype=np.uint8) for index in range(5)}


@pytest.fixture
def path(tmp_path, images):
    write_lmdb(tmp_path / "a.lmdb", images.items())
    return tmp_path / "a.lmdb"


def refusal(path):
    with pytest.raises(UserError) as caught, open_images(path):
        pass
    assert "\n" not in str(caught.value) and str(path) in str(caught.value)
    return str(caught.value)


def test_reads_what_was_written_in_its_order(path, images):
    with open_images(path) as reader:
        assert reader.names == list(images) and len(reader) == 5 and "b9" in reader and "c" not in reader
        assert reader.sizes == {key: rgb.shape[:2] for key, rgb in images.items()}
        for (key, png), (name, rgb) in zip(reader, images.items(), strict=True):
            assert key == name and np.array_equal(decode_rgb(png), rgb)
        with pytest.raises(UserError, match=r"c is in meta_info\.txt but not in data\.mdb"):
            reader.get("c")


def test_nothing_is_written(path):
    before = {file.name: file.stat().st_mtime_ns for file in path.iterdir() if file.name != "lock.mdb"}
    (path / "lock.mdb").unlink()
    path.chmod(0o500)
    with open_images(path) as reader:
        assert len(dict(reader)) == 5
    assert {file.name: file.stat().st_mtime_ns for file in path.iterdir()} == before


def test_folders_that_are_no_lmdb(path, tmp_path):
    assert "no data.mdb" in refusal(tmp_path / "absent.lmdb")
    assert "end in .lmdb" in refusal(tmp_path)
    (path / "data.mdb").write_bytes(b"years of work" * 1000)
    assert "cannot be opened" in refusal(path)


@pytest.mark.parametrize(
    ("meta", "message"),
    [
        ("", "empty"),
        ("b9.png (40,30,3) 1\nb8.png 40 31\n", "line 2"),
        ("b9.png (40,30,3) 1\n\nb8.png (40,31,3) 1\n", "line 2"),
        ("b9.png (40,30,3) 1\nb9.png (40,30,3) 1\n", "line 2 names b9 a second time"),
        ("b9.png (40,30,3) 1\n", "holds 5 images, .* names 1 .b5 is not in meta_info"),
        ("".join(f"b{index}.png (40,30,3) 1\n" for index in range(10)), "holds 5 .* names 10 .b0 is not in data"),
    ],
)
def test_meta_info_that_is_wrong(path, meta, message):
    (path / "meta_info.txt").write_text(meta)
    with pytest.raises(UserError, match=message), open_images(path):
        pass


def test_another_key_of_the_same_number_is_found_when_it_is_read(path):
    text = (path / "meta_info.txt").read_text()
    (path / "meta_info.txt").write_text(text.replace("b7.", "c7."))
    with open_images(path) as reader, pytest.raises(UserError, match="c7 is in meta_info"):
        list(reader)


def test_file_that_is_cut_off_is_refused_at_every_length(path):
    """In a new process, because access to a missing page would kill it."""
    code = """if True:
        import os, sys
        from pathlib import Path
        from datasets_prep.common.errors import UserError
        from datasets_prep.dataset.lmdb_reader import open_images
        file = Path(sys.argv[1], "data.mdb")
        for size in range(file.stat().st_size - 1, -1, -1000):
            os.truncate(file, size)
            try:
                with open_images(file.parent) as reader:
                    print(size, "was read", len(dict(reader)))
            except UserError as error:
                print(size, "refused:", error)
    """
    done = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"killed by signal {-done.returncode}"
    lines = done.stdout.splitlines()
    assert len(lines) > 20 and all("refused" in line for line in lines)
    assert "cut off" in lines[0]


def test_memory_does_not_grow_with_what_is_read(tmp_path):
    """Pages of a mapped file count as memory of the process, so they must be released."""
    noise = encode_png(np.random.default_rng(0).integers(0, 256, (512, 512, 3), dtype=np.uint8))
    with open_lmdb(tmp_path / "a.lmdb") as writer:
        for index in range(160):  # 126 MB
            writer.put_png(f"k{index}", noise, height=512, width=512)
    code = """if True:
        import resource, sys
        from pathlib import Path
        from datasets_prep.dataset.lmdb_reader import open_images
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        with open_images(Path(sys.argv[1])) as reader:
            count = sum(len(value) for _, value in reader)
        print(count >> 20, (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) >> 10)
    """
    output = subprocess.check_output([sys.executable, "-c", code, str(tmp_path / "a.lmdb")], text=True)
    read, grown = (int(number) for number in output.split())
    assert read > 110 and grown < 60


def test_lost_entry_is_named(path):
    with lmdb.open(str(path)) as env, env.begin(write=True) as transaction:
        transaction.delete(b"b7")
    assert "b7 is not in data.mdb" in refusal(path)


def test_open_files_are_closed_again(path):
    for _ in range(3):
        with open_images(path):
            pass
    assert not any(str(path) in os.path.realpath(f"/proc/self/fd/{fd}") for fd in os.listdir("/proc/self/fd"))


def test_damaged_images_are_refused():
    png = encode_png(np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8))
    middle = len(png) // 2
    for data, message in (
        (b"", "it is empty"),
        (b"text", "no image"),
        (png[:middle], "cut off"),
        (png[:-1], "cut off"),
        (png[:-12], "cut off"),
        (png[:middle] + bytes([png[middle] ^ 1]) + png[middle + 1 :], "damaged"),
    ):
        with pytest.raises(UserError, match=message):
            decode_rgb(data)
