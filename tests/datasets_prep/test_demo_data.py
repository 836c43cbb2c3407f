"""The embedded data set: complete, without leakage, built once."""

import csv
import re
import shutil
from collections import Counter

import pytest

from datasets_prep.check.check import check_dataset
from datasets_prep.common.atomic_folder import refuse_existing
from datasets_prep.common.errors import UserError
from datasets_prep.dataset.layout import FILES
from datasets_prep.demo import ABOUT, build_demo
from datasets_prep.signatures import PATCHES


@pytest.fixture(scope="module")
def demo(embedded_data):
    return embedded_data


def rows_of(folder):
    with (folder / "manifest.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def stamp(folder):
    return {path: path.stat().st_mtime_ns for path in folder.rglob("*.mdb") if path.name == "data.mdb"}


def test_sizes_and_real_images_in_training_and_test(demo):
    rows = rows_of(demo)
    counts = Counter(row["split"] for row in rows)
    assert counts == {"train": 90, "val": 7, **{f"test{index}": 7 for index in range(1, 6)}}
    real = Counter(row["split"] for row in rows if row["slide"].startswith("ihc"))
    assert real == {"train": 18, "val": 1, "test1": 1}
    for split, count in counts.items():
        for role in ("HR", "LR_x2", "LR_x4", "LR_x8"):
            assert len((demo / split / f"{role}.lmdb" / "meta_info.txt").read_text().splitlines()) == count


def test_splits_share_no_patch_no_pixel_and_no_slide(demo):
    assert check_dataset(demo, progress=False).findings == []
    real = []
    for row in rows_of(demo):
        if row["slide"].startswith("ihc"):
            x, y = map(int, row["slide"].removesuffix(".png").split("-")[2:])
            real.append((row["split"], x, y))
    for split, x, y in real:
        assert x + 192 <= 512 and y + 192 <= 512
        for other, x2, y2 in real:
            if other != split:
                assert abs(x - x2) >= 192 or abs(y - y2) >= 192


@pytest.mark.slow
def test_second_call_builds_nothing_and_damage_is_mended(demo, tmp_path):
    copy = tmp_path / "data"
    shutil.copytree(demo, copy)
    before = stamp(copy)
    assert build_demo(copy) == copy
    assert stamp(copy) == before
    shutil.rmtree(copy / "test3" / "LR_x4.lmdb")
    (copy / ABOUT).write_text("# MiHATP embedded data, version 0\n\xff", encoding="latin-1")
    build_demo(copy)
    rebuilt = {path.relative_to(copy): path.read_bytes() for path in stamp(copy)}
    assert rebuilt == {path.relative_to(demo): path.read_bytes() for path in stamp(demo)}
    assert [path.name for path in tmp_path.iterdir()] == ["data"]


def test_foreign_folder_is_spared(tmp_path):
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(UserError, match="not a data set"):
        build_demo(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]
    (tmp_path / ABOUT).write_text("# My data\n")
    with pytest.raises(UserError, match="not a data set"):
        build_demo(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == [ABOUT, "thesis.txt"]


@pytest.mark.parametrize("name", ["file", "file/below", "n" * 300, "n" * 300 + "/below", "a\0b", "a\udcffb/c"])
def test_folder_that_cannot_be_made_is_one_clear_error(tmp_path, name):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(UserError, match=r"name another folder|UTF-8 text"):
        build_demo(tmp_path / name)
    assert (tmp_path / "file").read_text() == "in the way" and len(list(tmp_path.iterdir())) == 1


def test_no_file_that_is_not_ours_is_deleted(embedded_data, tmp_path):
    """A built data set may be replaced; one note of the user, or one link, keeps all of it."""
    data = shutil.copytree(embedded_data, tmp_path / "data")
    refuse_existing(data, overwrite=True, signature=PATCHES, files=FILES)
    for name in ("notes.txt", "train/HR.lmdb/old.mdb", "slides/mine.svs", "val/extra/HR.lmdb/data.mdb", "a\nb"):
        file = data / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("years of work")
        with pytest.raises(UserError, match=f"{re.escape(str(file))} is no file of a data set, so .* stays"):
            refuse_existing(data, overwrite=True, signature=PATCHES, files=FILES)
        with pytest.raises(UserError, match="is no file of a data set"):
            build_demo(data, overwrite=True)
        assert file.read_text() == "years of work"
        file.unlink()
    (data / "slides" / "card.png").symlink_to(data / "card.png")
    with pytest.raises(UserError, match="is no file of a data set"):
        refuse_existing(data, overwrite=True, signature=PATCHES, files=FILES)
