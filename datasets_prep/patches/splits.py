"""Patient-disjoint splits train / val / test1 … testN: no patient of a test set is in training."""

import hashlib
import itertools
import math
import re
from collections.abc import Iterable, Mapping

from datasets_prep.common.errors import UserError

_BARCODE = re.compile(r"TCGA-[A-Z0-9]{2}-[A-Z0-9]{4}(?![A-Za-z0-9])", re.IGNORECASE)
_NAME = re.compile(r"train|val|test[1-9][0-9]*")
# The paper takes 2000 patches for training and 100 for each test set. Patients are divided in the same proportion; val
# counts like a test set.
_PATCHES_PER_HELD_OUT = (100, 2000)


def patient_of(name: str) -> str:
    """The patient in a TCGA barcode: the first 12 characters of the name, in capitals.

    For example `TCGA-18-5592-01Z-00-DX1` gives `TCGA-18-5592`.

    Raises:
        UserError: the name begins with no barcode. A guessed patient could end up in two splits.
    """
    barcode = barcode_of(name)
    if not barcode:
        raise UserError(f"{name} does not begin with a TCGA barcode: name its patient in a CSV (--manifest)")
    return barcode


def barcode_of(name: str) -> str:
    """The TCGA barcode of the patient at the start of a name, in capitals; empty when there is none."""
    return name[:12].upper() if _BARCODE.match(name) else ""


def seeded_order(names: Iterable[str], *, seed: int) -> list[str]:
    """`names` in a random order that depends only on the seed and the names, not on their given order."""
    return sorted(names, key=lambda name: hashlib.sha256(f"{seed}:{name}".encode()).digest())


def split_names(tests: int) -> list[str]:
    """`train`, `val`, `test1` … `test<tests>`."""
    return ["train", "val", *(f"test{index}" for index in range(1, tests + 1))]


def split_order(name: str) -> tuple[bool, bool, int, str]:
    """Sort key of a split: train, val, test1, test2, …, test10."""
    return name != "train", name != "val", len(name), name


def split_patients(patients: Iterable[str], *, tests: int = 5, seed: int = 0) -> dict[str, str]:
    """Patient -> split, by seed. Train gets the patients that the other splits leave.

    Val and each test set get one patient in 21 + `tests`, and at least one patient each.

    Raises:
        UserError: there are too few patients; the message says how many test sets would fit.
    """
    order = seeded_order(set(patients), seed=seed)
    needed = tests + 2  # computed, not counted: a billion test sets fail at once too
    if len(order) < needed:
        fits = f"use --tests {len(order) - 2}, or give" if len(order) >= 3 else "with --tests 1 at least 3 are; give"
        raise UserError(
            f"{len(order)} patient{'s' * (len(order) != 1)} cannot fill train, val and {tests} test sets, each with a "
            f"patient of its own: {needed} patients are needed; {fits} a split column in --manifest, or "
            "--split-by patch"
        )
    share = held_out_patients(len(order), tests=tests)
    names = [name for name in split_names(tests)[1:] for _ in range(share)]
    return {patient: names[index] if index < len(names) else "train" for index, patient in enumerate(order)}


def held_out_patients(patients: int, *, tests: int) -> int:
    """Number of patients in val and in each test set, when `split_patients` divides so many patients."""
    held_out, training = _PATCHES_PER_HELD_OUT
    share = max(1, round(patients * held_out / (training + (tests + 1) * held_out)))
    return min(share, (patients - 1) // (tests + 1))


def patients_needed(tests: int, *, each: int = 2) -> int:
    """The smallest number of patients of which `split_patients` puts `each` into every test set."""
    held_out, training = _PATCHES_PER_HELD_OUT
    least = math.floor((each - 0.5) * (training + (tests + 1) * held_out) / held_out)
    return next(count for count in itertools.count(least) if held_out_patients(count, tests=tests) >= each)


def deal_tests(split_of: Mapping[str, str], *, tests: int = 5, seed: int = 0) -> dict[str, str]:
    """Patient -> split from a CSV; patients of the plain split `test` are dealt over test1 … test<tests>, by seed.

    Raises:
        UserError: a split has an unknown name, or there are too few `test` patients; the message says how many test
            sets would fit.
    """
    wrong = sorted({split for split in split_of.values() if split != "test" and not _NAME.fullmatch(split)})
    if wrong:
        raise UserError(f"split {wrong[0]!r} in the manifest: use train, val, test or test1, test2, …")
    dealt = seeded_order((patient for patient, split in split_of.items() if split == "test"), seed=seed)
    if dealt and any(split.startswith("test") and split != "test" for split in split_of.values()):
        raise UserError("the manifest has both test and numbered test splits: use test for all, or numbers for all")
    if 0 < len(dealt) < tests:
        raise UserError(
            f"{len(dealt)} test patient{'s' * (len(dealt) != 1)} cannot fill {tests} test sets without sharing one: "
            f"use --tests {len(dealt)}"
        )
    numbered = {patient: f"test{index % tests + 1}" for index, patient in enumerate(dealt)}
    return {patient: numbered.get(patient, split) for patient, split in split_of.items()}
