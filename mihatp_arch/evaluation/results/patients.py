"""The patient of every test image, from the manifest of the data set."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from datasets_prep.dataset.layout import MANIFEST
from datasets_prep.dataset.manifest import read_manifest


@dataclass(frozen=True)
class Patients:
    """The patients of the test images.

    Attributes:
        of: test set -> image -> patient. Without `missing` these are patients, else every image has a name of its own.
        missing: why the patients are not known; empty where they are known.
    """

    of: Mapping[str, Mapping[str, str]]
    missing: str = ""

    @property
    def count(self) -> int:
        """The number of patients."""
        return len({patient for images in self.of.values() for patient in images.values()})


def manifest_of(dataset: Mapping[str, Any]) -> Path:
    """The path of the manifest of a data set, `<folder>/manifest.csv` beside `<folder>/<split>/HR.lmdb`."""
    return _split_of(dataset).parent / MANIFEST


def patients_of_split(dataset: Mapping[str, Any]) -> dict[str, str]:
    """Image -> patient, for the split whose HR a data set reads; empty without a manifest.

    Raises:
        UserError: the manifest is damaged.
    """
    split = _split_of(dataset)
    rows = read_manifest(split.parent) or []
    return {row.key: row.patient for row in rows if row.split == split.name and row.patient}


def _split_of(dataset: Mapping[str, Any]) -> Path:
    return Path(dataset["dataroot_gt"]).expanduser().absolute().parent


def find_patients(sets: Mapping[str, Mapping[str, Any]], images: Mapping[str, Iterable[str]]) -> Patients:
    """The patients of `images`, from the `manifest.csv` beside the folders of the splits.

    An image without a patient makes every image its own patient: a mixture of both would be neither.

    Args:
        sets: test set -> its options.
        images: test set -> the names of its images.

    Raises:
        UserError: a manifest is damaged.
    """
    patients: dict[str, dict[str, str]] = {}
    for name, keys in images.items():
        manifest, known = manifest_of(sets[name]), patients_of_split(sets[name])
        unknown = next((key for key in keys if key not in known), None)
        if unknown is not None:
            there = manifest.exists()
            missing = f"'{manifest}' has no patient of {name} {unknown}" if there else f"there is no '{manifest}'"
            return Patients({name: {key: f"{name}/{key}" for key in keys} for name, keys in images.items()}, missing)
        patients[name] = {key: known[key] for key in keys}
    return Patients(patients)
