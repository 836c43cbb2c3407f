"""A small data set in the layout of `prepare`, written without it, and functions that damage it."""

import csv
import hashlib
import json

import cv2
import lmdb
import numpy as np

from datasets_prep.check.check import check_dataset
from datasets_prep.common.downscale import reduce_patch
from datasets_prep.common.png import encode_png
from datasets_prep.dataset.lmdb_writer import open_lmdb, write_lmdb
from datasets_prep.signatures import PATCH_COLUMNS
from datasets_prep.synthetic.image import synthesize

SIDE = 96
SCALES = (2, 4, 8)
SLIDES = {"p1-a": "train", "p2-a": "train", "p3-a": "val", "p4-a": "test1"}


def write_rows(path, rows, columns=PATCH_COLUMNS):
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def read_rows(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def make_row(key, slide, split, x, y, hr, lr_source):
    identity = {"key": key, "slide": f"{slide}.svs", "patient": slide.partition("-")[0], "split": split, "x": x, "y": y}
    sha1 = hashlib.sha1(np.ascontiguousarray(hr)).hexdigest()
    return identity | {"level": 0, "mpp": 0.25, "tissue": 0.9, "lr_source": lr_source, "sha1": sha1}


def resampled(hr, k):
    """LR like a scanner's own level: near the area mean, but never equal to it."""
    soft = cv2.GaussianBlur(hr, (0, 0), 0.6)
    done, jpeg = cv2.imencode(".jpg", reduce_patch(soft, k, kernel="area"), [cv2.IMWRITE_JPEG_QUALITY, 80])
    assert done
    return cv2.imdecode(jpeg, cv2.IMREAD_COLOR)


def write_dataset(folder, *, lr="area", scales=SCALES):
    """Write a data set of four slides with 2×3 patches of 96 px each; `lr` is area, bicubic or pyramid."""
    images, rows = {}, []
    for seed, (slide, split) in enumerate(SLIDES.items()):
        rgb, _ = synthesize(2 * SIDE, 3 * SIDE, seed=seed)
        for y in (0, SIDE):
            for x in (0, SIDE, 2 * SIDE):
                hr = rgb[y : y + SIDE, x : x + SIDE]
                source = " ".join(f"x{k}:level1/{k // 2}" for k in scales) if lr == "pyramid" else lr
                rows.append(make_row(f"{slide}_{x}_{y}", slide, split, x, y, hr, source))
                images.setdefault(split, {})[rows[-1]["key"]] = hr
    for split, patches in images.items():
        write_lmdb(folder / split / "HR.lmdb", patches.items())
        for k in scales:
            reduce = resampled if lr == "pyramid" else lambda hr, k: reduce_patch(hr, k, kernel=lr)
            write_lmdb(folder / split / f"LR_x{k}.lmdb", [(key, reduce(hr, k)) for key, hr in patches.items()])
    write_rows(folder / "manifest.csv", rows)
    settings = {"seed": 3, "lr": lr, "split_by": "patient", "patch_size": SIDE, "scales": scales, "warnings": []}
    (folder / "build.json").write_text(json.dumps(settings))
    return folder


def values(path):
    """Key -> PNG bytes, in the order of meta_info.txt."""
    keys = [line.partition(".")[0] for line in (path / "meta_info.txt").read_text().splitlines()]
    with lmdb.open(str(path), readonly=True, lock=False) as env, env.begin() as transaction:
        return {key: bytes(transaction.get(key.encode())) for key in keys}


def rewrite(path, new, *, sizes=None):
    """Replace the LMDB by one with the PNGs `new`; meta_info.txt gets `sizes`, by default the true sizes."""
    with open_lmdb(path, overwrite=True) as writer:
        for key, png in new.items():
            image = None if sizes else cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_COLOR)
            height, width = sizes or image.shape[:2]
            writer.put_png(key, png, height=height, width=width)


def pixels(png):
    return cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_COLOR)[..., ::-1]


def change(path, key, edit):
    """Replace the pixels of one image by `edit(pixels)`."""
    new = values(path)
    rewrite(path, {**new, key: encode_png(edit(pixels(new[key])))})


def findings_of(folder):
    findings = check_dataset(folder, progress=False).findings
    assert all("\n" not in line for line in findings)
    return findings


def only(folder):
    (line,) = findings_of(folder)
    return line


def edit_rows(data, edit):
    rows = read_rows(data / "manifest.csv")
    for row in rows:
        edit(row)
    write_rows(data / "manifest.csv", rows)
