"""Which folders may be replaced, and what happens to the folders of a killed build."""

import subprocess
import sys

import numpy as np
import pytest

from datasets_prep.common.atomic_folder import atomic_folder
from datasets_prep.common.errors import UserError
from datasets_prep.dataset.lmdb_writer import open_lmdb, write_lmdb

SIGNATURE = {"notes.md": "# ours$"}
IMAGES = [("key", np.zeros((4, 4, 3), np.uint8))]


def build(path, text="new", *, overwrite=True):
    with atomic_folder(path, overwrite=overwrite, signature=SIGNATURE) as partial:
        (partial / "notes.md").write_text(f"# ours\n{text}")


def killed(path, where):
    """`build` in a process that is killed inside the function `where` of the module."""
    code = (
        "import os, sys; from pathlib import Path; from datasets_prep.common import atomic_folder as atomic\n"
        f"atomic.{where} = lambda *_: os.kill(os.getpid(), 9)\n"
        f"with atomic.atomic_folder(Path(sys.argv[1]), overwrite=True, signature={SIGNATURE!r}) as partial:\n"
        "    (partial / 'notes.md').write_text('# ours')\n"
    )
    assert subprocess.run([sys.executable, "-c", code, str(path)], check=False).returncode == -9


@pytest.mark.parametrize("notes", ["# ours too", "", "years of work\n# ours"])
def test_a_file_of_the_same_name_is_no_signature(tmp_path, notes):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "notes.md").write_text(notes)
    with pytest.raises(UserError, match=r"not a data set.*notes\.md"):
        build(tmp_path / "out")
    assert (tmp_path / "out" / "notes.md").read_text() == notes


def test_ours_and_empty_folders_are_replaced(tmp_path):
    (tmp_path / "out").mkdir()
    for text in ("first", "second"):
        build(tmp_path / "out", text)
    assert (tmp_path / "out" / "notes.md").read_text() == "# ours\nsecond"


def test_a_link_is_not_replaced(tmp_path):
    build(tmp_path / "real")
    (tmp_path / "out").symlink_to(tmp_path / "real")
    with pytest.raises(UserError, match="no folder"):
        build(tmp_path / "out")


def test_an_lmdb_of_another_program_is_not_replaced(tmp_path):
    path = tmp_path / "a.lmdb"
    path.mkdir()
    (path / "data.mdb").write_bytes(b"\0\xff" * 100)
    with pytest.raises(UserError, match=r"meta_info\.txt is missing"):
        write_lmdb(path, IMAGES, overwrite=True)
    (path / "meta_info.txt").write_text("a file of mine")
    with pytest.raises(UserError, match=r"meta_info\.txt"):
        write_lmdb(path, IMAGES, overwrite=True)
    assert len(list(path.iterdir())) == 2


def test_the_next_build_removes_what_a_killed_one_left(tmp_path):
    foreign = {".out.backup.partial", ".other.host.1.00000000.partial"}
    for name in foreign:
        (tmp_path / name).mkdir()
    killed(tmp_path / "out", "_sync_tree")
    assert len(list(tmp_path.iterdir())) == 3
    build(tmp_path / "out")
    assert {path.name for path in tmp_path.iterdir()} == {"out", *foreign}


def test_a_data_set_that_was_being_replaced_comes_back(tmp_path):
    build(tmp_path / "out", "old")
    killed(tmp_path / "out", "_sync_tree")
    (partial,) = (path for path in tmp_path.iterdir() if path.suffix == ".partial")
    (tmp_path / "out").rename(partial.with_suffix(".replaced"))  # as if killed between the two renames
    with pytest.raises(UserError, match="--overwrite"):
        build(tmp_path / "out", overwrite=False)
    assert (tmp_path / "out" / "notes.md").read_text() == "# ours\nold"
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_a_build_that_still_runs_keeps_its_folder(tmp_path):
    with pytest.raises(UserError, match="exists"), open_lmdb(tmp_path / "a.lmdb") as slow:
        write_lmdb(tmp_path / "a.lmdb", IMAGES)
        assert len(list(tmp_path.iterdir())) == 2
        slow.put("late", IMAGES[0][1])
    assert [path.name for path in tmp_path.iterdir()] == ["a.lmdb"]


@pytest.mark.parametrize("name", ["a\0b", "a\udcffb"])
def test_names_that_no_folder_can_have_are_refused(tmp_path, name):
    with pytest.raises(UserError, match="UTF-8"):
        build(tmp_path / name)
    assert list(tmp_path.iterdir()) == []


def test_a_data_set_that_was_half_deleted_does_not_come_back(tmp_path):
    """Killed while the replaced data set was deleted; then the new one was moved away."""
    build(tmp_path / "out", "old")
    code = (
        "import os, shutil, sys; from pathlib import Path; from datasets_prep.common import atomic_folder as atomic\n"
        "shutil.rmtree = lambda *_, **__: os._exit(9)\n"
        f"with atomic.atomic_folder(Path(sys.argv[1]), overwrite=True, signature={SIGNATURE!r}) as partial:\n"
        "    (partial / 'notes.md').write_text('# ours')\n"
    )
    assert subprocess.run([sys.executable, "-c", code, str(tmp_path / "out")], check=False).returncode == 9
    assert len(list(tmp_path.iterdir())) == 2
    (tmp_path / "out").rename(tmp_path / "elsewhere")
    build(tmp_path / "out", "new", overwrite=False)
    assert (tmp_path / "out" / "notes.md").read_text() == "# ours\nnew"
    assert {path.name for path in tmp_path.iterdir()} == {"out", "elsewhere"}
