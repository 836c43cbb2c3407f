"""`mihatp view --export`: the folder is whole, and its tiles are the slide's own pixels."""

import numpy as np
import pytest
from helpers.slides import by_openslide
from PIL import Image

from datasets_prep.common.errors import UserError
from mihatp_cli.mihatp import main
from mihatp_viewer.export import export_scene
from mihatp_viewer.scene import open_scene
from mihatp_viewer.tiles import GoneError, Tiles


def test_the_folder_has_the_page_and_all_tiles(tmp_path, slides, capsys):
    folder = tmp_path / "view"
    assert main(["view", *map(str, slides), "--export", str(folder)]) == 0
    assert "index.html shows 2 images in" in capsys.readouterr().out
    assert {"index.html", "main.js", "scene.js", "openseadragon.min.js", "openseadragon.LICENSE.txt"} <= {
        file.name for file in folder.iterdir()
    }
    tile = np.asarray(Image.open(folder / "tiles" / "1" / "11" / "1_2.png"))
    assert np.array_equal(tile, by_openslide(slides[1], 509, 1019, 512, 389))
    tiles = Tiles(slides[1])
    wanted = {f"{level}/{x}_{y}.png" for level, (w, h) in enumerate(tiles.levels) for x in range(w) for y in range(h)}
    assert {file.relative_to(folder / "tiles" / "1").as_posix() for file in folder.glob("tiles/1/*/*")} == wanted


def test_a_view_is_replaced_and_a_foreign_file_in_it_is_spared(tmp_path, slides):
    folder = tmp_path / "view"
    with open_scene(slides[:1], tile_size=256) as scene:
        export_scene(scene, folder, quality=80)
        assert (folder / "tiles" / "0" / "10" / "0_0.jpg").is_file()
        with pytest.raises(UserError, match="exists"):
            export_scene(scene, folder)
        export_scene(scene, folder, overwrite=True)
        assert not list(folder.glob("**/*.jpg"))
        (folder / "notes.doc").write_text("mine")
        with pytest.raises(UserError, match=r"notes\.doc"):
            export_scene(scene, folder, overwrite=True)
    assert (folder / "notes.doc").read_text() == "mine"


@pytest.mark.parametrize("name", ["notes.txt", "report.html", "tiles/2024.png", "layers/0_1.js", "tiles/mine.js"])
def test_a_file_that_no_export_writes_is_spared(tmp_path, slides, name):
    folder = tmp_path / "view"
    with open_scene(slides[:1]) as scene:
        export_scene(scene, folder)
        (folder / name).write_text("mine")
        with pytest.raises(UserError, match=r"is no file of a data set.*stays"):
            export_scene(scene, folder, overwrite=True)
    assert (folder / name).read_text() == "mine"


def test_a_slide_that_goes_away_leaves_no_half_of_a_view(tmp_path, slides):
    copy = tmp_path / "copy.tif"
    copy.write_bytes(slides[0].read_bytes())
    with open_scene([copy]) as scene:
        copy.unlink()
        with pytest.raises(GoneError, match="can no longer be read"):
            export_scene(scene, tmp_path / "view")
    assert list(tmp_path.iterdir()) == []
