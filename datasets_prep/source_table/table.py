"""Read the table of `--manifest`: a CSV of the user, or a manifest or sample sheet of the Genomic Data Commons."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from datasets_prep.common.errors import UserError
from datasets_prep.source_table.cells import mpp_of, read_rows
from datasets_prep.source_table.heads import Heads, read_heads

SPLIT_SYNONYMS = {"training": "train", "validation": "val", "valid": "val", "dev": "val", "testing": "test"}
_NO = ("", "0", "0.0", "no", "n", "false", "f", "nan", "none", "na", "n/a", "-")  # what an empty `exclude` is called
_YES = ("1", "1.0", "yes", "y", "true", "t", "x")


@dataclass(frozen=True)
class Entry:
    """A row of the table; a text is empty, and `mpp` None, where the row does not say it.

    Attributes:
        line: number of its line.
        file: the file, as it is written.
        patient, split: its patient; `train`, `val`, `test` or `test<n>`.
        mpp: µm per pixel of level 0.
        exclude: why the file is not to be used.
    """

    line: int
    file: str
    patient: str = ""
    split: str = ""
    mpp: float | None = None
    exclude: str = ""


@dataclass(frozen=True)
class SourceTable:
    """The table of `--manifest`.

    Attributes:
        path: the file.
        entries: its rows, without empty ones.
        is_gdc: whether the Genomic Data Commons wrote it: it may list files that were never fetched.
        notes: lines that the user should read.
    """

    path: Path
    entries: Sequence[Entry]
    is_gdc: bool
    notes: tuple[str, ...]


def read_table(path: Path) -> SourceTable:
    """Read the table; its cells are separated by commas, tabs or semicolons.

    Raises:
        UserError: the file cannot be read, has no rows, two columns of one name, or no column that names the files; a
            row has too many cells; or an mpp is no resolution.
    """
    rows = read_rows(path, _names_files)
    if len(rows) < 2:
        raise UserError(f"{path} has no rows with a column slide or image: name each file in one")
    heads = read_heads(rows[0][1], path)
    entries = [_entry(cells, heads, line=line, path=path) for line, cells in rows[1:]]
    return SourceTable(path, entries, heads.is_gdc, heads.notes)


def _names_files(head: Sequence[str]) -> bool:
    """Whether the heads tell which column names the files."""
    try:
        return "file" in read_heads(head, Path()).columns
    except UserError:
        return False


def _entry(cells: Sequence[str], heads: Heads, *, line: int, path: Path) -> Entry:
    row = {meaning: cells[index].strip() if index < len(cells) else "" for meaning, index in heads.columns.items()}
    split = row.get("split", "").casefold()
    exclude = row.get("exclude", "")
    return Entry(
        line,
        row["file"],
        _only(row.get("patient", "")) if heads.is_gdc else row.get("patient", ""),
        SPLIT_SYNONYMS.get(split, split),
        mpp_of(row.get("mpp", ""), file=row["file"], where=f"{path} line {line}"),
        "" if exclude.casefold() in _NO else "excluded by the manifest" + _reason(exclude),
    )


def _only(cases: str) -> str:
    """The case of a sample sheet: a slide of several samples repeats it, as in `TCGA-AA-0001, TCGA-AA-0001`."""
    names = {name.strip() for name in cases.split(",")}
    return names.pop() if len(names) == 1 else cases


def _reason(text: str) -> str:
    return "" if text.casefold() in _YES else f": {text}"
