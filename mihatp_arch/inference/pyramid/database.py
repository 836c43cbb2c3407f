"""The SQLite file of a store: one process at a time, whole transactions, checked bytes, errors in one line."""

import json
import sqlite3
import threading
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from datasets_prep.common.errors import UserError

_CONFIG = "CREATE TABLE IF NOT EXISTS config(key TEXT PRIMARY KEY, value TEXT);"
_CHECKSUM = 4  # bytes of the CRC-32 after the data of a blob


class Database:
    """An open SQLite file that this process alone uses. Calls may come from any thread.

    A transaction is on the disk when it is committed. A process that is killed loses its open transaction only.

    Args:
        path: the file; a missing one is created.
        schema: SQL that creates the tables, where they are missing. The table `config` is there in any case.

    Raises:
        UserError: another process uses the file, it is damaged, or it cannot be written.
    """

    def __init__(self, path: Path, schema: str) -> None:
        self.path = path
        self._lock = threading.RLock()
        with self._errors():
            self._connection = sqlite3.connect(path, timeout=0, isolation_level=None, check_same_thread=False)
        try:
            with self._errors():
                # The exclusive lock ends with the process. It also spares WAL its shared memory, which network file
                # systems lack.
                for pragma in ("locking_mode = EXCLUSIVE", "journal_mode = WAL", "synchronous = FULL"):
                    self._connection.execute(f"PRAGMA {pragma}")
                self._connection.executescript(f"BEGIN EXCLUSIVE; {_CONFIG} {schema} COMMIT;")
        except UserError:
            self.close()
            raise

    def close(self) -> None:
        """Close the file. A second call does nothing."""
        self._connection.close()

    def remove(self) -> None:
        """Close the file and delete it."""
        self.close()
        delete_database(self.path)

    def fetch(self, query: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """All rows of a query."""
        with self._lock, self._errors():
            return self._connection.execute(query, values).fetchall()

    def write(self, query: str, values: Sequence[Any] = ()) -> None:
        """Change rows; call it inside `transaction`."""
        with self._errors():
            self._connection.execute(query, values)

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All changes of the block are stored together, or none when it raises."""
        with self._lock:
            try:
                self.write("BEGIN IMMEDIATE")
                yield
                self.write("COMMIT")
            except BaseException:
                if self._connection.in_transaction:
                    self._connection.rollback()
                raise

    def configure(self, config: Mapping[str, Any]) -> None:
        """Store the options of a new file; for an old file, compare them with the options of its first start.

        Raises:
            UserError: an option differs.
        """
        texts = {key: json.dumps(value, sort_keys=True) for key, value in config.items()}
        stored: dict[str, str] = dict(self.fetch("SELECT key, value FROM config"))  # type: ignore[arg-type]
        if not stored:
            with self.transaction():
                for pair in texts.items():
                    self.write("INSERT INTO config VALUES (?, ?)", pair)
            return
        for key in dict.fromkeys([*texts, *stored]):
            before, now = stored.get(key, "missing"), texts.get(key, "missing")
            if before != now:
                raise UserError(
                    f"{self.path} has finished blocks of other options: {key} was {before} and is {now} now. "
                    "Give the old options to resume, or delete the file to begin again"
                )

    def opened(self, blob: bytes) -> bytes:
        """The data of a blob that `sealed` made. Raises `UserError` when a byte has changed."""
        data = blob[:-_CHECKSUM]
        if zlib.crc32(data).to_bytes(_CHECKSUM, "big") != blob[-_CHECKSUM:]:
            raise self._damaged("a checksum differs")
        return data

    def _damaged(self, reason: object) -> UserError:
        return UserError(
            f"{self.path} is damaged ({reason}): delete it, and the same command computes all blocks again"
        )

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.OperationalError as error:
            if "locked" in str(error):
                raise UserError(
                    f"{self.path} is in use by another process: wait for it, or name another output"
                ) from None
            raise UserError(
                f"cannot write {self.path}: {error}; free space or make the folder writable: "
                "the same command resumes with the finished blocks"
            ) from error
        except sqlite3.DatabaseError as error:
            raise self._damaged(error) from error


def delete_database(path: Path) -> None:
    """Delete the file of a closed database, and those that SQLite keeps beside it. Raises `OSError`."""
    for suffix in ("-wal", "-shm", ""):
        path.with_name(path.name + suffix).unlink(missing_ok=True)


def sealed(data: bytes) -> bytes:
    """`data` with a checksum, which `Database.opened` checks and removes."""
    return data + zlib.crc32(data).to_bytes(_CHECKSUM, "big")
