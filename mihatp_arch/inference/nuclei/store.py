"""The nuclei of the finished tiles of a slide, on the disk, so that a killed run resumes."""

import json
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mihatp_arch.inference.nuclei.morphometry import FEATURES, Nuclei
from mihatp_arch.inference.nuclei.stitch import TileNuclei
from mihatp_arch.inference.pyramid.database import Database, sealed

_FORMAT = 1  # of the arrays
_TABLES = """
CREATE TABLE IF NOT EXISTS block(y INT, x INT, PRIMARY KEY(y, x));
CREATE TABLE IF NOT EXISTS map(name TEXT, y INT, x INT, dtype TEXT, shape TEXT, data BLOB, PRIMARY KEY(name, y, x));
"""


class NucleiStore:
    """Finished tiles of one output; use it in a `with` statement.

    Args:
        path: the SQLite file.
        config: everything that the nuclei depend on, as JSON.

    Raises:
        UserError: the store has tiles of another config, another process uses it, or it is damaged.
    """

    def __init__(self, path: Path, *, config: Mapping[str, Any]) -> None:
        self._database = Database(path, _TABLES)
        try:
            self._database.configure({"store format": _FORMAT, **config})
        except BaseException:
            self._database.close()
            raise

    def __enter__(self) -> "NucleiStore":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._database.close()

    def finished(self) -> set[tuple[int, int]]:
        """(row, column) of the tiles."""
        return {(row, column) for row, column in self._database.fetch("SELECT y, x FROM block")}

    def commit(self, row: int, column: int, tile: TileNuclei) -> None:
        """Store a tile."""
        with self._database.transaction():
            for name, array in _arrays(tile).items():
                values = (name, row, column, str(array.dtype), json.dumps(array.shape), sealed(array.tobytes()))
                self._database.write("INSERT INTO map VALUES (?, ?, ?, ?, ?, ?)", values)
            self._database.write("INSERT INTO block VALUES (?, ?)", (row, column))

    def tiles(self) -> list[TileNuclei]:
        """All tiles, by row and column."""
        return [self._tile(*position) for position in sorted(self.finished())]

    def _tile(self, row: int, column: int) -> TileNuclei:
        rows = self._database.fetch("SELECT name, dtype, shape, data FROM map WHERE y = ? AND x = ?", (row, column))
        arrays: dict[str, NDArray[Any]] = {
            name: np.frombuffer(self._database.opened(data), dtype).reshape(json.loads(shape))
            for name, dtype, shape, data in rows
        }
        outlines = np.split(arrays["points"], np.cumsum(arrays["lengths"])[:-1]) if len(arrays["lengths"]) else []
        features = dict(zip(FEATURES, arrays["features"], strict=True))
        return TileNuclei(Nuclei(arrays["centres"], arrays["types"], features, outlines), arrays["depth"])


def _arrays(tile: TileNuclei) -> dict[str, NDArray[Any]]:
    nuclei = tile.nuclei
    return {
        "centres": nuclei.centres,
        "types": nuclei.types,
        "features": np.stack([nuclei.features[name] for name in FEATURES]),
        "points": np.concatenate([np.empty((0, 2), np.float32), *nuclei.outlines]),
        "lengths": np.array([len(points) for points in nuclei.outlines], np.int64),
        "depth": tile.depth,
    }
