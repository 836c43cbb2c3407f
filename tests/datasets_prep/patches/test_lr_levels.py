"""LR that was to be read from a slide's own levels: what became of it is said, measured, or refused."""

import csv

import numpy as np
import pytest
from helpers.slides import reduced, write_pyramid
from helpers.tiles import barcode, write_tiles

from datasets_prep.command import main
from datasets_prep.common.errors import UserError
from datasets_prep.patches.options import ScanOptions
from datasets_prep.synthetic.image import synthesize

MEASURED = ("lr_source", "lr_shift", "lr_mad", "lr_psnr")


@pytest.fixture(scope="module")
def slides(tmp_path_factory):
    """A slide with exact levels of 2 and 4, one with a level of 4 alone, and one whose level of 2 is shifted."""
    folder = tmp_path_factory.mktemp("slides")
    for seed, name in enumerate(("all", "one", "shifted")):
        image = synthesize(1152, 1152, seed=seed)[0]
        half = [] if name == "one" else [reduced(np.roll(image, 3 * (name == "shifted"), axis=1), 2)]
        write_pyramid(folder / f"{name}.tif", [image, *half, reduced(image, 4)])
    return folder


def prepare(source, out, *more):
    arguments = ["--split-by", "patch", "--tests", "1", "--patch-size", "96", "--scales", "2", "4", "--lr", "pyramid"]
    return main([*map(str, source), "-o", str(out), *arguments, "--preset", "biopsy", *more])


def rows_of(out):
    with (out / "slides.csv").open(encoding="utf-8", newline="") as file:
        return {row["slide"]: row for row in csv.DictReader(file)}


def test_what_was_measured_is_in_slides_csv_and_on_the_card(slides, tmp_path, capsys):
    out = tmp_path / "out"
    assert prepare([slides], out) == 0
    rows = rows_of(out)
    assert [rows["all.tif"][column] for column in MEASURED] == [
        "x2:level1 x4:level2",
        "x2:0.000 x4:0.000",
        "x2:0.000 x4:0.000",
        "x2:inf x4:inf",
    ]
    assert [rows["one.tif"][column] for column in MEASURED] == ["x2:area x4:level1", "x4:0.000", "x4:0.000", "x4:inf"]
    assert rows["shifted.tif"]["lr_source"] == "x2:area x4:level2"
    assert 1.4 < float(rows["shifted.tif"]["lr_shift"].split()[0].removeprefix("x2:")) < 1.6
    assert 10 < float(rows["shifted.tif"]["lr_psnr"].split()[0].removeprefix("x2:")) < 40
    printed = capsys.readouterr().out
    assert "LR of x2 is made from HR: no level of the slide fits" in printed
    assert "could not be shown to lie on it: x2 (level1: 1.5" in printed
    card = (out / "card.md").read_text(encoding="utf-8")
    assert "LR shift, px | LR spread, px | LR PSNR, dB" in card and "x2:0.000 x4:0.000" in card


def test_strict_leaves_out_slides_whose_levels_do_not_give_all_lr(slides, tmp_path, capsys):
    assert prepare([slides], tmp_path / "out", "--strict") == 3
    error = capsys.readouterr().err
    assert "one.tif: LR of x2 is made from HR" in error and "shifted.tif: LR is made from HR where" in error
    assert [row["status"] for row in rows_of(tmp_path / "out").values()] == ["ok", "failed", "failed"]
    assert prepare([slides / "one.tif"], tmp_path / "none", "--strict") == 2
    assert not (tmp_path / "none").exists()


def test_tiles_have_no_levels(tmp_path, capsys):
    tiles = write_tiles(tmp_path / "tiles")
    arguments = ["--tiles", str(tiles), "--patch-size", "48", "--lr", "pyramid", "-o"]
    assert main([*arguments, str(tmp_path / "out")]) == 0
    assert "has no levels: LR is made from HR" in capsys.readouterr().out
    assert {row["lr_source"] for row in rows_of(tmp_path / "out").values()} == {"area"}
    assert main([*arguments, str(tmp_path / "strict"), "--strict"]) == 2
    assert f"{barcode(0)}.png is an image tile, without levels" in capsys.readouterr().err


def test_strict_is_for_the_pyramid():
    with pytest.raises(UserError, match="--lr pyramid"):
        ScanOptions(strict=True)
