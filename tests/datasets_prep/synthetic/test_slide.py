"""Synthetic slides: OpenSlide opens both flavours, levels are exact means, and the returned maps fit the pixels."""

import cv2
import numpy as np
import openslide
import pytest
import tifffile

from datasets_prep.common.downscale import area_reduce
from datasets_prep.common.errors import UserError
from datasets_prep.synthetic.slide import write_synthetic_slide

LUMA = np.array([0.299, 0.587, 0.114])


@pytest.fixture(scope="module")
def slide(tmp_path_factory):
    path = tmp_path_factory.mktemp("slide") / "slide.tif"
    truth = write_synthetic_slide(path, width=3001, height=2003, seed=5, quality=95)
    with openslide.OpenSlide(path) as handle:
        image = np.asarray(handle.read_region((0, 0), 0, handle.dimensions).convert("RGB"))
    return path, truth, image


@pytest.mark.parametrize("flavour", ["generic", "svs"])
@pytest.mark.parametrize("mpp", [0.25, None])
def test_openslide_opens_both_flavours(tmp_path, flavour, mpp):
    path = tmp_path / "s.tif"
    write_synthetic_slide(path, width=1027, height=530, seed=1, mpp=mpp, flavour=flavour, tile=128)
    with openslide.OpenSlide(path) as handle:
        known = handle.properties
        assert handle.level_dimensions == ((1027, 530), (256, 132), (64, 33))
        assert handle.level_downsamples[1] == pytest.approx((1027 / 256 + 530 / 132) / 2)
        assert known["openslide.vendor"] == {"generic": "generic-tiff", "svs": "aperio"}[flavour]
        assert known.get("openslide.mpp-x") == known.get("openslide.mpp-y")
        assert (float(known["openslide.mpp-x"]) == pytest.approx(0.25)) if mpp else "openslide.mpp-x" not in known
        assert known.get("openslide.objective-power") == {"generic": None, "svs": "40"}[flavour]
        assert list(handle.associated_images) == {"generic": [], "svs": ["thumbnail"]}[flavour]
    with tifffile.TiffFile(path) as file:  # Bio-Formats takes an Aperio page without this tag for no level
        kinds = [page.tags["NewSubfileType"].value if "NewSubfileType" in page.tags else None for page in file.pages]
    assert kinds == {"generic": [None, 1, 1], "svs": [0, 0, 0, 0]}[flavour]
    assert [entry.name for entry in tmp_path.iterdir()] == ["s.tif"]


def test_levels_are_means_from_the_upper_left_corner(slide):
    """Equal except for JPEG, in brightness only because JPEG halves the colours; with a shift they fit less."""
    path, _, image = slide
    with tifffile.TiffFile(path) as file:
        for page, factor in zip(file.pages[1:], (4, 16), strict=True):
            level = page.asarray() @ LUMA
            height, width = 2003 // factor, 3001 // factor
            assert level.shape == (height, width)
            mean = area_reduce(image[: height * factor, : width * factor], factor) @ LUMA
            error = np.abs(level - mean).mean()
            assert error < 1.2
            for shift in ((0, 1), (1, 0), (0, -1), (-1, 0)):
                assert np.abs(np.roll(level, shift, (0, 1)) - mean)[4:-4, 4:-4].mean() > 4 * error


def test_truth_is_what_the_pixels_show(slide):
    _, truth, image = slide
    small = area_reduce(image[:2000, :3000], 8)[: 2 * 125, : 2 * 187]
    small = area_reduce(small, 2)
    for one in (truth.tissue, truth.pen, truth.black):
        assert one.shape == (125, 187) and one.dtype == np.uint8 and set(np.unique(one)) == {0, 1}
    assert not (truth.tissue & (truth.pen | truth.black)).any()
    value = small.max(axis=2)
    saturation = cv2.cvtColor(small, cv2.COLOR_RGB2HSV)[..., 1]
    inside = cv2.erode(truth.tissue, np.ones((3, 3)), borderValue=1) > 0
    marked = cv2.dilate(np.maximum(truth.pen, truth.black), np.ones((5, 5))) > 0
    glass = (cv2.dilate(truth.tissue, np.ones((3, 3))) == 0) & ~marked
    assert glass.mean() > 0.1 and inside.mean() > 0.25
    assert saturation[glass].max() <= 5 and value[glass].min() > 235  # CLAM's threshold for tissue is 8
    assert np.median(saturation[inside & ~marked]) > 30
    assert value[truth.black > 0].max() < 30
    assert np.percentile(small[cv2.erode(truth.pen, np.ones((3, 3))) > 0].min(axis=1), 95) < 110
    assert (truth.pen > 0).sum() > 200


def test_marks_can_be_left_out_and_pixels_follow_from_the_seed(tmp_path):
    def pixels(name, **options):
        truth = write_synthetic_slide(tmp_path / name, width=700, height=600, factors=(), **options)
        return truth, tifffile.imread(tmp_path / name)

    truth, plain = pixels("a.tif", seed=3, pen=False, black=False)
    assert not truth.pen.any() and not truth.black.any() and truth.tissue.any() and plain.min(axis=2).max() > 230
    assert plain.reshape(-1, 3).max(axis=1).min() > 40
    np.testing.assert_array_equal(pixels("b.tif", seed=3, pen=False, black=False)[1], plain)
    assert (pixels("c.tif", seed=4, pen=False, black=False)[1] != plain).mean() > 0.5


def test_tissue_has_no_straight_seams(tmp_path):
    """On a slide without pen marks, neighbouring rows and columns differ no more at a seam than elsewhere."""
    write_synthetic_slide(tmp_path / "s.tif", width=2000, height=1500, seed=7, factors=(), pen=False, black=False)
    image = tifffile.imread(tmp_path / "s.tif").astype(float)
    for axis in (0, 1):
        step = np.abs(np.diff(image, axis=axis)).mean(axis=(1 - axis, 2))
        local = np.array([np.median(step[max(0, at - 20) : at + 21]) for at in range(len(step))])
        tissue = local > 2
        assert tissue.mean() > 0.5 and (step / local)[tissue].max() < 1.6


@pytest.mark.parametrize(
    "options",
    [{"width": 255}, {"tile": 100}, {"tile": 0}, {"factors": (4, 0)}, {"factors": (1,)}, {"factors": (17, 13)}],
)
def test_what_cannot_be_is_refused(tmp_path, options):
    with pytest.raises(UserError, match="give"):
        write_synthetic_slide(tmp_path / "s.tif", **({"width": 600, "height": 600, "seed": 0} | options))
    with pytest.raises(UserError, match="cannot write"):
        write_synthetic_slide(tmp_path / "absent" / "s.tif", width=300, height=300, seed=0)
    assert list(tmp_path.iterdir()) == []
