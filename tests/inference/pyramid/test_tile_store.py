"""The tile store: the same tiles in any order of the commits, seams, maps, one user, one line for each error."""

import random
import subprocess
import sys

import numpy as np
import pytest

from datasets_prep.common.errors import UserError
from mihatp_arch.inference.pyramid import Jpeg, Layout, Lossless, TileStore, store_path

LAYOUT = Layout(1700, 1300, block_size=512)  # 3x4 blocks, 3 levels, whole tiles at level 0 only


def positions(layout=LAYOUT):
    rows, columns = layout.blocks
    return [(row, column) for row in range(rows) for column in range(columns)]


def opened(path, *, layout=LAYOUT, compression=None, config=None):
    return TileStore.open(path, layout, compression=compression or Jpeg(), config=config or {"weights": "a"})


def all_tiles(store):
    layout = store.layout
    grids = [layout.tiles(level) for level in range(layout.levels)]
    return [
        store.tile(level, row, column)
        for level, (rows, columns) in enumerate(grids)
        for row in range(rows)
        for column in range(columns)
    ]


@pytest.mark.parametrize("block_size", [512, 1024, 1536])
def test_tiles_do_not_depend_on_the_order_of_the_commits(tmp_path, commit, block_size):
    layout = Layout(1700, 1300, block_size=block_size)
    results = []
    for seed in range(3):
        with opened(tmp_path / f"{seed}", layout=layout) as store:
            order = positions(layout)
            random.Random(seed).shuffle(order)
            for position in order:
                assert not store.is_complete()
                commit(store, [position])
            assert store.is_complete()
            results.append(all_tiles(store))
    assert results[0] == results[1] == results[2]


def test_tiles_do_not_depend_on_the_size_of_the_blocks(tmp_path, commit):
    results = []
    for block_size in (512, 1536, 2048):
        layout = Layout(1700, 1300, block_size=block_size)
        with opened(tmp_path / f"{block_size}", layout=layout) as store:
            commit(store, positions(layout))
            results.append(all_tiles(store))
    assert results[0] == results[1] == results[2]


def test_a_reopened_store_knows_its_blocks(tmp_path, block):
    with opened(tmp_path / "store") as store:
        store.commit(0, 1, block(LAYOUT, 0, 1), seams={"right": b"123"})
    with opened(tmp_path / "store") as store:
        assert store.finished() == {(0, 1)}
        assert store.seams(0, 1) == {"right": b"123"}
        assert store.seams(0, 0) == {}
        store.remove()
    assert list(tmp_path.iterdir()) == []


def test_seams_are_forgotten_when_no_block_needs_them(tmp_path, block):
    """In raster order, at most one row and one more block have seams in the store."""
    with opened(tmp_path / "store") as store:
        _, columns = LAYOUT.blocks
        for row, column in positions():
            for y, x in ((row, column - 1), (row - 1, column), (row - 1, column - 1)):
                assert (y, x) not in store.finished() or store.seams(y, x) == {"a": bytes([y, x]), "b": b""}
            store.commit(row, column, block(LAYOUT, row, column), seams={"a": bytes([row, column]), "b": b""})
            remembered = [position for position in positions() if store.seams(*position)]
            assert len(remembered) <= columns + 1
        assert remembered == []


