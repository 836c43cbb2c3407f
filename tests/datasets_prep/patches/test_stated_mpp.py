"""The resolution that a user states is used, or contradicted in a line; HR of 20x and 10x is exactly reduced."""

import json

import numpy as np
import pytest
import tifffile
from helpers.tiles import barcode, build, images, manifest_rows, write_csv, write_tiles
from PIL import Image

from datasets_prep.check.check import check_dataset
from datasets_prep.command import main
from datasets_prep.common.downscale import area_reduce
from datasets_prep.common.errors import UserError
from datasets_prep.patches.options import Limits, QualityFilter, ScanOptions, SplitOptions
from datasets_prep.patches.scan import scan
from datasets_prep.patches.sources import Source
from datasets_prep.prepare import prepare
from datasets_prep.slides.open import open_slide
from datasets_prep.slides.tiles import TileReader, read_rgb
from datasets_prep.synthetic.image import synthesize
from datasets_prep.synthetic.slide import write_synthetic_slide

SIDE = 1536


@pytest.fixture(scope="module")
def slides(tmp_path_factory):
    """One slide of each resolution, µm per level-0 pixel."""
    folder = tmp_path_factory.mktemp("slides")
    for mpp in (0.125, 0.25, 0.5, None):
        write_synthetic_slide(
            folder / f"{mpp}.tif", width=SIDE, height=SIDE, seed=3, mpp=mpp, pen=False, black=False, factors=(2, 4, 8)
        )
    return folder


def scanned(slides, tmp_path, mpp, stated=None, **options):
    source = Source("slide", slides / f"{mpp}.tif", f"{mpp}.tif", str(mpp), "p", mpp=stated)
    return scan(source, ScanOptions(patch_size=96, preset="biopsy", **options), None, tmp_path / "scan")


@pytest.mark.parametrize(
    ("own", "stated", "options", "mpp", "source", "note"),
    [
        (0.25, None, {}, 0.25, "slide", ""),
        (0.25, 0.25, {}, 0.25, "slide", ""),
        (0.25, 0.5, {}, 0.25, "slide", "the file states 0.25 µm/px, and that counts; the manifest says 0.5"),
        (0.25, None, {"assume_mpp": 0.5}, 0.25, "slide", "--assume-mpp says 0.5: give --override-mpp"),
        (0.5, 0.25, {"override_mpp": True}, 0.25, "overridden", "the manifest says 0.25, and that counts"),
        (0.5, None, {"override_mpp": 0.25}, 0.25, "overridden", "--override-mpp says 0.25, and that counts"),
        (0.5, 0.25, {"override_mpp": 0.2}, 0.25, "overridden", "the manifest says 0.25"),
        (0.5, None, {"override_mpp": True, "assume_mpp": 0.25}, 0.25, "overridden", "--assume-mpp says 0.25"),
        (None, 0.25, {}, 0.25, "assumed", ""),
        (None, None, {"override_mpp": 0.25}, 0.25, "assumed", ""),
    ],
)
def test_what_is_stated_counts_or_is_contradicted(slides, tmp_path, own, stated, options, mpp, source, note):
    found = scanned(slides, tmp_path, own, stated, **options)
    assert found.failed == "" and (found.mpp, found.mpp_source) == (pytest.approx(mpp, rel=1e-3), source)
    assert note in "; ".join(found.notes) and bool(note) == any("µm/px" in line for line in found.notes)


def test_a_refused_slide_says_that_the_manifest_says_otherwise(slides, tmp_path):
    failed = scanned(slides, tmp_path, 0.5, 0.25).failed
    assert "0.5.tif is a 20x slide" in failed and "the manifest says 0.25: give --override-mpp" in failed
    assert "0.25.tif is a 20x slide" in scanned(slides, tmp_path, 0.25, 0.5, override_mpp=True).failed


def test_override_without_a_value_needs_one(tmp_path, capsys):
    tiles = write_tiles(tmp_path / "tiles")
    arguments = ["--tiles", str(tiles), "-o", str(tmp_path / "out"), "--override-mpp"]
    assert main(arguments) == 2
    assert "--override-mpp without a value needs an mpp column" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main([*arguments, "tiles"])
    assert "'tiles' is no number" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("own", "hr_mpp", "reduction"), [(0.25, 0.5, 2), (0.25, 1.0, 4), (0.5, 0.5, 1), (0.125, 0.25, 2)]
)
def test_hr_is_level_0_exactly_reduced(slides, tmp_path, own, hr_mpp, reduction):
    out = tmp_path / "out"
    prepare(
        [slides / f"{own}.tif"],
        out,
        options=ScanOptions(patch_size=48, scales=(2, 4), preset="biopsy", hr_mpp=hr_mpp),
        quality=QualityFilter(0, 0),
        limits=Limits(train=6, val=2, test=2),
        splits=SplitOptions(by="patch", tests=1),
        progress=False,
    )
    rows = [row for row in manifest_rows(out) if row["split"] == "train"]
    hr, lr = images(out / "train" / "HR.lmdb"), images(out / "train" / "LR_x4.lmdb")
    suffix = {0.25: "", 0.5: "-20x", 1.0: "-10x"}[hr_mpp]
    side = 48 * reduction
    with open_slide(slides / f"{own}.tif") as slide:
        for row in rows:
            x, y = int(row["x"]), int(row["y"])
            assert row["key"] == f"{str(own).replace('.', '-')}{suffix}_{x}_{y}" and x % side == y % side == 0
            assert row["level"] == ("0" if reduction == 1 else f"0/{reduction}")
            assert float(row["mpp"]) == pytest.approx(own * reduction, rel=1e-3)
            expected = area_reduce(slide.read(x, y, side, side), reduction)
            np.testing.assert_array_equal(hr[row["key"]], expected)
            np.testing.assert_array_equal(lr[row["key"]], area_reduce(expected, 4))
    assert len(rows) == 6 and json.loads((out / "build.json").read_text())["hr_mpp"] == hr_mpp
    assert check_dataset(out, progress=False).findings == []


