"""The tile store of an output: finished blocks as encoded tiles on the disk, so that a killed run resumes.

A committed block is stored whole. Tiles of the coarser levels are made as soon as their four parts are there. When the
last block is committed, the tiles of all levels are in the store, the same bytes in any order of the commits.
"""

import json
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mihatp_arch.inference.pyramid.block import encode_block, halve, join_cells
from mihatp_arch.inference.pyramid.database import Database, sealed
from mihatp_arch.inference.pyramid.encode import Compression, encode_tile
from mihatp_arch.inference.pyramid.levels import CELL, Layout

_FORMAT = 1  # of the tables
_TABLES = """
CREATE TABLE IF NOT EXISTS block(y INT, x INT, PRIMARY KEY(y, x));
CREATE TABLE IF NOT EXISTS tile(level INT, y INT, x INT, data BLOB, PRIMARY KEY(level, y, x));
CREATE TABLE IF NOT EXISTS cell(level INT, y INT, x INT, data BLOB, PRIMARY KEY(level, y, x));
CREATE TABLE IF NOT EXISTS seam(y INT, x INT, name TEXT, data BLOB, PRIMARY KEY(y, x, name));
CREATE TABLE IF NOT EXISTS map(name TEXT, y INT, x INT, dtype TEXT, shape TEXT, data BLOB, PRIMARY KEY(name, y, x));
"""


def store_path(output: Path) -> Path:
    """The tile store of an output: `.<name>.tiles` beside it."""
    return output.with_name(f".{output.name}.tiles")


