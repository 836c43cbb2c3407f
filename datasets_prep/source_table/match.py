"""Which file a row of a table names."""

import unicodedata
from collections.abc import Mapping, Sequence
from pathlib import Path

from datasets_prep.common.errors import UserError
from datasets_prep.slides.find_slides import real_path
from datasets_prep.source_table.table import Entry, SourceTable


def match_rows(
    table: SourceTable, names: Mapping[Path, str], doubles: Mapping[str, Path], folders: Sequence[Path]
) -> tuple[dict[Path, Entry], list[str]]:
    """The row of each file, and lines that the user should read.

    A row names its file by the path relative to the table or to the folder of the file, or by a name that no other file
    has, with or without the ending.

    Args:
        table: the table.
        names: path of each file -> its name.
        doubles: other name of a file -> its path.
        folders: the folders that were given.

    Raises:
        UserError: a row names no file, or a file is named twice. A table of the Genomic Data Commons may name files
            that are not there, as long as it names one that is.
    """
    real = {real_path(path): path for path in names}
    given = {path.parent / path.name: path for path in names}
    by_name = _by_name(names, doubles)
    entries: dict[Path, Entry] = {}
    absent = []
    for entry in table.entries:
        bases = () if "\0" in entry.file else (table.path.parent, *folders)  # a path cannot hold NUL
        asked = [Path(base).absolute() / entry.file for base in bases]
        same = by_name.get(_normal(entry.file), [])
        path = next((given[p] for p in asked if p in given), None)
        path = path or next((real[r] for p in asked if (r := real_path(p)) in real), None)
        path = path or (same[0] if len(same) == 1 else None)
        if path is None and table.is_gdc:
            absent.append(entry.file)
        elif path is None:
            raise UserError(
                f"{table.path} line {entry.line}: {entry.file or 'an empty name'} "
                + (f"is the name of {len(same)} files" if same else "is none of the files to prepare")
            )
        elif path in entries:
            first = entries[path]
            as_first = "" if first.file == entry.file else f" (first in line {first.line}, as {first.file})"
            raise UserError(f"{table.path} line {entry.line}: {entry.file} is named twice{as_first}")
        else:
            entries[path] = entry
    if not entries:
        raise UserError(f"{table.path} names none of the files to prepare (its first: {table.entries[0].file})")
    return entries, [_absent(table, absent)] if absent else []


def _by_name(names: Mapping[Path, str], doubles: Mapping[str, Path]) -> dict[str, list[Path]]:
    by_name: dict[str, list[Path]] = {}
    for path, name in (*names.items(), *((path, name) for name, path in doubles.items())):
        short = Path(name).name
        for text in {name, short, short.rpartition(".")[0] or short, path.name, path.stem}:
            paths = by_name.setdefault(_normal(text), [])
            if path not in paths:
                paths.append(path)
    return by_name


def _normal(name: str) -> str:
    """One spelling of accents: macOS writes `ä` as two characters."""
    return unicodedata.normalize("NFC", name)


def _absent(table: SourceTable, absent: Sequence[str]) -> str:
    return f"{table.path}: {len(absent)} of {len(table.entries)} files of it are not here (the first: {absent[0]})"
