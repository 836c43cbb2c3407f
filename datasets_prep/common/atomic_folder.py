"""Write a folder whole: it appears complete under its name, or not at all."""

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
from datasets_prep.common.files import sync

Signature: TypeAlias = Mapping[str, str]  # file name -> regular expression that matches the start of its first line


def _sync_tree(folder: Path) -> None:
    for root, _, names in os.walk(folder):
        for name in names:
            sync(Path(root, name))
        sync(Path(root))


def _begins(file: Path, pattern: str) -> bool:
    if not file.is_file():
        return False
    with file.open(encoding="utf-8", errors="replace") as text:
        return re.match(pattern, text.readline(1000)) is not None


def refuse_existing(path: Path, *, overwrite: bool, signature: Signature) -> None:
    """Raise `UserError` when `path` cannot name a folder, or when something is there that may not be replaced.

    Only an empty folder, or a folder that this program wrote (its files match `signature`), may be replaced, and only
    with `overwrite`. So `-o ~ --overwrite` cannot delete a home folder.
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
        wrong = [file for file, pattern in signature.items() if ours and not _begins(path / file, pattern)]
        ours = ours and not (wrong and any(path.iterdir()))
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror or error}; name another folder") from error
    if not ours:
        why = f"{wrong[0]} is missing or not ours" if wrong else "no folder"
        raise UserError(f"{path} is not a data set of this program ({why}), so it stays: name another folder")


def _beside(path: Path) -> str:
    """The first part of the name of each temporary folder beside `path`.

    It holds the host name, because only a process of this host can be looked up.
    """
    return f".{path.name}.{platform.node()}."


def _is_running(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # the process runs, as another user
        return True
    return True


def _clean_up(path: Path) -> None:
    """Remove the temporary folders that killed builds left beside `path`; restore a replaced data set."""
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
    """Rename `path` to `old` and `new` to `path`. When the second rename fails, `old` is renamed back."""
    if path.exists():
        path.rename(old)
    try:
        new.rename(path)
    finally:
        if old.exists() and not path.exists():
            old.rename(path)


@contextmanager
def atomic_folder(path: Path, *, overwrite: bool, signature: Signature) -> Iterator[Path]:
    """Gives a temporary folder beside `path`; when the block ends well, the folder is synced and renamed to `path`.

    When the block raises, the temporary folder is removed and `path` is as it was. The temporary folder of a killed
    process is removed at the next start.

    Args:
        path: the new folder.
        overwrite: whether a folder of this program at `path` may be replaced.
        signature: the files by which `refuse_existing` recognises such a folder.

    Raises:
        UserError: `path` may not be replaced, or it cannot be written.
    """
    refuse_existing(path, overwrite=overwrite, signature=signature)
    partial = path.parent / f"{_beside(path)}{os.getpid()}.{secrets.token_hex(4)}.partial"
    replaced = partial.with_suffix(".replaced")
    try:
        _clean_up(path)
        refuse_existing(path, overwrite=overwrite, signature=signature)  # the clean-up may have restored a data set
        partial.mkdir(parents=True)
        yield partial
        _sync_tree(partial)
        refuse_existing(path, overwrite=overwrite, signature=signature)  # another process may have written it meanwhile
        _swap(partial, path, replaced)
        sync(path.parent)
        shutil.rmtree(replaced, ignore_errors=True)
    except OSError as error:
        raise UserError(f"cannot write {path}: {error.strerror or error}; free space or name another folder") from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)
