"""`mihatp view`: bad arguments are one line, and layers are found beside an image."""

import json

import numpy as np
import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from mihatp_cli.mihatp import main
from mihatp_viewer.page_data import scene_script
from mihatp_viewer.scene import open_scene

SQUARE = [[0, 0], [100, 0], [100, 100], [0, 0]]


def geojson(path, rings=(SQUARE,), name="Nucleus"):
    geometry = {"type": "Polygon", "coordinates": list(rings)}
    feature = {"type": "Feature", "geometry": geometry, "properties": {"classification": {"name": name}}}
    path.write_text(json.dumps({"type": "FeatureCollection", "features": [feature]}))
    return path


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["nowhere.svs"], "'nowhere.svs' does not exist"),
        (["."], ". is no file"),
        (["text.txt"], "text.txt"),
        (["bad\udcff.png"], r"bad\udcff.png' is no name in UTF-8: rename it"),
        (["a.png", "--tile-size", "10000"], "--tile-size 10000: give 64 to 2048 px"),
        (["a.png", "--port", "99999"], "--port 99999: give 1 to 65535"),
        (["a.png", "--assume-mpp", "0"], "--assume-mpp 0: give µm per pixel"),
        (["a.png", "--layers", "text.txt"], "text.txt"),
        (["a.png", "--layers", "bad.geojson"], "bad.geojson is no JSON"),
        (["a.png", "--quality", "90"], "--quality is for --export DIR"),
        (["a.png", "--export", "out", "--quality", "0"], "--quality 0: give 1 to 100"),
        (["a.png", "--export", "out", "--port", "8000"], "--port and --no-browser are for the server"),
        (["a.png", "--export", "full"], "full exists: name another folder"),
        (["a.png", "--export", "full", "--overwrite"], "full is not"),
    ],
)
def test_a_mistake_is_one_line(tmp_path, monkeypatch, capsys, arguments, line):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "text.txt").write_text("no image")
    (tmp_path / "bad.geojson").write_text("{")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.doc").write_text("mine")
    Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(tmp_path / "a.png")
    assert main(["view", *arguments]) == 2
    printed = capsys.readouterr().err.splitlines()
    assert len(printed) == 1 and line in printed[0]
    assert (tmp_path / "full" / "thesis.doc").read_text() == "mine" and not (tmp_path / "out").exists()


def test_maps_and_outlines_beside_an_image_are_layers(tmp_path):
    Image.fromarray(np.zeros((80, 80, 3), np.uint8)).save(tmp_path / "in.png")
    about = PngInfo()
    about.add_text("Description", "Super-resolved x2 by MiHATP")
    Image.fromarray(np.zeros((160, 160, 3), np.uint8)).save(tmp_path / "out.png", pnginfo=about)
    Image.fromarray(np.full((10, 10), 128, np.uint8)).save(tmp_path / "out.inconsistency.tif")
    geojson(tmp_path / "out.geojson")
    other = geojson(tmp_path / "other.json", name="Tumor")
    with open_scene([tmp_path / "in.png", tmp_path / "out.png"], [other]) as scene:
        data = json.loads(scene_script(scene, encoding="png").decode().removeprefix("MiHATP.scene = ").rstrip(";\n"))
        layers = {layer["name"]: layer for layer in data["layers"]}
        assert list(layers) == ["other.json", "out.inconsistency.tif", "out.geojson"]
        assert [layers[name]["image"] for name in layers] == [0, 1, 1]
        assert layers["out.inconsistency.tif"]["map"]["width"] == 1
        assert json.loads(scene.layers[0].outlines) == {
            "classes": ["Tumor"],
            "rings": [[0, 0, 0, 100, 0, 100, 100]],
        }


def test_images_are_as_wide_as_their_tissue(slides):
    with open_scene(slides) as scene:
        script = scene_script(scene, encoding="png").decode()
        data = json.loads(script.removeprefix("MiHATP.scene = ").rstrip(";\n"))
        assert [image["width"] for image in data["images"]] == [1, 1]
        assert [image["mpp"] for image in data["images"]] == pytest.approx([0.5, 0.25])
        assert [image["size"] for image in data["images"]] == [[704, 704], [1408, 1408]]


def test_a_stated_resolution_is_for_images_that_state_none(tmp_path, slides):
    Image.fromarray(np.zeros((64, 352, 3), np.uint8)).save(tmp_path / "a.png")
    with open_scene([slides[0], tmp_path / "a.png"], assume_mpp=2) as scene:
        data = json.loads(scene_script(scene, encoding="png")[15:-2])
        assert [image["width"] for image in data["images"]] == [1, 2]


def test_caches_of_many_images_have_one_limit(tmp_path):
    for number in range(8):
        Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(tmp_path / f"{number}.png")
    with open_scene([tmp_path / f"{number}.png" for number in range(8)]) as scene:
        assert sum(tiles.cache_bytes for tiles in scene.tiles) == 2**29
    with open_scene([tmp_path / "0.png"]) as scene:
        assert scene.tiles[0].cache_bytes == 2**27
