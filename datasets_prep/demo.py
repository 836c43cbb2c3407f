"""The embedded data: one real image that scikit-image ships, and procedural H&E; no slide, no download.

The real image (immunohistochemistry, 512×512: colon glands, hematoxylin and DAB) is cut by region, because there is
only one: its left 320 columns train, its right 192 columns are held out, upper square to test1, lower one to val. The
128 rows between those two squares are left out. The synthetic images differ in their seeds.
"""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from skimage.data import immunohistochemistry

from datasets_prep.atomic import atomic_folder
from datasets_prep.errors import DataError
from datasets_prep.layout import MANIFEST, Patch, role_names, write_dataset
from datasets_prep.patches import grid
from datasets_prep.splits import split_names
from datasets_prep.synthetic import synthesize

VERSION = 1  # raised when the data change, so that older ones are built anew
CARD = "card.md"
_TITLE = "# MiHATP embedded data, version "
SCALES = (2, 4, 8)
_PATCH = 192


@dataclass(frozen=True)
class _Share:
    """What one split gets: corners (x, y) in the real image, seeds of synthetic images, patches down and across."""

    real: Sequence[tuple[int, int]]
    seeds: Sequence[int]
    rows: int = 2
    cols: int = 3


# Training patches of the real image overlap one another (in steps of 64 px), so that one image in five is a real one.
_SHARES = {
    "train": _Share([(x, y) for y in range(0, 321, 64) for x in (0, 64, 128)], range(1, 9), rows=3),
    "val": _Share([(320, 320)], [1001]),
    "test1": _Share([(320, 0)], [2001]),
    **{f"test{index}": _Share([], [2000 + index]) for index in range(2, 6)},
}


def _cut(image: NDArray[np.uint8], name: str, corners: Sequence[tuple[int, int]]) -> Iterator[Patch]:
    for x, y in corners:
        yield Patch(f"{name}_{x}_{y}", name, name, x, y, image[y : y + _PATCH, x : x + _PATCH])


def _patches(share: _Share) -> Iterator[Patch]:
    yield from _cut(immunohistochemistry(), "skimage-ihc", share.real)
    for seed in share.seeds:
        height, width = share.rows * _PATCH, share.cols * _PATCH
        image, _ = synthesize(height, width, seed=seed)
        yield from _cut(image, f"synthetic-{seed:04}", list(grid(height, width, patch_size=_PATCH)))


def _card() -> str:
    return (
        f"{_TITLE}{VERSION}\n\n"
        "Real: scikit-image's `immunohistochemistry`, split by region (one image, one patient). Synthetic: procedural\n"
        "H&E of `datasets_prep.synthetic`, split by seed. For trying the software out: no result on it says anything\n"
        "about slides. LR is the area mean of HR.\n"
    )


def _is_complete(folder: Path) -> bool:
    """A folder that `build_demo` of this version wrote, with every LMDB still there."""
    card = folder / CARD
    if not card.is_file() or card.read_text(encoding="utf-8", errors="replace") != _card():
        return False
    lmdbs = [folder / split / role for split in _SHARES for role in role_names(SCALES)]
    return (folder / MANIFEST).is_file() and all((lmdb / "data.mdb").is_file() for lmdb in lmdbs)


def build_demo(output: Path, *, overwrite: bool = False) -> Path:
    """Write the embedded data to `output` (layout as `build_from_tiles`, scales 2, 4 and 8) and return `output`.

    90 training patches of 192×192, 18 of them real; 7 for val, 7 for test1 (one real each), 6 for test2 to test5. If a
    complete one of this version is there, nothing is done unless `overwrite`; an older or damaged one is replaced.
    Raises `DataError` if `output` is some other folder, or cannot be written.
    """
    try:
        if not overwrite and _is_complete(output):
            return output
        with atomic_folder(output, overwrite=os.path.lexists(output), marks={CARD: _TITLE}) as partial:
            write_dataset(partial, {split: _patches(_SHARES[split]) for split in split_names(5)}, scales=SCALES)
            (partial / CARD).write_text(_card(), encoding="utf-8")
    except DataError:
        if not overwrite and _is_complete(output):  # another process was faster
            return output
        raise
    except OSError as error:
        raise DataError(f"cannot read {output}: {error.strerror or error}; name another folder") from error
    return output
