"""LR from the slide's own levels lies exactly on HR everywhere, and levels that do not lie on HR are detected."""

import io

import cv2
import numpy as np
import pytest
import tifffile
from PIL import Image

from datasets_prep.common.downscale import area_reduce
from datasets_prep.patches.grid import grid
from datasets_prep.slides.open import open_slide
from datasets_prep.slides.pyramid_lr import LevelSource, describe, plan_levels, read_lr
from datasets_prep.slides.registration import Registration, gated, register, shift_of
from datasets_prep.synthetic.image import synthesize

SCALES = (2, 4, 8)
WIDTH, HEIGHT = 2003, 1543  # no multiples of 2, 4 or 8: W0/W is 2.001, 4.006, 8.012


@pytest.fixture(scope="module")
def hr():
    return synthesize(HEIGHT, WIDTH, seed=3)[0]


def level_of(hr, r, *, y=0, x=0):
    """The r×r mean of HR, shifted to begin at pixel (x, y), in the size of level r; edge pixels are repeated."""
    height, width = hr.shape[0] // r, hr.shape[1] // r
    moved = np.pad(hr[y:, x:], ((0, y), (0, x), (0, 0)), mode="edge")
    return area_reduce(moved[: height * r, : width * r], r)


def write_tiff(path, levels, *, jpeg=None):
    """Write a pyramid that OpenSlide opens, lossless or with JPEG of this quality."""
    coding = {"compression": "jpeg", "compressionargs": {"level": jpeg}} if jpeg else {"compression": "adobe_deflate"}
    with tifffile.TiffWriter(path) as file:
        for index, level in enumerate(levels):
            file.write(
                level,
                tile=(256, 256),
                photometric="rgb",
                subfiletype=int(index > 0),
                metadata=None,
                resolution=(40000, 40000),
                resolutionunit="CENTIMETER",
                **coding,
            )
    return path


def coordinates_of(slide):
    return grid(slide.width, slide.height, patch_size=192)


def gate(path):
    """The plan of a slide, how its LR lies on HR, and the plan after the gate."""
    with open_slide(path) as slide:
        plan = plan_levels(slide, SCALES)
        found = register(slide, coordinates_of(slide), size=192, plan=plan)
    return plan, found, *gated(plan, found)


