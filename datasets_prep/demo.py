"""The embedded demo data set: synthetic slides and one real image of scikit-image, prepared like any other data.

The real image is immunohistochemistry, 512×512: colon glands, hematoxylin and DAB. There is only one, so it is split by
region: its left 320 columns are for training, its right 192 columns are held out, the upper square for test1 and the
lower one for val. The 128 rows between the two squares are not used. The synthetic slides (pyramidal TIFF at 40x)
differ in their seeds; the ones for training have pen marks and a black border, which the build must avoid.
"""

import csv
import os
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

from PIL import Image
from skimage.data import immunohistochemistry

from datasets_prep.common.atomic_folder import refuse_existing
from datasets_prep.common.errors import UserError, reason_of
from datasets_prep.dataset.layout import FILES, MANIFEST, roles
from datasets_prep.patches.options import Limits, ScanOptions
from datasets_prep.patches.splits import split_names
from datasets_prep.prepare import prepare
from datasets_prep.synthetic.slide import write_synthetic_slide

VERSION = 2  # increased when the data change; an older data set is then built again
ABOUT = "about.md"
_TITLE = "# MiHATP embedded data, version "
SCALES = (2, 4, 8)
_PATCH = 192
_SIDES = {"train": 2304}  # px, side of the synthetic slides with artefacts
_SIDE = 1536  # px, side of the others, without artefacts
# Tile corners (x, y) in the real image. Its training tiles overlap (steps of 64 px), so that one training patch in five
# is real.
_REAL = {
    "train": [(x, y) for y in range(0, 321, 64) for x in (0, 64, 128)],
    "val": [(320, 320)],
    "test1": [(320, 0)],
}
_SEEDS = {"train": range(1, 5), "val": [1001], **{f"test{index}": [2000 + index] for index in range(1, 6)}}
_LIMITS = Limits(train=90, val=7, test=7)


def _about() -> str:
    return (
        f"{_TITLE}{VERSION}\n\n"
        "Real: scikit-image's `immunohistochemistry`, split by region (one image, one patient). Synthetic: slides of\n"
        "procedural H&E by `datasets_prep.synthetic.slide`, split by seed. For trying the software out: no result on\n"
        "it says anything about slides. LR is the area mean of HR.\n"
    )


def _is_complete(folder: Path) -> bool:
    """Whether `build_demo` of this version wrote the folder, and every LMDB is still there."""
    about = folder / ABOUT
    if not about.is_file() or about.read_text(encoding="utf-8", errors="replace") != _about():
        return False
    lmdbs = [folder / split / f"{role}.lmdb" for split in split_names(5) for role in roles(SCALES)]
    return (folder / MANIFEST).is_file() and all((lmdb / "data.mdb").is_file() for lmdb in lmdbs)


def _write_sources(folder: Path) -> Mapping[str, str]:
    """Write slides into `folder/slides` and tiles into `folder/tiles`. Returns file name -> split."""
    splits: dict[str, str] = {}
    (folder / "slides").mkdir()
    (folder / "tiles").mkdir()
    for split, seeds in _SEEDS.items():
        for seed in seeds:
            name = f"synthetic-{seed:04}.tif"
            side, artefacts = _SIDES.get(split, _SIDE), split in _SIDES
            path = folder / "slides" / name
            write_synthetic_slide(path, width=side, height=side, seed=seed, pen=artefacts, black=artefacts)
            splits[name] = split
    real = Image.fromarray(immunohistochemistry())
    for split, corners in _REAL.items():
        for x, y in corners:
            name = f"ihc-{split}-{x}-{y}.png"
            real.crop((x, y, x + _PATCH, y + _PATCH)).save(folder / "tiles" / name)
            splits[name] = split
    return splits


def _rows(splits: Mapping[str, str]) -> Iterator[tuple[str, str, str]]:
    yield "image", "patient", "split"
    for name, split in splits.items():
        yield name, f"ihc-{split}" if name.startswith("ihc") else Path(name).stem, split


def build_demo(output: Path, *, overwrite: bool = False, progress: bool = True) -> Path:
    """Build the demo data set (scales 2, 4 and 8) at `output` and return `output`.

    It has 90 training patches of 192×192, of which 18 are real; 7 patches each for val and test1, of which one is real;
    and 7 each for test2 to test5. A complete demo data set of this version is not built again, unless `overwrite` is
    set. An older or damaged one is replaced.

    Raises:
        UserError: `output` is another folder, or cannot be written.
    """
    try:
        if not overwrite and _is_complete(output):
            return output
        refuse_existing(output, overwrite=os.path.lexists(output), signature={ABOUT: _TITLE}, files=FILES)
        output.parent.mkdir(parents=True, exist_ok=True)  # fail before the slides are made
        with tempfile.TemporaryDirectory(prefix="mihatp-demo-") as name:
            folder = Path(name)
            splits = _write_sources(folder)
            with (folder / "patients.csv").open("w", encoding="utf-8", newline="") as file:
                csv.writer(file).writerows(_rows(splits))
            prepare(
                [folder / "slides"],
                output,
                tiles=folder / "tiles",
                manifest=folder / "patients.csv",
                options=ScanOptions(patch_size=_PATCH, scales=SCALES, preset="biopsy"),
                limits=_LIMITS,
                about=_about(),
                overwrite=os.path.lexists(output),
                progress=progress,
            )
    except UserError:
        if not overwrite and _is_complete(output):  # another process has built it meanwhile
            return output
        raise
    except OSError as error:
        raise UserError(f"cannot read {output}: {reason_of(error)}; name another folder") from error
    return output
