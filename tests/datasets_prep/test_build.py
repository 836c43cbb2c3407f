"""From slides to LMDBs: LR lies on HR, patients are disjoint, bytes repeat, and unusable slides are listed."""

import csv
import hashlib
import json
import shutil

import cv2
import numpy as np
import openslide
import pytest
import tifffile
from helpers.build import PATIENTS, barcode, build, write_slides
from helpers.tiles import hashes, images, manifest_rows
from skimage.registration import phase_cross_correlation

from datasets_prep.check.check import check_dataset
from datasets_prep.common.downscale import area_reduce
from datasets_prep.common.errors import UserError
from datasets_prep.patches.options import Limits
from datasets_prep.synthetic.slide import write_synthetic_slide


@pytest.fixture(scope="module")
def slides(tmp_path_factory):
    return write_slides(tmp_path_factory.mktemp("case") / "slides")


@pytest.fixture(scope="module")
def built(slides, tmp_path_factory):
    out = tmp_path_factory.mktemp("built") / "data"
    return out, build(slides, out)


def test_patches_are_the_slides_pixels(slides, built):
    out, result = built
    rows = manifest_rows(out)
    assert result.counts == {"train": 40, "val": 8, "test1": 8, "test2": 8} and len(rows) == 64
    assert not result.failed and result.duplicates == 0
    for split in result.counts:
        hr = images(out / split / "HR.lmdb")
        mine = {row["key"]: row for row in rows if row["split"] == split}
        assert set(hr) == set(mine)
        for key, row in mine.items():
            x, y = int(row["x"]), int(row["y"])
            with openslide.OpenSlide(slides / row["slide"]) as slide:
                stored = np.asarray(slide.read_region((x, y), 0, (96, 96)).convert("RGB"))
            np.testing.assert_array_equal(hr[key], stored)
            assert row["sha1"] == hashlib.sha1(stored.tobytes()).hexdigest()
            assert x % 96 == y % 96 == 0 and row["level"] == "0" and float(row["mpp"]) == pytest.approx(0.25, abs=1e-3)
            assert 0.5 <= float(row["tissue"]) <= 1 and row["patient"] == row["slide"][:12]
        for scale in (2, 4, 8):
            lr = images(out / split / f"LR_x{scale}.lmdb")
            assert all(np.array_equal(lr[key], area_reduce(hr[key], scale)) for key in hr)


def test_every_patient_is_in_one_split(built):
    splits = {}
    for row in manifest_rows(built[0]):
        splits.setdefault(row["patient"], set()).add(row["split"])
    assert len(splits) == PATIENTS and all(len(found) == 1 for found in splits.values())


