"""Tiles of eight patients, and what the tests of `build_from_tiles` ask of folders."""

import csv
import hashlib

from PIL import Image

from datasets_prep.synthetic import synthesize

QUICK = {"patch_size": 48, "progress": False}


def barcode(index):
    return f"TCGA-AA-{index:04}-01Z-00-DX1"


def write_tiles(folder):
    """Eight tiles of 100×150 of eight patients, so 2×3 patches of 48 px each."""
    folder.mkdir()
    for index in range(8):
        Image.fromarray(synthesize(100, 150, seed=index)[0]).save(folder / f"{barcode(index)}.png")
    return folder


def manifest_rows(folder):
    with (folder / "manifest.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def hashes(folder):
    files = [*folder.rglob("data.mdb"), *folder.rglob("meta_info.txt"), folder / "manifest.csv"]
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def write_csv(path, rows):
    with path.open("w", newline="") as file:
        csv.writer(file).writerows(rows)
    return path


def left_over(tmp_path):
    return sorted(path.name for path in tmp_path.iterdir() if path.name != "tiles")
