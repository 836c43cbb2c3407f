"""Unusable tiles, manifests and outputs: one clear error; no file is lost, no file is left behind."""

import numpy as np
import pytest
from helpers.tiles import barcode, build, hashes, left_over, manifest_rows, write_csv, write_tiles
from PIL import Image

from datasets_prep.common.errors import UserError
from datasets_prep.synthetic.image import synthesize


@pytest.fixture
def tiles(tmp_path):
    return write_tiles(tmp_path / "tiles")


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([], "no rows"),
        ([["name"], ["a.png"]], "column slide or image"),
        ([["image"], ["absent.png"]], "line 2: absent.png"),
        ([["image"], [f"{barcode(0)}.png"], [f"{barcode(0)}.png"]], "line 3.*twice"),
        (
            [["image", "patient", "split"], *[[f"{barcode(i)}.png", "p", s] for i, s in enumerate(("train", "val"))]],
            "p ",
        ),
        ([["image", "split"], [f"{barcode(0)}.png", "train"], [f"{barcode(1)}.png", ""]], "has no split"),
        ([["image", "split"], [f"{barcode(0)}.png", "holdout"]], "holdout"),
    ],
)
def test_unusable_manifest_is_refused(tiles, tmp_path, rows, message):
    with pytest.raises(UserError, match=message):
        build(tiles, tmp_path / "out", manifest=write_csv(tiles / "m.csv", rows))
    assert left_over(tmp_path) == []


def damage_end(path):
    path.write_bytes(path.read_bytes()[:-2000])


def damage_text(path):
    path.write_text("this is no image")


def damage_small(path):
    Image.fromarray(synthesize(40, 100, seed=0)[0]).save(path)


def damage_depth(path):
    Image.fromarray(np.zeros((100, 100), np.uint16)).save(path)


@pytest.mark.parametrize("damage", [damage_end, damage_text, damage_small, damage_depth])
def test_bad_tile_is_named_and_the_others_are_used(tiles, tmp_path, damage):
    damage(tiles / f"{barcode(4)}.png")
    built = build(tiles, tmp_path / "out")
    (reason,) = built.failed
    assert barcode(4) in reason and "\n" not in reason
    assert {row["slide"] for row in manifest_rows(tmp_path / "out")} == {
        f"{barcode(i)}.png" for i in range(8) if i != 4
    }
    assert left_over(tmp_path) == ["out"]


def test_nothing_is_written_where_no_tile_can_be_used(tiles, tmp_path):
    for index in range(8):
        damage_text(tiles / f"{barcode(index)}.png")
    with pytest.raises(UserError, match=rf"{barcode(0)}.*and 7 more cannot be used"):
        build(tiles, tmp_path / "out")
    assert "out" not in left_over(tmp_path)


@pytest.mark.slow
def test_failure_while_writing_leaves_the_old_data_set(tiles, tmp_path):
    """Equal pixels of two patients pass the scan; the writer finds them."""
    build(tiles, tmp_path / "out")
    before = hashes(tmp_path / "out")
    rows = manifest_rows(tmp_path / "out")
    train = next(row["slide"] for row in rows if row["split"] == "train")
    test = next(row["slide"] for row in rows if row["split"] == "test3")
    (tiles / test).write_bytes((tiles / train).read_bytes())
    with pytest.raises(UserError, match="same pixels"):
        build(tiles, tmp_path / "out", overwrite=True)
    assert left_over(tmp_path) == [".out.work", "out"] and hashes(tmp_path / "out") == before
    build(tiles, tmp_path / "out", overwrite=True, manifest=write_csv(tiles / "m.csv", one_patient(train, test)))
    assert left_over(tmp_path) == ["out"]


def one_patient(*tiles):
    """A manifest in which some tiles are of the same patient."""
    rows = [[f"{barcode(index)}.png", f"p{index}"] for index in range(8) if f"{barcode(index)}.png" not in tiles]
    return [["image", "patient"], *rows, *([tile, "both"] for tile in tiles)]


@pytest.mark.slow
def test_existing_output_is_kept_unless_overwritten(tiles, tmp_path):
    build(tiles, tmp_path / "out")
    before = hashes(tmp_path / "out")
    with pytest.raises(UserError, match="--overwrite"):
        build(tiles, tmp_path / "out", seed=1)
    assert hashes(tmp_path / "out") == before
    build(tiles, tmp_path / "out", seed=1, overwrite=True)
    assert left_over(tmp_path) == ["out"] and hashes(tmp_path / "out") != before


