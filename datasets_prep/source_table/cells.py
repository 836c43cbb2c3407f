"""The cells of a table that a user wrote: their separator, and the numbers of countries with a decimal comma."""

import csv
import io
from collections.abc import Callable, Sequence
from pathlib import Path

from datasets_prep.common.errors import UserError, reason_of

_DELIMITERS = (",", "\t", ";")
Rows = list[tuple[int, list[str]]]


def read_rows(path: Path, is_head: Callable[[Sequence[str]], bool]) -> Rows:
    """Number of the last line and cells of every row that has any text; the first row is the head.

    Args:
        path: a table in UTF-8.
        is_head: whether a first row has the columns that are needed. It decides between commas, tabs and semicolons.
            Where no separator gives these columns, the rows are those that commas give: the caller refuses their head.

    Raises:
        UserError: the file cannot be read as CSV, or a row has more cells than the head.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
        parsed = (_rows(text, delimiter) for delimiter in _DELIMITERS)
        rows = next((rows for rows in parsed if rows and is_head(rows[0][1])), None)
        if rows is None:
            return _rows(text, ",")
    except OSError as error:
        raise UserError(f"{str(path)!r} cannot be read: {reason_of(error)}") from error
    except (ValueError, csv.Error) as error:
        raise UserError(f"{str(path)!r} cannot be read as CSV: {error}; save it as CSV in UTF-8") from error
    columns = len(rows[0][1])
    for line, cells in rows:
        if any(cell.strip() for cell in cells[columns:]):
            raise UserError(
                f"{path} line {line}: {len(cells)} cells, and {columns} columns: quote cells that have commas"
            )
    return rows


def _rows(text: str, delimiter: str) -> Rows:
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, skipinitialspace=True)
    return [(reader.line_num, row) for row in reader if any(cell.strip() for cell in row)]


def number_of(text: str) -> float:
    """The number in a cell; Excel writes 0,25 in some countries. Raises `ValueError`."""
    return float(text.replace(",", "."))


def mpp_of(text: str, *, file: str, where: str) -> float | None:
    """µm per pixel of a file, as a cell states it; None for an empty cell.

    Raises:
        UserError: the cell, which stands at `where`, has no resolution.
    """
    if not text:
        return None
    try:
        value = number_of(text)
    except ValueError:
        value = 0.0
    if not 0 < value < 100:
        raise UserError(f"{where}: mpp {text!r} of {file} is no resolution in µm/px, such as 0.25")
    return value
