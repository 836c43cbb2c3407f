"""LR that is not the LR of its HR: swapped, shifted, or made in another way."""

import numpy as np
import openslide
import pytest
from helpers.dataset import (
    change,
    findings_of,
    only,
    pixels,
    resampled,
    rewrite,
    values,
)

from datasets_prep.check.lr_of_hr import registered_flaw
from datasets_prep.common.downscale import reduce_patch
from datasets_prep.dataset.lmdb_writer import write_lmdb

KEY, OTHER = "p1-a_96_0", "p1-a_96_96"


@pytest.mark.parametrize(("lr", "role"), [("area", "LR_x2"), ("area", "LR_x8"), ("bicubic", "LR_x4")])
def test_swapped_pair(copy, lr, role):
    data = copy(lr)
    new = values(data / "train" / f"{role}.lmdb")
    new[KEY], new[OTHER] = new[OTHER], new[KEY]
    rewrite(data / "train" / f"{role}.lmdb", new)
    first, second = findings_of(data)
    assert first == f"train/{role} {KEY}: is the LR of {OTHER}: a swapped pair"
    assert second == f"train/{role} {OTHER}: is the LR of {KEY}: a swapped pair"


@pytest.mark.parametrize("role", ["LR_x2", "LR_x4"])
def test_swapped_pair_of_pyramid(copy, role):
    data = copy("pyramid")
    new = values(data / "train" / f"{role}.lmdb")
    new[KEY], new[OTHER] = new[OTHER], new[KEY]
    rewrite(data / "train" / f"{role}.lmdb", new)
    found = findings_of(data)
    assert [line.partition(":")[0] for line in found] == [f"train/{role} {KEY}", f"train/{role} {OTHER}"]
    assert all("does not show what HR shows" in line for line in found)


def test_pale_patches_that_do_not_belong_together(data):
    """The patches are so pale that their PSNR is high."""
    hr, other = (
        (160 + pixels(values(data / "train/HR.lmdb")[key]) / 3).clip(0, 255).astype(np.uint8) for key in (KEY, OTHER)
    )
    assert registered_flaw(hr, resampled(hr, 2), 2) == ""
    assert "does not show what HR shows: PSNR 2" in registered_flaw(hr, resampled(other, 2), 2)


@pytest.mark.parametrize(
    ("lr", "scale", "dx", "dy"),
    [("area", 2, 1, 0), ("area", 4, -1, 1), ("area", 8, 0, 1), ("bicubic", 2, 0, -1), ("bicubic", 4, 1, 0)],
)
def test_lr_shifted_by_one_pixel(copy, lr, scale, dx, dy):
    data = copy(lr)
    change(data / f"train/LR_x{scale}.lmdb", KEY, lambda image: np.roll(image, (dy, dx), axis=(0, 1)))
    assert only(data) == f"train/LR_x{scale} {KEY}: is HR reduced, but shifted by ({dx:+}, {dy:+}) LR pixels"


def test_lr_shifted_by_one_hr_pixel(data):
    hr = pixels(values(data / "train/HR.lmdb")[KEY])
    moved = reduce_patch(np.roll(hr, 1, axis=1), 4, kernel="area")
    change(data / "train/LR_x4.lmdb", KEY, lambda _: moved)
    assert "shifted by (+0.25, +0) LR pixels" in only(data)


@pytest.mark.parametrize(("scale", "dx", "dy"), [(2, 1, 0), (2, 0, -1), (4, -1, 0)])
def test_pyramid_shifted_by_one_pixel(copy, scale, dx, dy):
    data = copy("pyramid")
    change(data / f"train/LR_x{scale}.lmdb", KEY, lambda image: np.roll(image, (dy, dx), axis=(0, 1)))
    line = only(data)
    assert line.startswith(f"train/LR_x{scale} {KEY}: is shifted by (")
    x, y = (float(part) for part in line.partition("(")[2].partition(")")[0].split(","))
    assert abs(x - dx) < 0.25 and abs(y - dy) < 0.25


def test_other_ways_in_which_lr_differs(data):
    hr = pixels(values(data / "train/HR.lmdb")[KEY])
    for edit, message in (
        (lambda image: image[..., ::-1], "red and blue are swapped"),
        (lambda _: reduce_patch(hr, 4, kernel="bicubic"), "HR reduced by bicubic, not by area"),
        (lambda _: resampled(hr, 4), "is not HR reduced (area): "),
        (lambda _: reduce_patch(hr, 8, kernel="area"), "is 12x12, HR is 96x96: not 4 times that"),
    ):
        before = values(data / "train/LR_x4.lmdb")[KEY]
        change(data / "train/LR_x4.lmdb", KEY, edit)
        line = only(data)
        assert line.startswith(f"train/LR_x4 {KEY}: ") and message in line
        change(data / "train/LR_x4.lmdb", KEY, lambda _, before=before: pixels(before))
    assert findings_of(data) == []


def test_own_level_of_a_real_slide(shared, tmp_path):
    """The LR level of a real scanner passes; the same level with a shift does not."""
    with openslide.OpenSlide(shared / "data/slides/tcga-cr-7395-01a-01-ts1.svs") as slide:
        full, half = (
            np.asarray(slide.read_region((0, 0), level, slide.level_dimensions[level]).convert("RGB"))
            for level in (0, 1)
        )
    places = [(x, y) for y in range(960, 1920, 192) for x in range(960, 1920, 192)]
    for split, off in (("sound", 0), ("shifted", 1)):
        hr = ((f"s_{x}_{y}", full[y : y + 192, x : x + 192]) for x, y in places)
        write_lmdb(tmp_path / split / "HR.lmdb", hr)
        for scale in (2, 4):
            lr = ((f"s_{x}_{y}", half[y // 2 : y // 2 + 96, x // 2 + off :][:, :96]) for x, y in places)
            reduced = ((key, image if scale == 2 else reduce_patch(image, 2, kernel="area")) for key, image in lr)
            write_lmdb(tmp_path / split / f"LR_x{scale}.lmdb", reduced)
    assert findings_of(tmp_path / "sound") == []
    found = findings_of(tmp_path / "shifted")
    assert len(found) == 21 and found[-1] == "… and 30 more: LR is not that of its HR"
    assert all("shifted by (-" in line for line in found[:-1])