class TileStore:
    """Finished blocks of one output. Open it with `TileStore.open`, in a `with` statement.

    Attributes:
        layout: sizes of the pyramid.
        compression: how tiles are encoded.
    """

    def __init__(self, database: Database, layout: Layout, compression: Compression) -> None:
        self.layout = layout
        self.compression = compression
        self._database = database

    @classmethod
    def open(cls, path: Path, layout: Layout, *, compression: Compression, config: Mapping[str, Any]) -> "TileStore":
        """Open or create a store.

        Args:
            path: the SQLite file, on a local disk; its folder exists. See `store_path`.
            layout: sizes of the pyramid.
            compression: how tiles are encoded.
            config: everything else that the pixels depend on, as JSON: weights, input, version, options.

        Raises:
            UserError: the store has blocks of another layout, compression or config (the message names the option and
                both ways out), another process uses it, it is damaged, or it cannot be written.
        """
        own = {
            "store format": _FORMAT,
            "layout": asdict(layout),
            "compression": {"kind": type(compression).__name__, **asdict(compression)},
        }
        if own.keys() & config.keys():
            raise ValueError(f"config has keys of the store itself: {', '.join(own.keys() & config.keys())}")
        database = Database(path, _TABLES)
        try:
            database.configure(own | dict(config))
        except BaseException:
            database.close()
            raise
        return cls(database, layout, compression)

    @staticmethod
    def stored_option(path: Path, key: str) -> Any:
        """An option of the store of an interrupted run; None without such a store or option. Raises as `open`."""
        if not path.exists():
            return None
        database = Database(path, _TABLES)
        try:
            rows = database.fetch("SELECT value FROM config WHERE key = ?", (key,))
        finally:
            database.close()
        return json.loads(rows[0][0]) if rows else None

    def __enter__(self) -> "TileStore":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    @property
    def path(self) -> Path:
        """The SQLite file."""
        return self._database.path

    def close(self) -> None:
        """Close the store; the next `open` resumes with its blocks."""
        self._database.close()

    def remove(self) -> None:
        """Close the store and delete it."""
        self._database.remove()

    def finished(self) -> set[tuple[int, int]]:
        """(row, column) of the committed blocks."""
        return {(row, column) for row, column in self._database.fetch("SELECT y, x FROM block")}

    def is_complete(self) -> bool:
        """Whether all blocks are committed."""
        rows, columns = self.layout.blocks
        return self._database.fetch("SELECT COUNT(*) FROM block")[0][0] == rows * columns

    def commit(
        self,
        row: int,
        column: int,
        square: NDArray[np.uint8],
        *,
        seams: Mapping[str, bytes] | None = None,
        maps: Mapping[str, NDArray[Any]] | None = None,
    ) -> None:
        """Store a finished block in one transaction; on return it is on the disk.

        Args:
            row, column: the block, not committed before. Blocks may come in any order.
            square: its RGB pixels, [H, W, 3] uint8; `layout.block_shape(row, column)` is [H, W].
            seams: bytes for the blocks at the right, below, and at the lower right. They are forgotten when these three
                blocks are committed.
            maps: name to values of this block, [h, w], any dtype. The caller chooses the pixels of a value. Give the
                same names for each block, and in a row of blocks the same h.

        Raises:
            ValueError: the shape is wrong, or the block is committed already.
            UserError: the store cannot be written, for example because the disk is full. The block is not stored.
        """
        if square.shape != (*self.layout.block_shape(row, column), 3) or square.dtype != np.uint8:
            raise ValueError(f"block {row}, {column} of {self.layout} cannot have {square.dtype} {square.shape}")
        encoded = encode_block(square, row, column, layout=self.layout, compression=self.compression)
        database = self._database
        with database.transaction():
            if database.fetch("SELECT 1 FROM block WHERE y = ? AND x = ?", (row, column)):
                raise ValueError(f"block {row}, {column} is committed already")
            database.write("INSERT INTO block VALUES (?, ?)", (row, column))
            for position, data in encoded.tiles.items():
                self._add_tile(*position, data)
            for position, pixels in encoded.cells.items():
                self._add_cell(*position, pixels)
            for name, values in (maps or {}).items():
                data = sealed(zlib.compress(np.ascontiguousarray(values).tobytes(), 1))
                record = (name, row, column, values.dtype.str, json.dumps(values.shape), data)
                database.write("INSERT INTO map VALUES (?, ?, ?, ?, ?, ?)", record)
            for name, data in (seams or {}).items():
                database.write("INSERT INTO seam VALUES (?, ?, ?, ?)", (row, column, name, sealed(data)))
            for position in ((row, column), (row, column - 1), (row - 1, column), (row - 1, column - 1)):
                self._forget_seams(*position)

    def seams(self, row: int, column: int) -> dict[str, bytes]:
        """Name to bytes of the seams that a committed block left for its neighbours; empty when forgotten."""
        records = self._database.fetch("SELECT name, data FROM seam WHERE y = ? AND x = ?", (row, column))
        return {name: self._database.opened(data) for name, data in records}

    def map_strips(self, name: str) -> Iterator[NDArray[Any]]:
        """Yields a map strip by strip: the [h, W] values of one row of blocks, from top to bottom.

        Raises:
            KeyError: a block has no map of this name, or is not committed.
        """
        rows, columns = self.layout.blocks
        for row in range(rows):
            query = "SELECT dtype, shape, data FROM map WHERE name = ? AND y = ? ORDER BY x"
            records = self._database.fetch(query, (name, row))
            if len(records) != columns:
                raise KeyError(f"map {name} of {columns - len(records)} blocks in row {row} is missing")
            yield np.hstack(
                [
                    np.frombuffer(zlib.decompress(self._database.opened(data)), dtype).reshape(json.loads(shape))
                    for dtype, shape, data in records
                ]
            )

    def tile(self, level: int, row: int, column: int) -> bytes:
        """An encoded TIFF tile. Raises `KeyError` when not all of its blocks are committed."""
        query = "SELECT data FROM tile WHERE level = ? AND y = ? AND x = ?"
        records = self._database.fetch(query, (level, row, column))
        if not records:
            raise KeyError(f"tile {row}, {column} of level {level}")
        return self._database.opened(records[0][0])

    def tile_bytes(self) -> int:
        """Size of all encoded tiles together, bytes."""
        return self._database.fetch("SELECT COALESCE(SUM(LENGTH(data)), 0) FROM tile")[0][0]

    def _add_tile(self, level: int, row: int, column: int, data: bytes) -> None:
        self._database.write("INSERT INTO tile VALUES (?, ?, ?, ?)", (level, row, column, sealed(data)))

    def _add_cell(self, level: int, row: int, column: int, pixels: NDArray[np.uint8]) -> None:
        """Store a quarter of a tile. When it is the last quarter, make the tile and a quarter of the next level."""
        data = sealed(zlib.compress(pixels.tobytes(), 1))
        self._database.write("INSERT INTO cell VALUES (?, ?, ?, ?)", (level, row, column, data))
        rows, columns = self.layout.tiles(level - 1)
        y, x = row // 2, column // 2
        area = (level, 2 * y, 2 * y + 1, 2 * x, 2 * x + 1)
        where = "FROM cell WHERE level = ? AND y BETWEEN ? AND ? AND x BETWEEN ? AND ?"
        cells = self._database.fetch(f"SELECT y % 2, x % 2, data {where}", area)
        if len(cells) < min(2, rows - 2 * y) * min(2, columns - 2 * x):
            return
        self._database.write(f"DELETE {where}", area)
        tile = join_cells({(i, j): self._cell(data) for i, j, data in cells})
        self._add_tile(level, y, x, encode_tile(tile, self.compression))
        if level + 1 < self.layout.levels:
            self._add_cell(level + 1, y, x, halve(tile))

    def _cell(self, blob: bytes) -> NDArray[np.uint8]:
        return np.frombuffer(zlib.decompress(self._database.opened(blob)), np.uint8).reshape(CELL, CELL, 3)

    def _forget_seams(self, row: int, column: int) -> None:
        """Delete the seams of a block when no block that needs them remains."""
        rows, columns = self.layout.blocks
        needed_by = [
            (y, x)
            for y, x in ((row, column + 1), (row + 1, column), (row + 1, column + 1))
            if 0 <= y < rows and 0 <= x < columns
        ]
        query = "SELECT 1 FROM block WHERE y = ? AND x = ?"
        if all(self._database.fetch(query, position) for position in needed_by):
            self._database.write("DELETE FROM seam WHERE y = ? AND x = ?", (row, column))
