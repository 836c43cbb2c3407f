"""The data card: warnings, positions of patches, samples, and a bounded length."""

import json
import shutil

import cv2
import numpy as np
import pytest
from helpers.dataset import SIDE, SLIDES, make_row, read_rows, write_dataset, write_rows

from datasets_prep.common.errors import UserError
from datasets_prep.dataset.card import write_card
from datasets_prep.dataset.lmdb_writer import write_lmdb
from datasets_prep.patches.slide_summary import COLUMNS

ORANGE, MAGENTA = (255, 149, 0), (255, 0, 255)


@pytest.fixture(scope="module")
def original(tmp_path_factory):
    return write_dataset(tmp_path_factory.mktemp("card") / "data")


@pytest.fixture
def data(original, tmp_path):
    return shutil.copytree(original, tmp_path / "data")


def slide_row(slide, **other):
    row = {"slide": f"{slide}.svs", "patient": slide[:2], "status": "ok", "width": 4000, "height": 2000, "mpp": 0.25}
    numbers = {"tissue_mm2": 12.3456, "pen_share": 0.012, "black_share": 0, "candidates": 840}
    return row | {"mpp_source": "slide"} | numbers | other


def add_slides(data):
    """Write all files that a build from slides writes beside the LMDBs."""
    (data / "slides").mkdir()
    overview = np.full((500, 1000, 3), MAGENTA, np.uint8)
    ring = [[100, 100], [900, 100], [900, 900], [100, 900], [100, 100]]
    features = [
        {"type": "Feature", "properties": {}, "geometry": {"type": "Polygon", "coordinates": [ring]}},
        {"type": "Feature", "properties": {}, "geometry": {"type": "MultiPolygon", "coordinates": [[ring]]}},
    ]
    for slide in SLIDES:
        cv2.imwrite(str(data / "slides" / f"{slide}_overview.jpg"), overview[..., ::-1])
        text = json.dumps({"type": "FeatureCollection", "features": features})
        (data / "slides" / f"{slide}.geojson").write_text(text)
    write_rows(data / "slides.csv", [slide_row(slide) for slide in SLIDES], COLUMNS)


def card(data):
    write_card(data)
    picture = cv2.imread(str(data / "card.png"))
    assert picture.shape[1] == 1400 and 600 < picture.shape[0] < 3000
    return (data / "card.md").read_text(encoding="utf-8"), picture[..., ::-1]


def edit_rows(path, edit, columns):
    rows = read_rows(path)
    for row in rows:
        edit(row)
    write_rows(path, rows, columns)


def edit_manifest(data, edit):
    edit_rows(data / "manifest.csv", edit, list(read_rows(data / "manifest.csv")[0]))


def test_says_what_there_is(data):
    add_slides(data)
    text, _ = card(data)
    assert "24 patches from 4 slides of 4 patients." in text
    assert "| train | 12 | 2 | 2 |" in text and "| test1 | 6 | 1 | 1 |" in text
    assert "| p2-a.svs | p2 | 4000x2000 | 0.25 (slide) | 12.35 | 1.2% | 0.0% | 840 | train 6 |" in text
    assert "| seed | 3 |" in text and "| LR source: patches | area: 24 |" in text and "| scales | 2, 4, 8 |" in text
    assert "fewer than 10 patches, too few for numbers: val (6), test1 (6)" in text and text.count("* **") == 2


def test_warnings_come_first(data):
    add_slides(data)
    slides = [slide_row("p1-a", mpp_source="assumed"), slide_row("p2-a", mpp_source="objective")]
    reason = "x.svs is cut\noff: | fetch it again"
    failed = {"slide": "$x_1$|y.svs", "patient": "p9", "status": "failed", "reason": reason}
    write_rows(data / "slides.csv", [*slides, slide_row("p3-a"), slide_row("p4-a"), failed], COLUMNS)
    settings = {"split_by": "patch", "warnings": ["split by patch: results are too good"]}
    (data / "build.json").write_text(json.dumps(settings))
    edit_manifest(data, lambda row: row.update(mpp="", lr_source="x2:area") if row["slide"] == "p4-a.svs" else None)
    text, picture = card(data)
    warnings = text.partition("## Splits")[0]
    for warning in (
        "split by patch: results are too good",
        "1 of 5 slides could not be used",
        "resolution of 1 of 4 slides was assumed",
        "resolution of 1 of 4 slides was estimated",
        "resolution of 1 of 4 slides is not known",
        "fewer than 10 patches",
        "LR was not made in one way for all patches: area (18); x2:area (6)",
    ):
        assert warning in warnings
    assert "| $x_1$\\|y.svs | x.svs is cut off: \\| fetch it again |" in text
    red = (picture[..., 0] > 150) & (picture[..., 1:] < 60).all(axis=-1)
    assert red[:220, :800].sum() > 1000


