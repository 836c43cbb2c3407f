"""Two texts from the header of a DICOM file, without decoding it: the series, and the patient."""

import re
from pathlib import Path

_SERIES = re.compile(rb"\x20\x00\x0e\x00UI(..)", re.DOTALL)  # tag of SeriesInstanceUID in a compressed DICOM file
_PATIENT = re.compile(rb"\x10\x00\x20\x00LO(..)", re.DOTALL)  # tag of PatientID
_HEADER = 2**18  # bytes at the start of a DICOM file that hold its series and its patient


def series_of(path: Path) -> bytes:
    """The SeriesInstanceUID of a DICOM file; empty when it has none. OpenSlide then reports what is wrong with it."""
    return _value(path, _SERIES)


def patient_of_dicom(path: Path) -> str:
    """The PatientID of a DICOM file; empty when it has none, or the file is no DICOM file."""
    return _value(path, _PATIENT).decode("utf-8", "replace").strip()


def _value(path: Path, tag: re.Pattern[bytes]) -> bytes:
    try:
        with path.open("rb") as file:
            header = file.read(_HEADER)
    except OSError:
        return b""
    match = tag.search(header) if header[128:132] == b"DICM" else None
    if match is None:
        return b""
    return header[match.end() : match.end() + int.from_bytes(match[1], "little")].rstrip(b"\0 ")