def test_card_summary_and_check(built):
    out, _ = built
    assert (out / "card.md").read_text(encoding="utf-8").count(barcode(0)) >= 1
    assert (out / "card.png").stat().st_size > 20_000
    with (out / "slides.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["status"] for row in rows] == ["ok"] * PATIENTS
    assert sum(int(row["accepted"]) for row in rows) == 64
    assert all(0 < float(row["tissue_mm2"]) < 0.6**2 for row in rows)
    assert {path.name.partition(".")[0] for path in (out / "slides").glob("*.geojson")} == {
        barcode(index) for index in range(PATIENTS)
    }
    assert json.loads((out / "build.json").read_text())["seed"] == 0
    assert check_dataset(out, progress=False).findings == []


def test_provenance(slides, built):
    settings = json.loads((built[0] / "build.json").read_text())
    assert settings["inputs"]["slides"] == [str(slides)] and settings["failures"] == {}
    assert settings["versions"].keys() >= {"mihatp", "python", "numpy", "openslide", "tifffile", "opencv-python"}
    assert settings["versions"]["numpy"] == np.__version__
    assert {source["file"] for source in settings["sources"].values()} == {str(path) for path in slides.iterdir()}
    assert all(source["bytes"] > 0 for source in settings["sources"].values())


@pytest.mark.slow
def test_a_slide_without_an_accepted_patch_is_not_ok(slides, tmp_path):
    folder = tmp_path / "slides"
    shutil.copytree(slides, folder)
    blurred = tifffile.imread(slides / f"{barcode(0)}.tif", key=0)
    blurred = cv2.GaussianBlur(blurred, (0, 0), 8)
    resolution = {"resolution": (40000, 40000), "resolutionunit": "CENTIMETER"}
    options = {"tile": (256, 256), "compression": "zlib", "photometric": "rgb", "metadata": None}
    tifffile.imwrite(folder / f"{barcode(0)[:-1]}2.tif", blurred, **options, **resolution)
    build(folder, tmp_path / "out")
    with (tmp_path / "out/slides.csv").open(newline="") as file:
        rows = {row["slide"]: row for row in csv.DictReader(file)}
    row = rows.pop(f"{barcode(0)[:-1]}2.tif")
    assert row["status"] == "unused" and "no patch was accepted" in row["reason"] and "blurred" in row["reason"]
    assert {row["status"] for row in rows.values()} == {"ok"}


@pytest.mark.slow
def test_same_seed_same_bytes_whoever_works(slides, built, tmp_path):
    for name, options in (("again", {}), ("processes", {"workers": 2}), ("seed", {"seed": 1})):
        build(slides, tmp_path / name, **options)
    assert hashes(tmp_path / "again") == hashes(tmp_path / "processes") == hashes(built[0]) != hashes(tmp_path / "seed")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["again", "processes", "seed"]


@pytest.fixture(scope="module")
def odd(tmp_path_factory):
    """Sizes of levels are rounded down, because width and height are no multiples of the factors."""
    slide = tmp_path_factory.mktemp("odd") / "a.svs"
    write_synthetic_slide(slide, width=3003, height=2541, seed=5, flavour="svs", factors=(2, 4, 8))
    return slide


def shift(lr, of_hr):
    """Shift of `lr` against the area mean of HR, LR px, the larger of both axes."""
    window = np.outer(np.hanning(lr.shape[0]), np.hanning(lr.shape[1]))
    a, b = (window * (grey - grey.mean()) for grey in (of_hr.mean(-1), lr.mean(-1)))
    found, _, _ = phase_cross_correlation(a, b, upsample_factor=100)
    return np.abs(found).max()


@pytest.mark.parametrize("lr", ["area", "bicubic", "pyramid"])
def test_lr_of_every_scale_lies_on_hr(odd, tmp_path, lr):
    build(odd, tmp_path / "out", lr=lr, split_by="patch", tests=1, patch_size=192)
    rows = manifest_rows(tmp_path / "out")
    source = {"pyramid": "x2:level1 x4:level2 x8:level3"}.get(lr, lr)
    assert {row["lr_source"] for row in rows} == {source}
    hr = images(tmp_path / "out/train/HR.lmdb")
    assert len(hr) > 10
    for scale in (2, 4, 8):
        small = images(tmp_path / f"out/train/LR_x{scale}.lmdb")
        assert np.median([shift(small[key], area_reduce(hr[key], scale)) for key in hr]) < 0.05
    assert check_dataset(tmp_path / "out", progress=False).findings == []


def test_limits_are_filled_in_turns_over_slides(slides, tmp_path):
    with (tmp_path / "m.csv").open("w") as file:
        file.write("slide,split\n" + "".join(f"{barcode(i)},train\n" for i in range(PATIENTS)))
    built = build(slides, tmp_path / "out", manifest=tmp_path / "m.csv", limits=Limits(train=10))
    taken = [state.accepted for state in built.sources]
    assert sorted(taken) == [2, 2, 3, 3]
    capped = build(slides, tmp_path / "capped", manifest=tmp_path / "m.csv", limits=Limits(train=10, per_slide=1))
    assert [state.accepted for state in capped.sources] == [1] * PATIENTS


def test_a_corrected_mask_decides_where_patches_are(slides, built, tmp_path):
    slide = slides / f"{barcode(0)}.tif"
    everything = json.loads((built[0] / "slides" / f"{barcode(0)}.geojson").read_text())
    ring = [[0, 0], [768, 0], [768, 1536], [0, 1536], [0, 0]]
    everything["features"][0]["geometry"] = {"type": "Polygon", "coordinates": [ring]}
    everything["features"] = everything["features"][:1]
    (tmp_path / f"{barcode(0)}.geojson").write_text(json.dumps(everything))
    build(slide, tmp_path / "out", mask=tmp_path, split_by="patch", tests=1)
    rows = manifest_rows(tmp_path / "out")
    assert rows and all(int(row["x"]) + 96 <= 768 + 48 for row in rows)


def test_split_by_patch_warns(slides, tmp_path):
    with pytest.raises(UserError, match="1 patient cannot fill"):
        build(slides / f"{barcode(0)}.tif", tmp_path / "out")
    build(slides / f"{barcode(0)}.tif", tmp_path / "out", split_by="patch", tests=1)
    assert "too good" in (tmp_path / "out/card.md").read_text(encoding="utf-8")
    report = check_dataset(tmp_path / "out", progress=False)
    assert report.findings == [] and "patch" in report.text()


def write_unusable(folder):
    """Slides of no use, each of its own patient; for each, a part of the reason that is to be given."""
    (folder / f"{barcode(90)}.svs").write_text("no slide")
    whole = (folder / f"{barcode(1)}.svs").read_bytes()
    (folder / f"{barcode(91)}.svs").write_bytes(whole[: len(whole) // 2])
    for index, mpp in ((92, 0.5), (93, None)):
        write_synthetic_slide(folder / f"{barcode(index)}.tif", width=600, height=600, seed=1, mpp=mpp)
    glass = np.random.default_rng(0).integers(240, 246, (1024, 1024, 3), dtype=np.uint8)
    resolution = {"resolution": (40000, 40000), "resolutionunit": "CENTIMETER"}
    tifffile.imwrite(folder / f"{barcode(94)}.tif", glass, tile=(256, 256), metadata=None, **resolution)
    reasons = ("no slide", "fetch", "20x slide", "--assume-mpp", "no tissue")
    return {barcode(90 + number): reason for number, reason in enumerate(reasons)}


def test_what_cannot_be_used_is_listed_and_the_rest_is_done(slides, built, tmp_path):
    folder = tmp_path / "slides"
    shutil.copytree(slides, folder)
    reasons = write_unusable(folder)
    result = build(folder, tmp_path / "out")
    assert len(result.failed) == len(reasons)
    for (name, reason), line in zip(reasons.items(), sorted(result.failed), strict=True):
        assert name in line and reason in line and "\n" not in line
    assert result.counts == built[1].counts
    with (tmp_path / "out/slides.csv").open(newline="") as file:
        failed = {row["slide"].partition(".")[0] for row in csv.DictReader(file) if row["status"] == "failed"}
    assert failed == reasons.keys()


def test_folders_without_slides_are_refused(tmp_path):
    (tmp_path / "empty").mkdir()
    for given, says in (([tmp_path / "empty"], "holds no slides"), ([tmp_path / "no"], "exist"), ([], "nothing to")):
        with pytest.raises(UserError, match=says):
            build(given, tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["empty"]
