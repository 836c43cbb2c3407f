"""What a data set looks like on disk: `<split>/{HR,LR_x2,…}.lmdb` with one key set per split, and `manifest.csv`."""

import csv
import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from datasets_prep.errors import DataError
from datasets_prep.lmdb_writer import open_lmdb
from datasets_prep.patches import area_reduce

MANIFEST = "manifest.csv"
COLUMNS = ("key", "image", "patient", "split", "x", "y", "sha1", "lr_source")
MARKS = {MANIFEST: re.escape(",".join(COLUMNS)) + "$"}


@dataclass(frozen=True)
class Patch:
    """One HR patch and where it is from: `x`, `y` are its upper left corner in `image`, in pixels."""

    key: str
    image: str
    patient: str
    x: int
    y: int
    hr: NDArray[np.uint8]


def role_names(scales: Sequence[int]) -> list[str]:
    """The LMDB folders of a split: `HR.lmdb`, then `LR_x<scale>.lmdb`."""
    return ["HR.lmdb", *(f"LR_x{scale}.lmdb" for scale in scales)]


def write_dataset(folder: Path, splits: Mapping[str, Iterable[Patch]], *, scales: Sequence[int]) -> dict[str, int]:
    """Write every split's LMDBs and the manifest into `folder`, patch by patch, and return the patches per split.

    LR is the area mean of the same HR pixels at every scale. Raises `DataError` where two splits hold the same pixels,
    which would leak test data into training.
    """
    counts: dict[str, int] = {}
    seen: dict[str, tuple[str, str]] = {}  # sha1 -> (split, key)
    with (folder / MANIFEST).open("w", encoding="utf-8", newline="") as file:
        rows = csv.writer(file, lineterminator="\n")
        rows.writerow(COLUMNS)
        for split, patches in splits.items():
            counts[split] = 0
            with ExitStack() as stack:
                hr_writer, *lr_writers = (
                    stack.enter_context(open_lmdb(folder / split / role)) for role in role_names(scales)
                )
                for patch in patches:
                    sha1 = hashlib.sha1(patch.hr.tobytes(), usedforsecurity=False).hexdigest()
                    other_split, other_key = seen.setdefault(sha1, (split, patch.key))
                    if other_split != split:
                        raise DataError(
                            f"{patch.key} ({split}) and {other_key} ({other_split}) are the same pixels: "
                            "remove one of the two images, or give both one patient in the manifest"
                        )
                    hr_writer.put(patch.key, patch.hr)
                    for scale, writer in zip(scales, lr_writers, strict=True):
                        writer.put(patch.key, area_reduce(patch.hr, scale))
                    rows.writerow((patch.key, patch.image, patch.patient, split, patch.x, patch.y, sha1, "area"))
                    counts[split] += 1
    return counts
