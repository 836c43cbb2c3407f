"""Layout of a data set on disk: `<split>/{HR,LR_x2,…}.lmdb` with the same keys in each split, and `manifest.csv`."""

import csv
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path

from datasets_prep.common.errors import UserError
from datasets_prep.dataset.lmdb_writer import open_lmdb
from datasets_prep.patches.extract import Patch
from datasets_prep.signatures import MANIFEST, PATCH_COLUMNS

# The files of a data set. `--overwrite` deletes no folder with any other file.
FILES = "|".join(
    (
        r"(manifest|slides|rejected)\.csv|build\.json|about\.md|card\.(md|png)",
        r"[^/]+/(HR|LR_x\d+)\.lmdb/(data\.mdb|lock\.mdb|meta_info\.txt)",
        r"slides/[^/]+(\.geojson|_artefacts\.json|_mask\.png|_overview\.jpg)",
        r"(slides|coords|coordinates|patches)/[^/]+\.h5",
    )
)


def roles(scales: Sequence[int]) -> list[str]:
    """The roles of the images, `HR` and `LR_x<scale>`: each split has one `<role>.lmdb` for each of them."""
    return ["HR", *(f"LR_x{scale}" for scale in scales)]


def write_dataset(
    folder: Path, splits: Mapping[str, Iterable[Patch]], *, patch_size: int, scales: Sequence[int]
) -> Iterator[tuple[str, bool]]:
    """Write the LMDBs of every split and the manifest into `folder`, patch by patch.

    Args:
        folder: an existing folder.
        splits: split -> its patches.
        patch_size: side of HR, pixels.
        scales: the scales of LR.

    Yields:
        The split of each patch, and whether it was written. A patch is left out when its split has the same pixels.

    Raises:
        UserError: two splits hold the same pixels, which would leak test data into training.
    """
    sizes = {"HR": patch_size, **{f"LR_x{scale}": patch_size // scale for scale in scales}}
    seen: dict[str, tuple[str, str]] = {}  # sha1 -> (split, key)
    with (folder / MANIFEST).open("w", encoding="utf-8", newline="") as file:
        rows = csv.writer(file, lineterminator="\n")
        rows.writerow(PATCH_COLUMNS)
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
                    is_new = other_key == patch.key
                    if is_new:
                        for role, writer in writers.items():
                            writer.put_png(patch.key, patch.images[role], height=sizes[role], width=sizes[role])
                        rows.writerow(_row(patch, split))
                    yield split, is_new


def _row(patch: Patch, split: str) -> tuple[object, ...]:
    """The row of a patch, in the order of PATCH_COLUMNS; its level is 0, or `0/2` where HR is level 0 reduced twice."""
    mpp = "" if patch.mpp is None else f"{patch.mpp:.4f}"
    tissue = "" if patch.tissue is None else f"{patch.tissue:.3f}"
    level = 0 if patch.reduction == 1 else f"0/{patch.reduction}"
    identity = (patch.key, patch.slide, patch.patient, split, patch.x, patch.y, level)
    return (*identity, mpp, tissue, patch.lr_source, patch.sha1)