def test_overwrite_spares_a_foreign_folder(tiles, tmp_path):
    files = sorted(tiles.iterdir())
    with pytest.raises(UserError, match="not a data set"):
        build(tiles, tiles, overwrite=True)
    assert sorted(tiles.iterdir()) == files


def test_folders_without_use_are_refused(tiles, tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / "notes.txt").write_text("no image")
    for folder, message in ((tmp_path / "empty", "no image tiles"), (tmp_path / "absent", "not a folder")):
        with pytest.raises(UserError, match=message):
            build(folder, tmp_path / "out")
    (tiles / f"{barcode(7)}.png").rename(tiles / "slide_7.png")
    with pytest.raises(UserError, match=r"slide_7.*--manifest"):
        build(tiles, tmp_path / "out")
    assert left_over(tmp_path) == ["empty"]


def test_names_that_would_share_a_key_are_refused(tiles, tmp_path):
    (tiles / f"{barcode(0)}.png").rename(tiles / f"{barcode(1)}.jpg")
    with pytest.raises(UserError, match="same key"):
        build(tiles, tmp_path / "out")


@pytest.mark.parametrize("output", ["own", "own/tiles", "link"])
def test_overwrite_spares_the_tiles_that_it_would_read(tiles, tmp_path, output):
    """The output is a data set of this program, but it holds the user's tiles too."""
    own = tmp_path / "own"
    build(tiles, own)
    tiles.rename(own / "tiles")
    if output == "own/tiles":
        (own / "manifest.csv").rename(own / "tiles" / "manifest.csv")
    if output == "link":  # the tiles are links into the output
        (tmp_path / "link").mkdir()
        for path in (own / "tiles").iterdir():
            (tmp_path / "link" / path.name).symlink_to(path)
    source = tmp_path / "link" if output == "link" else own / "tiles"
    before = sorted(own.rglob("*"))
    with pytest.raises(UserError, match=r"is no file of a data set, so .* stays"):
        build(source, own if output == "link" else tmp_path / output, overwrite=True)
    assert sorted(own.rglob("*")) == before


def test_overwrite_spares_the_manifest_that_it_would_read(tiles, tmp_path):
    build(tiles, tmp_path / "out")
    rows = [["image"], *([f"{barcode(index)}.png"] for index in range(8))]
    manifest = write_csv(tmp_path / "out" / "mine.csv", rows)
    with pytest.raises(UserError, match=r"mine\.csv is no file of a data set, so .* stays"):
        build(tiles, tmp_path / "out", manifest=manifest, overwrite=True)
    assert manifest.is_file()


def test_overwrite_spares_tiles_beside_a_manifest_of_the_user(tiles, tmp_path):
    rows = [["image"], *([f"{barcode(index)}.png"] for index in range(8))]
    manifest = write_csv(tiles / "manifest.csv", rows)
    with pytest.raises(UserError, match="not a data set"):
        build(tiles, tiles, manifest=manifest, overwrite=True)
    assert len(list(tiles.iterdir())) == 9


def test_hidden_files_are_left_alone_at_every_level(tiles, tmp_path):
    for folder in (".cache", "more/.thumbs", "more"):
        (tiles / folder).mkdir(parents=True, exist_ok=True)
    for hidden in (".cache/a.png", "more/.thumbs/a.png", "more/._a.png", ".a.png"):
        (tiles / hidden).write_text("no image")
    assert len(build(tiles, tmp_path / "out").sources) == 8


@pytest.mark.parametrize("content", [b"image\na\0b.png\n", b"image\n\xff\xfe.png\n", b"\0" * 100, b"ima\0ge\nx\n"])
def test_manifest_that_is_no_text_is_one_clear_error(tiles, tmp_path, content):
    (tmp_path / "m.csv").write_bytes(content)
    with pytest.raises(UserError, match=r"m\.csv"):
        build(tiles, tmp_path / "out", manifest=tmp_path / "m.csv")


def test_names_that_are_no_text_are_refused(tiles, tmp_path):
    with pytest.raises(UserError, match="cannot be read as CSV"):
        build(tiles, tmp_path / "out", manifest=tmp_path / "a\0b")
    with pytest.raises(UserError, match="not a folder"):
        build(tmp_path / "a\0b", tmp_path / "out")
    (tiles / f"{barcode(0)}.png").rename(tiles / f"{barcode(0)}\udcff.png")
    with pytest.raises(UserError, match="not UTF-8 text"):
        build(tiles, tmp_path / "out")
    assert left_over(tmp_path) == []
