"""Small data sets: one at x2, x4 and x8 with the splits of the option files, and images with three nuclei."""

import csv
from pathlib import Path

import cv2
import numpy as np
from basicsr.utils.lmdb_util import LmdbMaker
from PIL import Image

from mihatp_arch.nuclei.coded_labels import decode
from mihatp_cli.mihatp import main

SETS = {"train": 8, "val": 1, **{f"test{number}": 2 for number in range(1, 6)}}

SIDE = 32
# Nuclei 2, 5 and 9, of 16, 24 and 30 px.
LABELS = np.zeros((SIDE, SIDE), np.int32)
LABELS[2:6, 2:6], LABELS[10:14, 4:10], LABELS[20:25, 20:26] = 2, 5, 9
DENSE = np.zeros_like(LABELS)
for number, old in enumerate((2, 5, 9), 1):
    DENSE[old == LABELS] = number


def picture(seed: int, width: int) -> np.ndarray:
    """Smooth random colours, [width, width, 3] uint8 BGR, which interpolation can upscale well."""
    coarse = np.random.default_rng(seed).integers(0, 256, (4, 4, 3), dtype=np.uint8)
    return cv2.resize(coarse, (width, width), interpolation=cv2.INTER_CUBIC)


def put(folder: Path, images: dict[str, np.ndarray]) -> None:
    """Write an LMDB with BasicSR's own maker."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    maker = LmdbMaker(str(folder), map_size=2**24)
    for key, image in images.items():
        maker.put(cv2.imencode(".png", image)[1].tobytes(), key, image.shape)
    maker.close()


def write_data(root: Path, *, width: int = 64) -> Path:
    """Write the data set into `root` and return `root`; HR patches have `width` px."""
    seed = 0
    for name, count in SETS.items():
        gt = {f"{name}-{number}": picture(seed := seed + 1, width) for number in range(count)}
        put(root / name / "HR.lmdb", gt)
        for scale in (2, 4, 8):
            small = {
                key: cv2.resize(image, (width // scale, width // scale), interpolation=cv2.INTER_AREA)
                for key, image in gt.items()
            }
            put(root / name / f"LR_x{scale}.lmdb", small)
    return root


def image(file: Path, *, size=(SIDE, SIDE), seed=0, mode="RGB"):
    file.parent.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(seed).integers(0, 256, (*size, len(mode)), dtype=np.uint8)
    Image.fromarray(noise, mode).save(file)


def prepare(source, out, *more):
    return main(["nuclei", "prepare", str(source), "-o", str(out), *more])


def rows(out):
    with (out / "manifest.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def labels_of(out, row):
    return decode(cv2.imread(str(out / row["labels"]), cv2.IMREAD_UNCHANGED)[..., ::-1])


def refused(source, out, capsys, *more):
    """The one line of a refusal, after which nothing is left behind."""
    assert prepare(source, out, *more) == 2
    error = capsys.readouterr().err
    assert error.startswith("mihatp: error: ") and error.count("\n") == 1
    assert not out.exists() and not [*out.parent.glob(".*partial")]
    return error
