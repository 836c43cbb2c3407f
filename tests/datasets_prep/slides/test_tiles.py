"""From folders of tiles to LMDBs: patients are disjoint, LR lies on HR, bytes repeat, output is whole or absent."""

import csv
import hashlib

import numpy as np
import pytest
from basicsr.data import build_dataset
from helpers.tiles import barcode, build, hashes, images, manifest_rows, write_csv, write_tiles
from PIL import Image

from datasets_prep.common.downscale import area_reduce
from datasets_prep.patches.options import Limits
from datasets_prep.slides.tiles import read_rgb
from datasets_prep.synthetic.image import synthesize

SPLITS = ["test1", "test2", "test3", "test4", "test5", "train", "val"]


@pytest.fixture
def tiles(tmp_path):
    return write_tiles(tmp_path / "tiles")


def test_patches_are_the_tiles_pixels_and_lr_their_mean(tiles, tmp_path):
    out = tmp_path / "out"
    built = build(tiles, out)
    assert sorted(built.counts) == SPLITS == sorted(path.name for path in out.iterdir() if path.is_dir())
    rows = manifest_rows(out)
    assert len(rows) == sum(built.counts.values()) == 48 - sum(built.rejected().values())
    for split, count in built.counts.items():
        hr = images(out / split / "HR.lmdb")
        mine = {row["key"]: row for row in rows if row["split"] == split}
        assert len(hr) == count and set(hr) == set(mine)
        for scale in (2, 4, 8):
            lr = images(out / split / f"LR_x{scale}.lmdb")
            assert set(lr) == set(hr)
            for key, patch in lr.items():
                np.testing.assert_array_equal(patch, area_reduce(hr[key], scale))
        for key, row in mine.items():
            x, y = int(row["x"]), int(row["y"])
            source = read_rgb(tiles / row["slide"])[y : y + 48, x : x + 48]
            np.testing.assert_array_equal(hr[key], source)
            assert row["sha1"] == hashlib.sha1(source.tobytes()).hexdigest()
            assert row["lr_source"] == "area" and row["patient"] == row["slide"][:12]


def test_basicsr_pairs_them(tiles, tmp_path):
    build(tiles, tmp_path / "out")
    options = {
        "name": "train",
        "type": "PairedImageDataset",
        "dataroot_gt": str(tmp_path / "out/train/HR.lmdb"),
        "dataroot_lq": str(tmp_path / "out/train/LR_x8.lmdb"),
        "io_backend": {"type": "lmdb"},
        "gt_size": 32,
        "use_hflip": True,
        "use_rot": True,
        "scale": 8,
        "phase": "train",
    }
    for pair in build_dataset(options):
        assert pair["gt"].shape == (3, 32, 32) and pair["lq"].shape == (3, 4, 4)
        mean = pair["gt"].reshape(3, 4, 8, 4, 8).mean(dim=(2, 4))
        assert (mean - pair["lq"]).abs().max() <= 0.501 / 255


def test_no_patient_in_two_splits(tiles, tmp_path):
    Image.fromarray(synthesize(100, 100, seed=99)[0]).save(tiles / "TCGA-AA-0003-01Z-00-DX2.png")
    build(tiles, tmp_path / "out")
    splits = {}
    for row in manifest_rows(tmp_path / "out"):
        splits.setdefault(row["patient"], set()).add(row["split"])
    assert len(splits) == 8 and all(len(found) == 1 for found in splits.values())


@pytest.mark.slow
def test_same_seed_same_bytes_other_seed_other_split(tiles, tmp_path):
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        build(tiles, tmp_path / name, seed=seed)
    assert hashes(tmp_path / "a") == hashes(tmp_path / "b") != hashes(tmp_path / "c")


def test_limits_are_filled_in_turns(tiles, tmp_path):
    rows = [["image", "split"], *([f"{barcode(index)}.png", "train"] for index in range(8))]
    manifest = write_csv(tiles / "m.csv", rows)
    built = build(tiles, tmp_path / "out", manifest=manifest, limits=Limits(train=12))
    per_patient = [row["patient"] for row in manifest_rows(tmp_path / "out")]
    assert built.counts == {"train": 12} and built.patients == {"train": 8}
    assert {per_patient.count(patient) for patient in per_patient} == {1, 2}


def test_glass_is_dropped_and_counted(tiles, tmp_path):
    tile = read_rgb(tiles / f"{barcode(0)}.png").copy()
    tile[:48, :96] = np.random.default_rng(0).integers(240, 246, (48, 96, 3))
    Image.fromarray(tile).save(tiles / f"{barcode(0)}.png")
    before = build(tiles, tmp_path / "all", min_saturation=0)
    built = build(tiles, tmp_path / "out")
    assert before.rejected() == {} and built.rejected()["pale"] >= 2
    assert sum(before.counts.values()) - sum(built.counts.values()) == built.rejected()["pale"]
    assert f"{barcode(0)}_0_0" not in {row["key"] for row in manifest_rows(tmp_path / "out")}


def test_manifest_splits_rule(tiles, tmp_path):
    stated = ["train", "val", *["test"] * 6]
    rows = [["image", "patient", "split"], *([f"tiles/{barcode(i)}.png", f"p{i}", s] for i, s in enumerate(stated))]
    built = build(tiles, tmp_path / "out", manifest=write_csv(tmp_path / "m.csv", rows))
    assert built.patients == {"train": 1, "val": 1, "test1": 2, "test2": 1, "test3": 1, "test4": 1, "test5": 1}
    assert {row["patient"] for row in manifest_rows(tmp_path / "out") if row["split"] == "val"} == {"p1"}


def test_transparent_pixels_are_glass(tmp_path):
    rgba = np.zeros((4, 4, 4), np.uint8)
    rgba[:2] = (200, 100, 150, 255)
    Image.fromarray(rgba).save(tmp_path / "a.png")
    rgb = read_rgb(tmp_path / "a.png")
    assert (rgb[:2] == (200, 100, 150)).all() and (rgb[2:] == 255).all()


@pytest.mark.slow
def test_real_tiles_with_their_manifest(shared, tmp_path):
    data = shared / "data/monuseg"
    built = build(
        data / "images",
        tmp_path / "out",
        manifest=data / "manifest.csv",
        scales=(4,),
        patch_size=192,
        limits=Limits(train=46, val=8, test=4),
    )
    assert built.counts == {"train": 46, "val": 8, **{f"test{index}": 4 for index in range(1, 6)}}
    assert built.patients["train"] == 23 and built.patients["val"] == 4
    with (data / "manifest.csv").open(newline="") as file:
        stated = {row["patient"]: row["split"] for row in csv.DictReader(file)}
    for row in manifest_rows(tmp_path / "out"):
        assert row["split"].rstrip("12345") == stated[row["patient"]]
