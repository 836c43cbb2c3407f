"""A folder that appears whole or not at all."""

import os
import platform
import re
import secrets
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TypeAlias

from datasets_prep.common.errors import UserError

Marks: TypeAlias = Mapping[str, str]  # file name -> regular expression that its first line begins with


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


def _begins(file: Path, pattern: str) -> bool:
    if not file.is_file():
        return False
    with file.open(encoding="utf-8", errors="replace") as text:
        return re.match(pattern, text.readline(1000)) is not None


def refuse_existing(path: Path, *, overwrite: bool, marks: Marks) -> None:
    """Raise `UserError` if `path` cannot be the name of a folder, or is there and may not be replaced.

    With `overwrite` a folder whose files begin as `marks` says (thus one that we wrote) or an empty one may be
    replaced; anything else stays, whatever the option: `-o ~ --overwrite` must not cost a home.
    """
    name = str(path)
    if "\0" in name or name != name.encode("utf-8", "replace").decode("utf-8"):
        raise UserError(f"{name!r} cannot name a folder of data: use UTF-8 text without NUL")
    if not os.path.lexists(path):
        return
    if not overwrite:
        raise UserError(f"{path} exists: name another folder, or replace it with --overwrite")
    try:
        ours = not path.is_symlink() and path.is_dir()
        wrong = [file for file, pattern in marks.items() if ours and not _begins(path / file, pattern)]
        ours = ours and not (wrong and any(path.iterdir()))
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror or error}; name another folder") from error
    if not ours:
        why = f"{wrong[0]} is missing or not ours" if wrong else "no folder"
        raise UserError(f"{path} is not a data set of this program ({why}), so it stays: name another folder")


def _beside(path: Path) -> str:
    """How the hidden folders beside `path` begin; by host, for a process on another one cannot be asked for."""
    return f".{path.name}.{platform.node()}."


def _is_running(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # it is another user's
        return True
    return True


def _mend(path: Path) -> None:
    """Clear away what killed builds of `path` left beside it; a data set that was being replaced comes back."""
    pattern = re.compile(re.escape(_beside(path)) + r"(\d{1,9})\.[0-9a-f]{8}\.(partial|replaced)")
    for entry in list(path.parent.iterdir()) if path.parent.is_dir() else []:
        name = pattern.fullmatch(entry.name)
        if name is None or _is_running(int(name[1])):
            continue
        if name[2] == "replaced" and not os.path.lexists(path):
            entry.rename(path)
        else:
            shutil.rmtree(entry, ignore_errors=True)


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
def atomic_folder(path: Path, *, overwrite: bool, marks: Marks) -> Iterator[Path]:
    """A new folder beside `path` to write into; synced and renamed to `path` at the end of the block.

    If the block fails, the new folder is removed and what was at `path` is as it was; what a killed process left is
    removed at the next start. `marks` are the files by which a folder that may be replaced is known. Raises `UserError`
    if `path` may not be replaced or cannot be written.
    """
    refuse_existing(path, overwrite=overwrite, marks=marks)
    partial = path.parent / f"{_beside(path)}{os.getpid()}.{secrets.token_hex(4)}.partial"
    replaced = partial.with_suffix(".replaced")
    try:
        _mend(path)
        refuse_existing(path, overwrite=overwrite, marks=marks)  # it may have come back
        partial.mkdir(parents=True)
        yield partial
        _sync_tree(partial)
        refuse_existing(path, overwrite=overwrite, marks=marks)  # another process may have been faster
        _swap(partial, path, replaced)
        _sync(path.parent)
        shutil.rmtree(replaced, ignore_errors=True)
    except OSError as error:
        raise UserError(f"cannot write {path}: {error.strerror or error}; free space or name another folder") from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)
