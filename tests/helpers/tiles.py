"""Image tiles of eight patients, builds of small data sets from them, and functions that read the result."""

import csv
import hashlib

import cv2
import lmdb
import numpy as np
from PIL import Image

from datasets_prep.patches.options import Limits, QualityFilter, ScanOptions, SplitOptions
from datasets_prep.prepare import prepare
from datasets_prep.synthetic.image import synthesize


def build(tiles, out, *, scales=(2, 4, 8), limits=None, min_saturation=0.05, **options):
    """Patches of 48 px from a folder of tiles, few enough for a test. Also of `SplitOptions`, and `scan`."""
    splits = SplitOptions(
        by=options.pop("split_by", "patient"), tests=options.pop("tests", 5), seed=options.pop("seed", 0)
    )
    return prepare(
        [],
        out,
        tiles=tiles,
        options=ScanOptions(patch_size=options.pop("patch_size", 48), scales=scales, **options.pop("scan", {})),
        quality=QualityFilter(min_saturation=min_saturation, min_sharpness=0),
        limits=limits or Limits(),
        splits=splits,
        progress=False,
        **options,
    )


def barcode(index):
    return f"TCGA-AA-{index:04}-01Z-00-DX1"


def write_tiles(folder):
    """Write eight tiles of 100×150 px of eight patients: 2×3 patches of 48 px each."""
    folder.mkdir()
    for index in range(8):
        Image.fromarray(synthesize(100, 150, seed=index)[0]).save(folder / f"{barcode(index)}.png")
    return folder


def manifest_rows(folder):
    with (folder / "manifest.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def images(lmdb_folder):
    """Key -> image, [H, W, 3] RGB, read with LMDB and OpenCV alone."""
    with lmdb.open(str(lmdb_folder), readonly=True, lock=False) as env, env.begin() as transaction:
        return {
            key.decode(): cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_COLOR)[..., ::-1]
            for key, png in transaction.cursor()
        }


def hashes(folder):
    files = [*folder.rglob("data.mdb"), *folder.rglob("meta_info.txt"), folder / "manifest.csv"]
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def write_csv(path, rows):
    with path.open("w", newline="") as file:
        csv.writer(file).writerows(rows)
    return path


def left_over(tmp_path):
    return sorted(path.name for path in tmp_path.iterdir() if path.name != "tiles")
