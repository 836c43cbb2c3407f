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


def find_patients(sets: Mapping[str, Mapping[str, Any]], images: Mapping[str, Iterable[str]]) -> Patients:
    """The patients of `images`, from the `manifest.csv` beside the folders of the splits (`<split>/HR.lmdb`).

    An image without a patient makes every image its own patient: a mixture of both would be neither.

    Args:
        sets: test set -> its options.
        images: test set -> the names of its images.

    Raises:
        UserError: a manifest is damaged.
    """
    patients: dict[str, dict[str, str]] = {}
    for name, keys in images.items():
        hr = Path(sets[name]["dataroot_gt"]).expanduser().absolute()
        split = hr.parent
        rows = read_manifest(split.parent)
        if rows is None:
            return _each_its_own(images, f"there is no '{split.parent / MANIFEST}'")
        known = {row.key: row.patient for row in rows if row.split == split.name and row.patient}
        unknown = next((key for key in keys if key not in known), None)
        if unknown is not None:
            return _each_its_own(images, f"'{split.parent / MANIFEST}' has no patient of {name} {unknown}")
        patients[name] = {key: known[key] for key in keys}
    return Patients(patients)


def _each_its_own(images: Mapping[str, Iterable[str]], missing: str) -> Patients:
    return Patients({name: {key: f"{name}/{key}" for key in keys} for name, keys in images.items()}, missing)
