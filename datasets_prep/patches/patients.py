"""The patient of a source that no table names: by a pattern, by its folder, by its TCGA barcode, or by DICOM."""

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Protocol

from datasets_prep.common.errors import UserError
from datasets_prep.patches.options import SplitOptions
from datasets_prep.patches.splits import barcode_of
from datasets_prep.slides.dicom import patient_of_dicom


class Patient(Protocol):
    """What is needed of a source."""

    @property
    def name(self) -> str: ...

    @property
    def patient(self) -> str: ...


class UnknownPatientsError(UserError):
    """The patients of some sources are unknown.

    Attributes:
        patients: name of each source -> its patient; empty where it is unknown.
    """

    def __init__(self, patients: Mapping[str, str]) -> None:
        unknown = [name for name, patient in patients.items() if not patient]
        super().__init__(
            f"the patient is unknown of {len(unknown)} of {len(patients)} slides and tiles (the first: {unknown[0]}): "
            "their names do not begin with a TCGA barcode; name the patients in a CSV (--manifest), or give "
            "--patient-regex or --patient-from folder"
        )
        self.patients = dict(patients)


def patient_by_rule(path: Path, name: str, splits: SplitOptions) -> str:
    """The patient that `--patient-regex` or `--patient-from` gives; empty where there is no such option, or no match.

    Args:
        path: the file.
        name: its path in the folder that was given, with forward slashes.
        splits: the options.
    """
    if splits.patient_regex is not None:
        match = re.search(splits.patient_regex, name)
        if match is None:
            return ""
        group = "patient" if "patient" in match.re.groupindex else min(1, match.re.groups)
        return (match[group] or "").strip()
    if splits.patient_from == "folder":
        return name.partition("/")[0] if "/" in name else path.parent.name
    return ""


def patient_by_name(path: Path, name: str) -> str:
    """The patient in the TCGA barcode of a name, or in the header of a DICOM file; empty where it is unknown."""
    barcode = barcode_of(Path(name).name)
    if not barcode and path.suffix.lower() == ".dcm":
        return patient_of_dicom(path)
    return barcode


def doubtful_patients(sources: Sequence[Patient]) -> Iterator[str]:
    """Lines on patients that may be one: names that differ in capitals or spaces alone, or share a TCGA barcode."""
    spellings = _grouped((" ".join(source.patient.casefold().split()), source.patient) for source in sources)
    for patients in spellings.values():
        if len(patients) > 1:
            yield f"patients {_listed(patients)} count as {len(patients)}: if they are one, write them alike"
    barcodes = _grouped((barcode_of(Path(source.name).name), source.patient) for source in sources)
    for barcode, patients in barcodes.items():
        if barcode and len(patients) > 1:
            yield f"slides of {barcode} are of {len(patients)} patients ({_listed(patients)}): are they one?"


def _grouped(items: Iterable[tuple[str, str]]) -> dict[str, list[str]]:
    groups: dict[str, list[str]] = defaultdict(list)
    for group, patient in items:
        if patient not in groups[group]:
            groups[group].append(patient)
    return groups


def _listed(names: Sequence[str]) -> str:
    return ", ".join(map(repr, names[:3])) + (", …" if len(names) > 3 else "")