def test_lr_of_reduced_hr_comes_from_the_coarser_levels(slides, tmp_path):
    found = scanned(slides, tmp_path, 0.25, lr="pyramid", hr_mpp=0.5, scales=(2, 4))
    assert found.lr_source == "x2:level2 x4:level3" and set(found.registrations) == {2, 4}


@pytest.mark.parametrize("by", ["manifest", "option", "file"])
def test_tiles_of_20x_are_refused_or_taken_by_hr_mpp(tmp_path, by):
    tiles = write_tiles(tmp_path / "tiles")
    rows = [["image", *(["mpp"] if by == "manifest" else [])]]
    rows += [[f"{barcode(index)}.png", *(["0.5"] if by == "manifest" else [])] for index in range(8)]
    given = {"manifest": write_csv(tmp_path / "m.csv", rows)}
    stated = {"assume_mpp": 0.5} if by == "option" else {}
    if by == "file":
        for tile in tiles.iterdir():
            Image.open(tile).save(tile, dpi=(25400 / 0.5, 25400 / 0.5))
    with pytest.raises(UserError, match="is a 20x tile"):
        build(tiles, tmp_path / "out", scan=stated, **given)
    build(tiles, tmp_path / "out", scan=stated | {"hr_mpp": 0.5}, **given)
    if by == "file":
        build(tiles, tmp_path / "overridden", scan={"override_mpp": 0.25}, **given)
    row = manifest_rows(tmp_path / "out")[0]
    assert float(row["mpp"]) == 0.5 and row["level"] == "0" and "-20x_" in row["key"]
    rgb = read_rgb(tiles / row["slide"])[int(row["y"]) :, int(row["x"]) :][:48, :48]
    np.testing.assert_array_equal(images(tmp_path / "out" / row["split"] / "HR.lmdb")[row["key"]], rgb)


def of_20x(path, rgb, kind):
    """Write a TIFF or JPEG of 0.5 µm/px whose resolution stands where `kind` says."""
    if kind == "ome":
        size = {"PhysicalSizeX": 500, "PhysicalSizeXUnit": "nm", "PhysicalSizeY": 0.5}
        tifffile.imwrite(path.with_suffix(".tif"), rgb, ome=True, photometric="rgb", metadata={"axes": "YXS", **size})
    elif kind == "imagej":
        sides = {"resolution": (2, 2), "metadata": {"unit": "\\u00B5m", "axes": "YXS"}}
        tifffile.imwrite(path.with_suffix(".tif"), rgb, imagej=True, photometric="rgb", **sides)
    elif kind == "tags":
        tags = {"resolution": (20000, 20000), "resolutionunit": "CENTIMETER"}
        tifffile.imwrite(path.with_suffix(".tif"), rgb, photometric="rgb", **tags)
    else:
        Image.fromarray(rgb).save(path.with_suffix(".jpg"), dpi=(50800, 50800), quality=95, subsampling=0)


@pytest.mark.parametrize("kind", ["ome", "imagej", "tags", "jpeg"])
def test_the_resolution_of_tiles_is_read_where_their_format_has_it(tmp_path, kind):
    tiles = tmp_path / "tiles"
    tiles.mkdir()
    for index in range(8):
        of_20x(tiles / barcode(index), synthesize(100, 150, seed=index)[0], kind)
    with pytest.raises(UserError, match="is a 20x tile"):
        build(tiles, tmp_path / "out")
    build(tiles, tmp_path / "out", scan={"hr_mpp": 0.5}, scales=(2,))
    assert {float(row["mpp"]) for row in manifest_rows(tmp_path / "out")} == {0.5}


@pytest.mark.parametrize(
    ("suffix", "options"),
    [
        (".png", {}),
        (".png", {"dpi": (72, 72)}),
        (".jpg", {"dpi": (96, 96)}),
        (".tif", {"dpi": (300, 300)}),
        (".tif", {"tiffinfo": {282: 1.0, 283: 1.0, 296: 3}}),
        (".bmp", {}),
    ],
)
def test_the_dpi_of_screens_and_printers_is_no_resolution(tmp_path, suffix, options):
    path = tmp_path / f"a{suffix}"
    Image.fromarray(synthesize(20, 20, seed=0)[0]).save(path, **options)
    with TileReader(path) as tile:
        assert (tile.mpp, tile.mpp_source) == (None, "")
    with TileReader(path, assume_mpp=0.25) as tile:
        assert (tile.mpp, tile.mpp_source) == (0.25, "assumed")


def test_a_tile_whose_pixels_are_not_square_is_refused(tmp_path):
    Image.fromarray(synthesize(20, 20, seed=0)[0]).save(tmp_path / "a.png", dpi=(101600, 50800))
    with pytest.raises(UserError, match=r"a\.png has pixels of 0\.25x0\.5 µm: only square ones"):
        TileReader(tmp_path / "a.png")
