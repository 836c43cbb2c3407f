"""What a data set looks like on disk: `<split>/{HR,LR_x2,…}.lmdb` with one key set per split, and `manifest.csv`."""

import csv
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path

from datasets_prep.common.errors import UserError
from datasets_prep.dataset.lmdb_writer import open_lmdb
from datasets_prep.patches.extract import Record

MANIFEST = "manifest.csv"
COLUMNS = ("key", "slide", "patient", "split", "x", "y", "level", "mpp", "tissue", "lr_source", "sha1")
MARKS = {MANIFEST: re.escape(",".join(COLUMNS)) + "$"}


def roles(scales: Sequence[int]) -> list[str]:
    """The image roles of a data set, each an LMDB `<role>.lmdb` in every split: `HR`, then `LR_x<scale>`."""
    return ["HR", *(f"LR_x{scale}" for scale in scales)]


def write_dataset(
    folder: Path, splits: Mapping[str, Iterable[Record]], *, patch_size: int, scales: Sequence[int]
) -> Iterator[tuple[str, bool]]:
    """Write every split's LMDBs and the manifest into `folder`, patch by patch.

    Yields the split of each patch, and whether it was written: one whose pixels the split has already is left out.
    Raises `UserError` where two splits hold the same pixels, which would leak test data into training.
    """
    sizes = {"HR": patch_size, **{f"LR_x{scale}": patch_size // scale for scale in scales}}
    seen: dict[str, tuple[str, str]] = {}  # sha1 -> (split, key)
    with (folder / MANIFEST).open("w", encoding="utf-8", newline="") as file:
        rows = csv.writer(file, lineterminator="\n")
        rows.writerow(COLUMNS)
        for split, patches in splits.items():
            with ExitStack() as stack:
                writers = {role: stack.enter_context(open_lmdb(folder / split / f"{role}.lmdb")) for role in sizes}
                for patch in patches:
                    other_split, other_key = seen.setdefault(patch.sha1, (split, patch.key))
                    if other_split != split:
                        raise UserError(
                            f"{patch.key} ({split}) and {other_key} ({other_split}) are the same pixels: "
                            "remove one of the two images, or give both one patient in the manifest"
                        )
                    new = other_key == patch.key
                    if new:
                        for role, writer in writers.items():
                            writer.put_png(patch.key, patch.images[role], height=sizes[role], width=sizes[role])
                        rows.writerow(_row(patch, split))
                    yield split, new


def _row(patch: Record, split: str) -> tuple[object, ...]:
    """In the order of COLUMNS; patches are always cut from level 0."""
    mpp = "" if patch.mpp is None else f"{patch.mpp:.4f}"
    tissue = "" if patch.tissue is None else f"{patch.tissue:.3f}"
    place = (patch.key, patch.slide, patch.patient, split, patch.x, patch.y, 0)
    return (*place, mpp, tissue, patch.lr_source, patch.sha1)
