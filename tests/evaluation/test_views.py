"""Views beside a report: the patches of each method in one image, at the scale of HR."""

import json

import cv2
import numpy as np

from mihatp_arch.evaluation.report.figure import Patch
from mihatp_arch.evaluation.views import view_images, view_patches


def patch(seed):
    hr = np.random.default_rng(seed).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    return Patch("a patch", {"LR x4": hr[::4, ::4].copy(), "bicubic": hr // 2, "ours": hr // 3, "HR": hr}, {})


def scene_of(folder):
    return json.loads((folder / "scene.js").read_text().removeprefix("MiHATP.scene = ").rstrip(";\n"))


def test_patches_stand_side_by_side_at_one_scale(tmp_path):
    patches = [patch(0), patch(1)]
    assert view_patches(patches, tmp_path, scale=4, first=["bicubic", "ours"]) == "view/index.html"
    images = scene_of(tmp_path / "view")["images"]
    assert [image["name"] for image in images] == ["bicubic.png", "ours.png", "HR.png", "LR x4.png"]
    assert [image["size"] for image in images] == [[96, 32]] * 3 + [[24, 8]]
    assert [image["width"] for image in images] == [1, 1, 1, 1]
    hr = cv2.imread(str(tmp_path / "view/tiles/2/7/0_0.png"))
    assert np.array_equal(hr[:, 64:], patches[1].images["HR"]) and (hr[:, 32:64] == 255).all()


def test_an_older_view_is_replaced_and_foreign_files_are_spared(tmp_path, capsys):
    grey = {"a": np.full((8, 8, 3), 100, np.uint8)}
    assert view_images(grey, [], tmp_path / "view") == "view/index.html"
    assert view_images(grey, [], tmp_path / "view", quality=None) == "view/index.html"
    (tmp_path / "view" / "notes.doc").write_text("mine")
    assert view_images(grey, [], tmp_path / "view") is None
    assert "note: no view:" in capsys.readouterr().err and (tmp_path / "view" / "notes.doc").is_file()
