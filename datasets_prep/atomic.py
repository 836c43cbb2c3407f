"""A folder that appears whole or not at all."""

import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from datasets_prep.errors import DataError


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _sync_tree(folder: Path) -> None:
    for root, _, names in os.walk(folder):
        for name in names:
            _sync(Path(root, name))
        _sync(Path(root))


def refuse_existing(path: Path, *, overwrite: bool, marker: str) -> None:
    """Raise `DataError` if `path` is there and may not be replaced.

    With `overwrite` a folder that holds the file `marker` (thus one that we wrote) or nothing may be replaced; anything
    else stays, whatever the option: `-o ~ --overwrite` must not cost a home.
    """
    if not os.path.lexists(path):
        return
    if not overwrite:
        raise DataError(f"{path} exists: name another folder, or replace it with --overwrite")
    if path.is_symlink() or not path.is_dir() or (any(path.iterdir()) and not (path / marker).is_file()):
        raise DataError(f"{path} is not a data set ({marker} is missing), so it is not replaced: name another folder")


def _swap(new: Path, path: Path, old: Path) -> None:
    """Put `new` at `path` and keep what was there as `old`; if that fails, what was there is back."""
    if path.exists():
        path.rename(old)
    try:
        new.rename(path)
    finally:
        if old.exists() and not path.exists():
            old.rename(path)


@contextmanager
def atomic_folder(path: Path, *, overwrite: bool, marker: str) -> Iterator[Path]:
    """A new folder beside `path` to write into; synced and renamed to `path` at the end of the block.

    If the block fails, the new folder is removed and what was at `path` is as it was. `marker` is the file by which a
    folder that may be replaced is known. Raises `DataError` if `path` may not be replaced or cannot be written.
    """
    refuse_existing(path, overwrite=overwrite, marker=marker)
    partial = path.parent / f".{path.name}.{secrets.token_hex(4)}.partial"
    replaced = partial.with_suffix(".replaced")
    try:
        partial.mkdir(parents=True)
        yield partial
        _sync_tree(partial)
        refuse_existing(path, overwrite=overwrite, marker=marker)  # another process may have been faster
        _swap(partial, path, replaced)
        _sync(path.parent)
        shutil.rmtree(replaced, ignore_errors=True)
    except OSError as error:
        raise DataError(f"cannot write {path}: {error.strerror or error}; free space or name another folder") from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)
