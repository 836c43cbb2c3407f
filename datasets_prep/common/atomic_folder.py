"""Write a folder whole: it appears complete under its name, or not at all."""

import os
import platform
import re
import secrets
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TypeAlias

from datasets_prep.common.errors import UserError, reason_of
from datasets_prep.common.files import is_running, sync

_MANY = 200  # files; beyond it, the whole disk is synced at once

Signature: TypeAlias = Mapping[str, str]  # file name -> regular expression that matches the start of its first line


def _sync_tree(folder: Path) -> None:
    paths = [Path(root, name) for root, _, names in os.walk(folder) for name in (*names, ".")]
    if len(paths) > _MANY:  # one by one, thousands of small files take minutes
        os.sync()
        return
    for path in paths:
        sync(path)


def has_signature(folder: Path, signature: Signature) -> bool:
    """Whether `folder` has every file of `signature`, with its first line. Raises `OSError`."""
    return not _wrong(folder, signature)


def _wrong(folder: Path, signature: Signature) -> list[str]:
    """The files of `signature` that are missing in `folder`, or begin otherwise."""
    return [file for file, pattern in signature.items() if not _begins(folder / file, pattern)]


def _begins(file: Path, pattern: str) -> bool:
    if not file.is_file():
        return False
    with file.open(encoding="utf-8", errors="replace") as text:
        return re.match(pattern, text.readline(1000)) is not None


def refuse_existing(path: Path, *, overwrite: bool, signature: Signature, files: str = ".*") -> None:
    """Raise `UserError` when `path` cannot name a folder, or when something is there that may not be replaced.

    Only an empty folder, or a folder that this program wrote, may be replaced, and only with `overwrite`. So
    `-o ~ --overwrite` cannot delete a home folder. This program wrote a folder whose files match `signature`, and which
    has no other files than those of `files`.

    Args:
        path: the folder.
        overwrite: whether it may be replaced.
        signature: files that it must have.
        files: a regular expression that matches the path of every file of such a folder, from the folder on.
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
        wrong = _wrong(path, signature) if ours else []
        ours = ours and not (wrong and any(path.iterdir()))
        foreign = next(_foreign(path, files), None) if ours else None
    except OSError as error:
        raise UserError(f"cannot read {path}: {reason_of(error)}; name another folder") from error
    if not ours:
        why = f"{wrong[0]} is missing or not ours" if wrong else "no folder"
        raise UserError(f"{path} is not a data set of this program ({why}), so it stays: name another folder")
    if foreign is not None:
        raise UserError(f"{foreign} is no file of a data set, so {path} stays: move it away, or name another folder")


def _foreign(path: Path, files: str) -> Iterator[Path]:
    """The files below `path`, and the links, that `files` does not match."""
    for root, folders, names in os.walk(path):
        links = [name for name in folders if Path(root, name).is_symlink()]
        for file in sorted(Path(root, name) for name in (*names, *links)):
            if file.is_symlink() or re.fullmatch(files, file.relative_to(path).as_posix(), re.DOTALL) is None:
                yield file


def _beside(path: Path) -> str:
    """The first part of the name of each temporary folder beside `path`.

    It holds the host name, because only a process of this host can be looked up.
    """
    return f".{path.name}.{platform.node()}."


def _temporary(path: Path) -> Path:
    """A new name beside `path`, without its last part: partial, replaced or deleted."""
    return path.parent / f"{_beside(path)}{os.getpid()}.{secrets.token_hex(4)}.partial"


def remove_folder(path: Path) -> None:
    """Remove a folder with all that is in it; it is renamed first, so that a kill leaves no half of it at `path`.

    `clean_up` removes the rest after a kill. A folder that cannot be removed stays, under one of both names.
    """
    deleted = _temporary(path).with_suffix(".deleted")
    with suppress(OSError):
        path.rename(deleted)
        shutil.rmtree(deleted, ignore_errors=True)


def clean_up(path: Path) -> None:
    """Remove the temporary folders that killed processes left beside `path`; restore a replaced data set."""
    pattern = re.compile(re.escape(_beside(path)) + r"(\d{1,9})\.[0-9a-f]{8}\.(partial|replaced|deleted)")
    for entry in list(path.parent.iterdir()) if path.parent.is_dir() else []:
        name = pattern.fullmatch(entry.name)
        if name is None or is_running(int(name[1])):
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
def atomic_folder(path: Path, *, overwrite: bool, signature: Signature, files: str = ".*") -> Iterator[Path]:
    """Gives a temporary folder beside `path`; when the block ends well, the folder is synced and renamed to `path`.

    When the block raises, the temporary folder is removed and `path` is as it was. The temporary folder of a killed
    process is removed at the next start.

    Args:
        path: the new folder.
        overwrite: whether a folder of this program at `path` may be replaced.
        signature, files: by which `refuse_existing` recognises such a folder.

    Raises:
        UserError: `path` may not be replaced, or it cannot be written.
    """
    refuse_existing(path, overwrite=overwrite, signature=signature, files=files)
    partial = _temporary(path)
    replaced = partial.with_suffix(".replaced")
    try:
        clean_up(path)
        # The clean-up may have restored a data set.
        refuse_existing(path, overwrite=overwrite, signature=signature, files=files)
        partial.mkdir(parents=True)
        yield partial
        _sync_tree(partial)
        # Another process may have written it meanwhile.
        refuse_existing(path, overwrite=overwrite, signature=signature, files=files)
        _swap(partial, path, replaced)
        sync(path.parent)
        if replaced.exists():
            # Renamed first: a half of a data set would be restored if `path` were moved away after a kill.
            shutil.rmtree(replaced.rename(replaced.with_suffix(".deleted")), ignore_errors=True)
    except OSError as error:
        raise UserError(f"cannot write {path}: {reason_of(error)}; free space or name another folder") from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)
