"""The tables that `mihatp downstream` adds to a benchmark: in its folder, and in its report."""

from collections.abc import Sequence
from pathlib import Path

import msgspec

from datasets_prep.common.files import write_file
from mihatp_arch.errors import UserError
from mihatp_arch.evaluation.report.page import with_added
from mihatp_arch.evaluation.report.table import Table

_TABLES, REPORT = "downstream.json", "report.html"  # in the folder of a benchmark


def add_tables(folder: Path, tables: Sequence[Table]) -> None:
    """Store tables in the folder of a benchmark, and show them in its report, where there is one.

    Raises:
        UserError: a file cannot be read or written.
    """
    report = folder / REPORT
    try:
        write_file(folder / _TABLES, msgspec.json.format(msgspec.json.encode(list(tables))))
        if report.is_file():
            write_file(report, with_added(report.read_text(encoding="utf-8"), tables).encode())
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"the tables cannot be added to '{report}': {error}") from error


def added_tables(folder: Path) -> list[Table]:
    """The tables that were added to a benchmark; none without such a file. Raises `UserError` where it is damaged."""
    path = folder / _TABLES
    if not path.is_file():
        return []
    try:
        return msgspec.json.decode(path.read_bytes(), type=list[Table])
    except (OSError, msgspec.DecodeError) as error:
        raise UserError(f"'{path}' cannot be read ({error}): delete it, and run `mihatp downstream` again") from error
