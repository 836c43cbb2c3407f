"""`mihatp nuclei prepare` reads polygons of QuPath and points with classes, of a folder without patients and splits."""

import json

import cv2
import numpy as np
import pytest
from helpers.small_data import DENSE, LABELS, image, labels_of, prepare, refused, rows


def folder_of(tmp_path, ending, write, count=3):
    """A folder with images and labels of one kind, without patients and splits."""
    folder = tmp_path / "lab"
    (folder / "labels").mkdir(parents=True)
    for index in range(count):
        image(folder / "images" / f"tile{index}.png", seed=index)
        write(folder / "labels" / f"tile{index}{ending}")
    return folder


def square(left, top, right, bottom):
    return [[[left, top], [right, top], [right, bottom], [left, bottom], [left, top]]]


def geojson(file, *features):
    """Polygons (class, rings) as QuPath exports them; the default are the nuclei of `LABELS`."""
    of_labels = (("Tumor", square(2, 2, 6, 6)), ("Stroma", square(4, 10, 10, 14)), ("Tumor", square(20, 20, 26, 25)))
    collection = [
        {
            "type": "Feature",
            "geometry": {"type": "Polygon", "coordinates": rings},
            "properties": {"objectType": "detection", "classification": {"name": name}},
        }
        for name, rings in features or of_labels
    ]
    file.write_text(json.dumps({"type": "FeatureCollection", "features": collection}))


def test_geojson_of_qupath(tmp_path, capsys):
    source = folder_of(tmp_path, ".geojson", geojson)
    assert "class 'Tumor' has no number" in refused(source, tmp_path / "out", capsys)
    assert "is none of --classes Tumor" in refused(source, tmp_path / "out", capsys, "--classes", "Tumor")
    assert prepare(source, tmp_path / "out", "--classes", "Stroma", "Tumor") == 0
    table = rows(tmp_path / "out")
    assert sorted(row["split"] for row in table) == ["test", "train", "val"]
    for row in table:
        labels, types = labels_of(tmp_path / "out", row)
        assert np.array_equal(labels > 0, LABELS > 0) and len(np.unique(labels)) == 4
        assert (types[3, 3], types[11, 5], types[22, 22]) == (2, 1, 2)


def test_holes_and_the_nuclei_of_cells(tmp_path):
    source = folder_of(tmp_path, ".json", geojson)
    ring = square(0, 0, 20, 20) + square(5, 5, 15, 15)
    for file in (source / "labels").iterdir():
        geojson(file, ("", ring), ("", square(22, 22, 30, 30)))
        content = json.loads(file.read_text())
        content["features"][1]["nucleusGeometry"] = {"type": "Polygon", "coordinates": square(24, 24, 28, 28)}
        file.write_text(json.dumps(content))
    assert prepare(source, tmp_path / "out") == 0
    labels, _ = labels_of(tmp_path / "out", rows(tmp_path / "out")[0])
    assert np.bincount(labels.ravel()).tolist()[1:] == [400 - 100, 16]


def test_geojson_that_cannot_be_used(tmp_path, capsys):
    source = folder_of(tmp_path, ".geojson", geojson)
    file = source / "labels" / "tile1.geojson"
    geojson(file, ("", square(2, 2, 6, 6)), ("", square(500, 500, 510, 510)))
    assert "1 of 2 outlines lie outside the image of 32×32 px" in refused(
        source, tmp_path / "out", capsys, "--no-classes"
    )
    file.write_text('{"type": "FeatureCollection", "features": []}')
    assert "has no nuclei" in refused(source, tmp_path / "out", capsys, "--no-classes")
    file.write_text("{")
    assert "is no JSON" in refused(source, tmp_path / "out", capsys, "--no-classes")


def points(file, text="x,y,class\n3,3,1\n6.5,11,2\n22,22,1\n"):
    file.write_text(text)


def test_points_are_discs(tmp_path, capsys):
    source = folder_of(tmp_path, ".csv", points)
    assert prepare(source, tmp_path / "out", "--radius", "2") == 0
    assert "Dice and PQ mean nothing" in capsys.readouterr().err
    labels, types = labels_of(tmp_path / "out", rows(tmp_path / "out")[0])
    assert np.bincount(labels.ravel()).tolist()[1:] == [13, 12, 13]
    assert (labels[3, 3], labels[11, 6], labels[22, 22]) == (1, 2, 3)
    assert (types[3, 3], types[11, 6], types[22, 22]) == (1, 2, 1)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a,b\n1,2\n", "needs the columns x, y and class"),
        ("x,y\n1,2\n", "has no column class"),
        ("x,y,class\n1,two,1\n", "line 2: x and y must be numbers"),
        ("x,y,class\n1,nan,1\n", "line 2: x and y must be numbers"),
        ("x,y,class\n1,400,1\n", "1 of 1 points lie outside"),
        ("x,y,class\n1,4,tumor\n", "class 'tumor' has no number"),
        ("x,y,class\n1,4,1\n1,4,2\n", "lie on other points"),
        ("x,y,class\n", "has no nuclei"),
    ],
)
def test_points_that_cannot_be_used(tmp_path, capsys, text, message):
    source = folder_of(tmp_path, ".csv", points)
    points(source / "labels" / "tile2.csv", text)
    assert message in refused(source, tmp_path / "out", capsys)


def test_points_give_types_to_outlines(tmp_path, capsys):
    source = folder_of(tmp_path, ".png", lambda file: cv2.imwrite(str(file), LABELS.astype(np.uint8)))
    (source / "points").mkdir()
    for index in range(3):
        points(source / "points" / f"tile{index}.csv", "x;y;class\n3,0;3;tumor\n22;22;stroma\n30;3;stroma\n")
    assert prepare(source, tmp_path / "out", "--classes", "stroma", "tumor") == 0
    assert "1 of 3 points lie in no nucleus" in capsys.readouterr().err
    for row in rows(tmp_path / "out"):
        labels, types = labels_of(tmp_path / "out", row)
        assert np.array_equal(labels, DENSE) and np.array_equal(types, np.array([0, 2, 0, 1])[DENSE])
    points(source / "points" / "tile1.csv", "x,y,class\n3,3,tumor\n4,4,stroma\n")
    assert "has points of two types" in refused(source, tmp_path / "two", capsys, "--classes", "stroma", "tumor")


def test_two_patients_cannot_be_divided(tmp_path, capsys):
    source = folder_of(tmp_path, ".csv", points, count=2)
    assert "2 patients cannot fill train, val and test" in refused(source, tmp_path / "out", capsys)