@pytest.mark.parametrize(
    ("factors", "plan"),
    [
        ((2, 4, 8), "x2:level1 x4:level2 x8:level3"),
        ((4, 16), "x2:area x4:level1 x8:level1/2"),
        ((2,), "x2:level1 x4:level1/2 x8:level1/4"),
        ((3, 6), "x2:area x4:area x8:area"),
        ((), "x2:area x4:area x8:area"),
    ],
)
def test_every_patch_lies_on_hr_to_the_pixel(hr, tmp_path, factors, plan):
    """Also far from the origin: with W0/W = 4.006, x divided by W0/W would be 3 px wrong at the far end."""
    write_tiff(tmp_path / "a.tif", [hr, *(level_of(hr, r) for r in factors)])
    with open_slide(tmp_path / "a.tif") as slide:
        planned = plan_levels(slide, SCALES)
        assert describe(planned) == plan
        for k, source in planned.items():
            if source is None:
                continue
            for x, y in coordinates_of(slide).tolist():
                mean = area_reduce(hr[y : y + 192, x : x + 192], k)
                lr = read_lr(slide, x, y, 192, k, source)
                assert lr.shape == (192 // k, 192 // k, 3) and lr.dtype == np.uint8
                # A mean of means is rounded twice.
                assert np.abs(lr.astype(int) - mean).max() <= (source.rest > 1)


def test_levels_of_no_whole_factor_are_not_used(hr, tmp_path):
    odd = cv2.resize(hr, (801, 617), interpolation=cv2.INTER_AREA)
    write_tiff(tmp_path / "a.tif", [hr, odd, level_of(hr, 4)])
    with open_slide(tmp_path / "a.tif") as slide:
        assert plan_levels(slide, (2, 4, 8, 12)) == {
            2: None,
            4: LevelSource(2, 1),
            8: LevelSource(2, 2),
            12: LevelSource(2, 3),
        }


def test_a_compressed_pyramid_passes(hr, tmp_path):
    write_tiff(tmp_path / "a.tif", [hr, level_of(hr, 2), level_of(hr, 4)], jpeg=70)
    plan, found, remaining, why = gate(tmp_path / "a.tif")
    assert remaining == plan and why == ""
    for k, at in found.items():
        assert at.passed and at.patches == 32, k
        assert at.shift_median < 0.05 and at.shift_mad < 0.05 and 20 < at.psnr < 50


@pytest.mark.parametrize("side", ["left", "right", "top", "bottom"])
def test_every_side_of_a_slide_is_as_exact(hr, tmp_path, side):
    write_tiff(tmp_path / "a.tif", [hr, level_of(hr, 4)], jpeg=70)
    with open_slide(tmp_path / "a.tif") as slide:
        plan, coordinates = plan_levels(slide, (4, 8)), coordinates_of(slide)
        axis = int(side in ("top", "bottom"))
        end = coordinates[:, axis].max() if side in ("right", "bottom") else 0
        for at in register(slide, coordinates[coordinates[:, axis] == end], size=192, plan=plan).values():
            assert 8 <= at.patches <= 10 and at.shift_median < 0.05 and at.shift_mad < 0.05


def shifted(hr):
    """A level that is shifted by half an LR pixel along both axes."""
    return level_of(hr, 4, y=2, x=2)


def slightly_shifted(hr):
    """A level that is shifted by a quarter of an LR pixel along one axis."""
    return level_of(hr, 4, x=1)


def resized(hr):
    """HR resized to the rounded size: right at the origin, 0.75 px wrong at the far end."""
    return cv2.resize(hr, (WIDTH // 4, HEIGHT // 4), interpolation=cv2.INTER_AREA)


def shifted_from_the_middle_on(hr):
    right, wrong = level_of(hr, 4), shifted(hr)
    right[:, WIDTH // 9 :] = wrong[:, WIDTH // 9 :]
    return right


def blank(hr):
    return np.full_like(level_of(hr, 4), 243)


def of_another_slide(hr):
    return level_of(hr[::-1, ::-1], 4)


@pytest.mark.parametrize("make", [shifted, slightly_shifted, resized, shifted_from_the_middle_on, blank])
def test_levels_that_do_not_lie_on_hr_are_found_out(hr, tmp_path, make):
    write_tiff(tmp_path / "a.tif", [hr, level_of(hr, 2), make(hr)])
    plan, found, remaining, why = gate(tmp_path / "a.tif")
    assert describe(plan) == "x2:level1 x4:level2 x8:level2/2"
    assert found[2].passed and found[2].psnr == np.inf and not found[4].passed
    assert remaining[2] == plan[2] and remaining[4] is None
    assert "x4 (level2: " in why and "x2" not in why and "\n" not in why


def test_a_level_of_another_slide_is_found_out(hr, tmp_path):
    write_tiff(tmp_path / "a.tif", [hr, of_another_slide(hr)])
    _, found, remaining, why = gate(tmp_path / "a.tif")
    assert not found[4].passed and not found[8].passed and found[4].shift_mad > 1
    assert remaining == dict.fromkeys(SCALES) and "x4 (level1: " in why and "x8 (level1/2: " in why


def test_half_a_pixel_is_measured_as_such(hr, tmp_path):
    write_tiff(tmp_path / "a.tif", [hr, shifted(hr)])
    _, found, _, why = gate(tmp_path / "a.tif")
    assert found[4].shift_median == pytest.approx(0.5**0.5, abs=0.05) and found[4].shift_mad < 0.05
    assert f"x4 (level1: {found[4].shift_median:.2f} px off" in why


def test_without_texture_nothing_is_shown(hr, tmp_path):
    """Patches without texture are not compared, and a level without any comparison does not pass."""
    glass = np.random.default_rng(0).integers(238, 246, hr.shape, dtype=np.uint8)
    write_tiff(tmp_path / "a.tif", [glass, level_of(glass, 2)])
    _, found, remaining, why = gate(tmp_path / "a.tif")
    assert {at.patches for at in found.values()} == {0} and remaining == dict.fromkeys(SCALES) and "no texture" in why
    glass[576:960, 576:960] = hr[576:960, 576:960]  # four patches
    write_tiff(tmp_path / "b.tif", [glass, level_of(glass, 2)])
    plan, found, remaining, why = gate(tmp_path / "b.tif")
    assert {at.patches for at in found.values()} == {4} and remaining == plan and why == ""


@pytest.mark.parametrize("quality", [None, 70])
@pytest.mark.parametrize("k", SCALES)
def test_known_shifts_are_measured(hr, k, quality):
    for y, x in ((0, 0), (1, 0), (0, -1), (k // 2, -(k // 2))):
        found = []
        for left, top in grid(WIDTH - 16, HEIGHT - 16, patch_size=192)[::5] + 8:
            fixed = area_reduce(hr[top : top + 192, left : left + 192], k)
            moved = area_reduce(hr[top + y : top + y + 192, left + x : left + x + 192], k)
            if quality:
                with io.BytesIO() as buffer:
                    Image.fromarray(moved).save(buffer, "JPEG", quality=quality)
                    moved = np.asarray(Image.open(buffer))
            found.append(shift_of(moved, fixed))
        np.testing.assert_allclose(np.median(found, axis=0), (y / k, x / k), atol=0.02)


@pytest.mark.parametrize(
    ("median", "mad", "passed"),
    [(0.1, 0.1, True), (0.11, 0.0, False), (0.0, 0.11, False), (float("nan"), float("nan"), False)],
)
def test_the_gate_is_a_tenth_of_a_pixel(median, mad, passed):
    assert Registration(median, mad, 32.0, 32).passed is passed


def test_coordinates_off_the_lr_grid_are_refused(hr, tmp_path):
    with open_slide(write_tiff(tmp_path / "a.tif", [hr, level_of(hr, 4)])) as slide:
        for x, y, size in ((4, 0, 192), (0, 2, 192), (0, 0, 100)):
            with pytest.raises(ValueError, match="no whole pixels"):
                read_lr(slide, x, y, size, 8, LevelSource(1, 2))


def test_a_real_slide_passes(shared):
    """It differs from the area mean as in the reference measurement: by compression, not by a shift."""
    path = shared / "data/slides/tcga-cr-7395-01a-01-ts1.svs"
    with open_slide(path, assume_mpp=0.25) as slide:
        plan = plan_levels(slide, SCALES)
        assert describe(plan) == "x2:level1 x4:level1/2 x8:level1/4"
        found = register(slide, coordinates_of(slide), size=192, plan=plan)
        assert all(at.shift_median < 0.05 and at.shift_mad < 0.05 and at.patches == 32 for at in found.values())
        assert 29 < found[2].psnr < 33 and found[2].psnr < found[4].psnr < found[8].psnr
        assert gated(plan, found) == (plan, "")
        width, height = slide.level_sizes[1]
        mean = area_reduce(slide.read(0, 0, 2 * width, 2 * height), 2).astype(np.float32)
        error = np.mean((slide.read(0, 0, width, height, level=1) - mean) ** 2)
        assert 10 * np.log10(255**2 / error) == pytest.approx(32.3, abs=0.2)
