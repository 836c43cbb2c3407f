"""A table for the user to fill in, when the patients of some files are unknown."""

import csv
import io
import os
from collections.abc import Mapping
from pathlib import Path

from datasets_prep.common.errors import UserError
from datasets_prep.common.files import write_file


def write_template(patients: Mapping[str, str], output: Path) -> Path:
    """Write `<output>_patients.csv`, or the first `<output>_patients-<n>.csv` that does not exist; return its path.

    Args:
        patients: name of each file -> its patient; empty where it is unknown.
        output: the data set that was to be built.

    Raises:
        UserError: the file cannot be written.
    """
    text = io.StringIO(newline="")
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(("slide", "patient"))
    rows.writerows(patients.items())
    data = text.getvalue().encode()
    number = 1
    try:
        while True:
            ending = "_patients.csv" if number == 1 else f"_patients-{number}.csv"
            path = output.with_name(output.name + ending)
            if path.is_file() and path.read_bytes() == data:
                return path
            if not os.path.lexists(path):
                path.parent.mkdir(parents=True, exist_ok=True)
                write_file(path, data)
                return path
            number += 1
    except (OSError, ValueError) as error:
        raise UserError(f"cannot write a table of patients beside {output}: {error}") from error
