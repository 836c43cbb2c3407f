"""BasicSR's LMDB format: read back by BasicSR itself, whole or absent, the same bytes for the same images."""

import hashlib
import resource

import lmdb
import numpy as np
import pytest
from basicsr.data import build_dataset

from datasets_prep.common.downscale import area_reduce
from datasets_prep.common.errors import UserError
from datasets_prep.dataset.lmdb_writer import open_lmdb, write_lmdb


def random_images(count, size=32, seed=0):
    rng = np.random.default_rng(seed)
    return [(f"tile_{index}", rng.integers(0, 256, (size, size, 3), dtype=np.uint8)) for index in range(count)]


def test_basicsr_reads_what_was_written(tmp_path):
    images = random_images(5, size=64)
    write_lmdb(tmp_path / "HR.lmdb", images)
    write_lmdb(tmp_path / "LR_x4.lmdb", [(key, area_reduce(rgb, 4)) for key, rgb in images])
    options = {
        "name": "set",
        "type": "PairedImageDataset",
        "dataroot_gt": str(tmp_path / "HR.lmdb"),
        "dataroot_lq": str(tmp_path / "LR_x4.lmdb"),
        "io_backend": {"type": "lmdb"},
        "scale": 4,
        "phase": "val",
    }
    dataset = build_dataset(options)
    assert len(dataset) == len(images)
    for pair, (key, rgb) in zip(dataset, images, strict=True):
        assert pair["gt_path"] == pair["lq_path"] == key
        np.testing.assert_array_equal((pair["gt"].numpy().transpose(1, 2, 0) * 255).round(), rgb)
        np.testing.assert_array_equal((pair["lq"].numpy().transpose(1, 2, 0) * 255).round(), area_reduce(rgb, 4))


def test_folder_holds_the_three_files_and_one_meta_line_per_image(tmp_path):
    write_lmdb(tmp_path / "a.lmdb", [("one", np.zeros((4, 6, 3), np.uint8)), ("two", np.zeros((5, 7, 3), np.uint8))])
    assert sorted(path.name for path in (tmp_path / "a.lmdb").iterdir()) == ["data.mdb", "lock.mdb", "meta_info.txt"]
    assert (tmp_path / "a.lmdb/meta_info.txt").read_text() == "one.png (4,6,3) 1\ntwo.png (5,7,3) 1\n"


def test_same_images_give_the_same_bytes(tmp_path):
    hashes = set()
    for name in ("a.lmdb", "b.lmdb"):
        write_lmdb(tmp_path / name, random_images(80))
        hashes.add(hashlib.sha256((tmp_path / name / "data.mdb").read_bytes()).hexdigest())
    assert len(hashes) == 1


def test_map_grows_beyond_its_first_size(tmp_path):
    images = random_images(30, size=512)  # 23 MB of noise, more than the first map and in one transaction
    write_lmdb(tmp_path / "a.lmdb", images)
    with lmdb.open(str(tmp_path / "a.lmdb"), readonly=True, lock=False) as env, env.begin() as transaction:
        assert transaction.stat()["entries"] == len(images)
        assert sum(len(value) for _, value in transaction.cursor()) > 16 << 20


def test_existing_folder_is_kept_unless_overwritten(tmp_path):
    path = tmp_path / "a.lmdb"
    write_lmdb(path, random_images(2))
    before = (path / "data.mdb").read_bytes()
    with pytest.raises(UserError, match="--overwrite"):
        write_lmdb(path, random_images(3, seed=1))
    assert (path / "data.mdb").read_bytes() == before
    assert write_lmdb(path, random_images(3, seed=1), overwrite=True) == 3
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.lmdb"]


def test_overwrite_spares_a_folder_that_is_no_lmdb(tmp_path):
    precious = tmp_path / "a.lmdb" / "thesis.txt"
    precious.parent.mkdir()
    precious.write_text("years of work")
    with pytest.raises(UserError, match="not a data set"):
        write_lmdb(tmp_path / "a.lmdb", random_images(1), overwrite=True)
    assert precious.read_text() == "years of work"


@pytest.mark.parametrize("there_before", [False, True])
def test_failure_leaves_what_was_there_and_nothing_else(tmp_path, there_before):
    path = tmp_path / "a.lmdb"
    if there_before:
        write_lmdb(path, random_images(2))
    before = {file: file.read_bytes() for file in tmp_path.rglob("data.mdb")}

    def broken():
        yield from random_images(70)
        raise RuntimeError("the source broke")

    with pytest.raises(RuntimeError, match="the source broke"):
        write_lmdb(path, broken(), overwrite=True)
    assert {file: file.read_bytes() for file in tmp_path.rglob("data.mdb")} == before
    assert len(list(tmp_path.iterdir())) == len(before)


@pytest.mark.parametrize("key", ["", "a.b", "a/b", "größe", "a b", "a\nb", "k" * 501])
def test_unusable_keys_are_refused(tmp_path, key):
    with pytest.raises(UserError), open_lmdb(tmp_path / "a.lmdb") as writer:
        writer.put(key, np.zeros((4, 4, 3), np.uint8))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "image", [np.zeros((4, 4, 3), np.float32), np.zeros((4, 4), np.uint8), np.zeros((4, 4, 4), np.uint8)]
)
def test_only_uint8_rgb_is_taken(tmp_path, image):
    with pytest.raises(UserError, match="uint8 RGB"):
        write_lmdb(tmp_path / "a.lmdb", [("key", image)])


def test_same_key_twice_is_refused(tmp_path):
    with pytest.raises(UserError, match="twice"):
        write_lmdb(tmp_path / "a.lmdb", random_images(1) * 2)


def test_name_must_end_in_lmdb(tmp_path):
    with pytest.raises(UserError, match=r"\.lmdb"):
        write_lmdb(tmp_path / "a", random_images(1))


def test_folder_that_cannot_be_made_is_one_clear_error(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot write"):
        write_lmdb(tmp_path / "file" / "a.lmdb", random_images(1))


def test_full_disk_is_one_clear_error_and_leaves_nothing(tmp_path):
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, before[1]))  # the kernel then refuses as a full disk does
    try:
        with pytest.raises(UserError, match="cannot write"):
            write_lmdb(tmp_path / "a.lmdb", random_images(8, size=512))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert list(tmp_path.iterdir()) == []


def test_interrupt_leaves_nothing(tmp_path):
    with pytest.raises(KeyboardInterrupt), open_lmdb(tmp_path / "a.lmdb") as writer:
        writer.put("one", np.zeros((4, 4, 3), np.uint8))
        raise KeyboardInterrupt
    assert list(tmp_path.iterdir()) == []