@pytest.mark.parametrize("dtype", [np.uint8, np.float16])
def test_maps_are_read_strip_by_strip(tmp_path, block, dtype):
    values = np.random.default_rng(0).integers(0, 99, (-(-1300 // 4), -(-1700 // 4))).astype(dtype)
    with opened(tmp_path / "store") as store:
        for row, column in reversed(positions()):
            part = values[row * 128 : (row + 1) * 128, column * 128 : (column + 1) * 128]
            store.commit(row, column, block(LAYOUT, row, column), maps={"deviation": part})
            if (row, column) == (0, 1):
                with pytest.raises(KeyError):
                    list(store.map_strips("deviation"))
        strips = list(store.map_strips("deviation"))
    assert [strip.shape for strip in strips] == [(128, 425), (128, 425), (69, 425)]
    assert np.vstack(strips).dtype == dtype
    np.testing.assert_array_equal(np.vstack(strips), values)


@pytest.mark.parametrize(
    ("other", "words"),
    [
        ({"config": {"weights": "b"}}, 'weights was "a" and is "b" now'),
        ({"config": {"weights": "a", "halo": 16}}, "halo was missing and is 16 now"),
        ({"compression": Lossless()}, "compression was"),
        ({"layout": Layout(1700, 1301, block_size=512)}, "layout was"),
    ],
)
def test_a_store_of_other_options_is_refused(tmp_path, commit, other, words):
    with opened(tmp_path / "store") as store:
        commit(store, [(0, 0)])
    with pytest.raises(UserError, match="Give the old options to resume, or delete the file") as error:
        opened(tmp_path / "store", **other)
    assert words in str(error.value)
    assert "\n" not in str(error.value)
    with opened(tmp_path / "store") as store:
        assert store.finished() == {(0, 0)}


def test_an_interrupted_run_tells_its_options(tmp_path):
    assert TileStore.stored_option(tmp_path / "store", "batch") is None and not list(tmp_path.iterdir())
    opened(tmp_path / "store", config={"batch": 12}).close()
    assert TileStore.stored_option(tmp_path / "store", "batch") == 12
    assert TileStore.stored_option(tmp_path / "store", "weights") is None
    opened(tmp_path / "store", config={"batch": 12}).close()


def test_a_second_user_of_a_store_is_refused(tmp_path):
    with opened(tmp_path / "store"):
        with pytest.raises(UserError, match="is in use by another process"):
            opened(tmp_path / "store")
        second = (
            f"import sqlite3; sqlite3.connect({str(tmp_path / 'store')!r}, timeout=0).execute('SELECT * FROM block')"
        )
        child = subprocess.run([sys.executable, "-c", second], capture_output=True, text=True)
        assert "database is locked" in child.stderr
    opened(tmp_path / "store").close()


def test_a_file_that_is_no_store_is_refused(tmp_path):
    (tmp_path / "store").write_bytes(b"not a database" * 1000)
    with pytest.raises(UserError, match=r"is damaged.*: delete it"):
        opened(tmp_path / "store")


def test_a_changed_byte_is_seen(tmp_path, commit):
    with opened(tmp_path / "store") as store:
        commit(store, [(0, 0)])
        tile = store.tile(0, 0, 0)
    data = bytearray((tmp_path / "store").read_bytes())
    data[data.index(tile[-3000:-2900]) + 50] ^= 1  # in an overflow page; SQLite itself does not see it
    (tmp_path / "store").write_bytes(data)
    with opened(tmp_path / "store") as store, pytest.raises(UserError, match=r"is damaged .a checksum differs"):
        store.tile(0, 0, 0)


@pytest.mark.parametrize("shape", [(512, 512, 3), (276, 164, 4), (276, 164)])
def test_a_block_of_another_shape_is_refused(tmp_path, shape):
    with opened(tmp_path / "store") as store, pytest.raises(ValueError, match="block 2, 3"):
        store.commit(2, 3, np.zeros(shape, np.uint8))


def test_a_block_cannot_be_committed_twice(tmp_path, commit):
    with opened(tmp_path / "store") as store:
        commit(store, [(0, 0)])
        with pytest.raises(ValueError, match="committed already"):
            commit(store, [(0, 0)])
        assert store.finished() == {(0, 0)}


def test_the_store_has_a_hidden_name_beside_the_output(tmp_path):
    assert store_path(tmp_path / "a.tif") == tmp_path / ".a.tif.tiles"


def test_a_folder_that_is_missing_is_one_line(tmp_path):
    with pytest.raises(UserError, match=r"cannot write .*store: unable to open database file"):
        opened(tmp_path / "missing" / "store")
