"""The layers of a view: the image of each, and files beside an image that cannot be used."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from datasets_prep.common.errors import UserError
from mihatp_arch.inference.images import Picture
from mihatp_arch.inference.write_images import write_picture
from mihatp_cli.mihatp import main
from mihatp_viewer.scene import open_scene

SQUARE = '{"type": "Polygon", "coordinates": [[[0, 0], [9, 0], [9, 9], [0, 0]]]}'
EMPTY = '{"type": "FeatureCollection", "features": []}'


def scan(path, side=40):
    path.parent.mkdir(exist_ok=True)
    Image.fromarray(np.zeros((side, side, 3), np.uint8)).save(path)
    return path


def output(path, side=80):
    """As `mihatp upscale` writes it."""
    path.parent.mkdir(exist_ok=True)
    write_picture(Picture(np.zeros((side, side, 3), np.uint8)), path, description="Super-resolved by MiHATP")
    return path


def layer(path, text=SQUARE):
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    return path


def layers(images, given=()):
    """[(name, image)…]"""
    with open_scene(images, given) as scene:
        return [(shown.name, shown.image) for shown in scene.layers]


def test_a_file_beside_an_image_belongs_to_the_image_of_its_folder(tmp_path):
    images = scan(tmp_path / "sl" / "b.png"), output(tmp_path / "up" / "b.tif")
    for name in ("b.inconsistency.geojson", "b.deviation.geojson", "b.geojson"):
        layer(tmp_path / "up" / name)
    assert layers(images) == [("b.inconsistency.geojson", 1), ("b.deviation.geojson", 1), ("b.geojson", 1)]
    layer(tmp_path / "sl" / "b.geojson")
    assert layers(images)[0] == ("b.geojson", 0) and layers(images)[-1] == ("b.geojson", 1)


@pytest.mark.parametrize("names", [("b.png", "b.tif"), ("b.tif", "b.png")])
def test_maps_of_trust_belong_to_the_output_where_scan_and_output_share_a_name(tmp_path, names):
    images = [{"b.png": scan, "b.tif": output}[name](tmp_path / name) for name in names]
    Image.fromarray(np.full((10, 10), 128, np.uint8)).save(tmp_path / "b.inconsistency.tif")
    layer(tmp_path / "b.deviation.geojson")
    layer(tmp_path / "b.geojson")
    last = names.index("b.tif")
    maps = [("b.inconsistency.tif", last), ("b.deviation.geojson", last)]
    assert sorted(layers(images)) == sorted([*maps, ("b.geojson", 0)])
    assert layers([tmp_path / "b.png"]) == [("b.geojson", 0)]  # the maps are not of the scan
    assert layers([tmp_path / "b.png"], [tmp_path / "b.deviation.geojson"])[0] == ("b.deviation.geojson", 0)
    scan(tmp_path / "b.png", 80)
    assert sorted(layers(images)) == [("b.deviation.geojson", 1), ("b.geojson", 0), ("b.inconsistency.tif", 1)]


def test_no_file_is_a_layer_twice(tmp_path, monkeypatch):
    image, outlines = scan(tmp_path / "a.png"), layer(tmp_path / "a.geojson")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "link").symlink_to(tmp_path)
    same = [outlines, Path("a.geojson"), tmp_path / "link" / "a.geojson"]
    assert layers([image, Path("a.png")]) == [("a.geojson", 0)]
    for given in same:
        assert layers([image], [given]) == [("a.geojson", 0)]
    assert layers([image], same) == [("a.geojson", 0)]


def test_a_given_layer_belongs_to_an_image_of_its_folder_before_its_name_counts(tmp_path):
    images = scan(tmp_path / "sl" / "b.png"), scan(tmp_path / "up" / "a.png"), scan(tmp_path / "up" / "b.png")
    given = [layer(tmp_path / "up" / name) for name in ("b.x.json", "c.json")]
    given += [layer(tmp_path / "else" / name) for name in ("b.y.json", "a.json", "d.json")]
    assert layers(images, given) == [("b.x.json", 2), ("c.json", 1), ("b.y.json", 0), ("a.json", 1), ("d.json", 0)]


@pytest.mark.parametrize("text", [EMPTY, "", "{", "[" * 100_000, '{"type": "Point", "coordinates": [1, 1]}'])
def test_an_unusable_file_beside_an_image_is_left_out_with_a_note(tmp_path, text):
    image = output(tmp_path / "a.png")
    outlines = layer(tmp_path / "a.geojson", text)
    layer(tmp_path / "a.inconsistency.tif", "no picture")
    layer(tmp_path / "a.deviation.geojson")
    with open_scene([image]) as scene:
        assert [(shown.name, shown.image) for shown in scene.layers] == [("a.deviation.geojson", 0)]
        assert len(scene.tiles) == 1
        for name in ("a.geojson", "a.inconsistency.tif"):
            assert len([note for note in scene.notes if note.startswith(f"layer {name} is left out: ")]) == 1
    with pytest.raises(UserError, match=r"a\.geojson"):
        open_scene([image], [outlines])


def test_the_command_shows_an_image_beside_empty_outlines(tmp_path, capsys):
    image = scan(tmp_path / "a.png")
    outlines = layer(tmp_path / "a.geojson", json.dumps({"type": "FeatureCollection", "features": []}))
    assert main(["view", str(image), "--export", str(tmp_path / "view")]) == 0
    assert "note: layer a.geojson is left out: " in capsys.readouterr().err
    assert main(["view", str(image), "--layers", str(outlines), "--export", str(tmp_path / "other")]) == 2
    assert "holds no polygon" in capsys.readouterr().err