def test_rejected_patches_are_shown_with_their_flaws(data):
    """The tissue shows through the squares of patches; a rejected patch is a black cross."""
    add_slides(data)
    _, before = card(data)
    rows = [{"slide": "p3-a.svs", "x": 96 * i, "y": 1800, "flaw": "pale" if i else "blurred"} for i in range(30)]
    write_rows(data / "rejected.csv", rows, ["slide", "x", "y", "flaw"])
    text, picture = card(data)
    assert "| patches rejected | 29 pale, 1 blurred |" in text
    dark = [np.count_nonzero((shown < 60).all(axis=-1)) for shown in (before, picture)]
    assert dark[1] > dark[0] + 300
    write_rows(data / "rejected.csv", [{"slide": "a", "x": "b"}], ["slide", "x"])
    with pytest.raises(UserError, match=r"rejected\.csv line 2"):
        write_card(data)


def test_patches_lie_where_they_are(data):
    """On a slide of 4000×2000 px, shown in magenta, val has one patch, whose centre is at (3000, 1500)."""
    add_slides(data)
    x, y = 3000 - SIDE // 2, 1500 - SIDE // 2

    def edit(row):
        if row["slide"] == "p3-a.svs":
            row.update(x=x, y=y, key=f"p3-a_{x}_{y}")

    edit_manifest(data, edit)
    _, picture = card(data)
    shown = np.abs(picture.astype(int) - MAGENTA).max(axis=-1) < 40
    ys, xs = np.nonzero(np.abs(picture.astype(int) - ORANGE).max(axis=-1) < 40)
    columns = np.flatnonzero(shown.sum(axis=0) > 20)
    ends = [*np.flatnonzero(np.diff(columns) > 1), len(columns) - 1]
    starts = [0, *(end + 1 for end in ends[:-1])]
    assert len(ends) == 4  # slides
    left, right = columns[starts[2]], columns[ends[2]] + 1  # train, train, val
    rows = np.flatnonzero(shown[:, left:right].sum(axis=1) > 20)
    top, bottom = rows[0], rows[-1] + 1
    inside = (xs >= left) & (xs < right) & (ys >= top) & (ys < bottom)
    assert inside.sum() > 10
    assert (xs[inside].mean() - left) / (right - left) == pytest.approx(0.75, abs=0.02)
    assert (ys[inside].mean() - top) / (bottom - top) == pytest.approx(0.75, abs=0.02)


def test_pairs_show_the_images(data):
    """With its HR painted green and its LR_x4 cyan, the card holds both, 150 px wide."""
    colours = {"HR": (0, 255, 0), "LR_x4": (0, 255, 255)}
    keys = [row["key"] for row in read_rows(data / "manifest.csv") if row["split"] == "val"]
    for role, colour in colours.items():
        side = SIDE if role == "HR" else SIDE // 4
        image = np.full((side, side, 3), colour, np.uint8)
        write_lmdb(data / "val" / f"{role}.lmdb", [(key, image) for key in keys], overwrite=True)
    _, picture = card(data)
    for colour in colours.values():
        assert (picture == colour).all(axis=-1).sum() > 0.85 * 150**2


def test_data_of_tiles_have_a_card(data):
    edit_manifest(data, lambda row: row.update(mpp="", tissue=""))
    (data / "build.json").unlink()
    text, _ = card(data)
    assert "| slide | patient | patches |" in text and "| p1-a.svs | p1 | train 6 |" in text
    assert "resolution of 4 of 4 slides is not known" in text


def test_length_is_bounded(data):
    rows = read_rows(data / "manifest.csv")
    hr = np.zeros((SIDE, SIDE, 3), np.uint8)
    more = [make_row(f"q{n}-a_0_0", f"q{n}-a", "train", 0, 0, hr, f"x2:level{n}") for n in range(500)]
    write_rows(data / "manifest.csv", [*rows, *more])
    failed = [{"slide": f"f{n}.svs", "patient": "p", "status": "failed", "reason": "why " * 200} for n in range(100)]
    write_rows(data / "slides.csv", [*(slide_row(f"q{n}-a") for n in range(500)), *failed], COLUMNS)
    text, _ = card(data)
    assert len(text) < 15_000
    assert "… and 464 more." in text and "… and 80 more." in text


def test_same_data_same_card(data, tmp_path):
    add_slides(data)
    write_card(data)
    other = shutil.copytree(data, tmp_path / "another name")
    write_card(other)
    for name in ("card.md", "card.png"):
        assert (data / name).read_bytes() == (other / name).read_bytes()


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("manifest.csv", None),
        ("manifest.csv", b"slide\nx\n"),
        ("build.json", b"{"),
        ("slides/p1-a_overview.jpg", b"no picture"),
        ("slides/p1-a.geojson", b'{"features": [{"geometry": null}]}'),
        ("val/HR.lmdb/data.mdb", b""),
        ("val/LR_x2.lmdb/meta_info.txt", b"?"),
    ],
)
def test_damaged_files_are_named(data, name, content):
    add_slides(data)
    (data / name).unlink() if content is None else (data / name).write_bytes(content)
    with pytest.raises(UserError, match=name.rpartition("/")[0] or name) as caught:
        write_card(data)
    assert "\n" not in str(caught.value)
    assert not (data / "card.md").exists() and not list(data.glob("*.partial"))
