"""Tables of numbers as CSV files."""

import csv
from collections.abc import Iterable, Sequence
from io import StringIO
from pathlib import Path

from datasets_prep.common.files import make_folder, write_file


def write_csv(path: Path, header: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Write a table as CSV, whole or not at all; its folder is made. Raises `OSError` where it cannot be written."""
    text = StringIO(newline="")
    lines = csv.writer(text, lineterminator="\n")
    lines.writerow(header)
    lines.writerows(rows)
    make_folder(path.parent)
    write_file(path, text.getvalue().encode())
