"""The heads of a table that a user wrote: which column is the file, the patient, the split and the resolution."""

import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from datasets_prep.common.errors import UserError
from datasets_prep.common.text import did_you_mean

_FILE = ("slide", "image", "file name", "filename", "file", "file path", "filepath", "path")
_FILE += ("slide path", "image path", "slide file", "image file", "slide name", "image name")
_FILE += ("slides", "images", "files", "filenames", "tile", "tiles", "slide id", "image id")
_PATIENT = ("patient", "patients", "patient id", "patient ids", "patientid", "patient barcode", "bcr patient barcode")
_PATIENT += ("case submitter id", "cases submitter id", "case id", "caseid", "case", "cases", "case ids")
_PATIENT += ("subject", "subjects", "subject id", "participant", "participants", "participant id")
_PATIENT += ("donor", "donors", "donor id")
_SPLIT = ("split", "splits", "set", "sets", "subset", "subsets", "partition")
_MPP = ("mpp", "mpps", "microns per pixel", "micron per pixel", "um per pixel", "um per px", "um/px", "um/pixel")
_EXCLUDE = ("exclude", "excluded")

# meaning -> heads that have it, the first one first; all as `_plain` writes them
SYNONYMS: Mapping[str, Sequence[str]] = {
    "file": _FILE,
    "patient": _PATIENT,
    "split": _SPLIT,
    "mpp": _MPP,
    "exclude": _EXCLUDE,
}
_NAMES = ("slide", "image", "patient", "split", "mpp", "exclude")  # as the documentation calls them
_GDC = ({"id", "filename", "md5"}, {"file id", "file name", "project id"})  # heads of a manifest and a sample sheet


@dataclass(frozen=True)
class Heads:
    """The columns of a table.

    Attributes:
        columns: meaning (a key of `SYNONYMS`) -> index of the column.
        is_gdc: whether the Genomic Data Commons wrote the table, as the manifest of a download or as a sample sheet.
        notes: lines that the user should read.
    """

    columns: Mapping[str, int]
    is_gdc: bool
    notes: tuple[str, ...]


def read_heads(heads: Sequence[str], path: Path) -> Heads:
    """What the columns mean. Spaces around a head, capitals, and `_`, `-` or `.` for a space do not count.

    Args:
        heads: the first row.
        path: the file, for messages.

    Raises:
        UserError: there are two columns of one name, or no column names the files.
    """
    plain = [_plain(head) for head in heads]
    for index, head in enumerate(plain):
        if head and head in plain[:index]:
            raise UserError(f"{path} has two columns {heads[index].strip()!r}: rename one of them, or remove it")
    columns = {}
    for meaning, synonyms in SYNONYMS.items():
        index = next((plain.index(name) for name in synonyms if name in plain), None)
        if index is not None:
            columns[meaning] = index
    if "file" not in columns:
        raise UserError(f"{path} has no rows with a column slide or image: name each file in one{_hint(heads, plain)}")
    is_gdc = any(known <= set(plain) for known in _GDC)
    return Heads(columns, is_gdc, _notes(heads, plain, columns, path, is_gdc=is_gdc))


def _plain(head: str) -> str:
    folded = unicodedata.normalize("NFKC", head).strip("\ufeff \t\"'").casefold().replace("\u03bc", "u")
    return " ".join(re.sub(r"[\s_.\-]+", " ", folded).split())


def _hint(heads: Sequence[str], plain: Sequence[str]) -> str:
    nears = (did_you_mean(name, ("slide", "image", "filename")) for name in plain if name)
    near = next(filter(None, nears), "")
    shown = ", ".join(repr(head.strip()) for head in heads[:8])
    return f" (its columns are {shown}{f'; {near}' if near else ''})"


def _notes(
    heads: Sequence[str], plain: Sequence[str], columns: Mapping[str, int], path: Path, *, is_gdc: bool
) -> tuple[str, ...]:
    """A line on the columns that are read under another name, and a line on those that are not read."""
    meant = {index: meaning for meaning, index in columns.items()}
    renamed = [
        f"{heads[index].strip()!r} as {meaning}"
        for index, meaning in sorted(meant.items())
        if plain[index] not in _NAMES
    ]
    unread = []
    for index, head in enumerate(plain):
        if index in meant or not head:
            continue
        other = next((meaning for meaning, synonyms in SYNONYMS.items() if head in synonyms), "")
        near = did_you_mean(head, (name for name in _NAMES if name not in columns), cutoff=0.7)
        why = f"column {heads[columns[other]].strip()!r} gives the {other}" if other else near
        unread.append(f"{heads[index].strip()!r}{f' ({why})' if why and not is_gdc else ''}")
    notes = []
    if renamed:
        notes.append(f"{path}: read column {', '.join(renamed)}")
    if unread:
        notes.append(f"{path}: column{'s' if len(unread) > 1 else ''} not read: {', '.join(unread)}")
    return tuple(notes)
