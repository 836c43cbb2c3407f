"""Coordinates of CLAM and TRIDENT become patches, and the coordinates of a data set are what CLAM reads."""

import h5py
import numpy as np
import pytest
from helpers.build import barcode, build
from helpers.tiles import images, manifest_rows

from datasets_prep.common.errors import UserError
from datasets_prep.coordinates.h5 import choose_patches, read_coordinates
from datasets_prep.patches.options import Limits
from datasets_prep.slides.open import open_slide
from datasets_prep.synthetic.slide import write_synthetic_slide

CORNERS = [[100, 50], [292, 50], [100, 242], [1000, 700]]
CLAM = {"patch_size": 192, "patch_level": 0, "downsample": np.array([1.0, 1.0]), "name": "s"}
TRIDENT = {"patch_size": 96, "level0_magnification": 40, "target_magnification": 20, "patch_size_level0": 192}


def written(path, corners=CORNERS, *, attributes=CLAM, name="coords"):
    with h5py.File(path, "w") as file:
        stored = file.create_dataset(name, data=np.array(corners))
        for key, value in attributes.items():
            stored.attrs[key] = value
    return path


def without(attributes, *names):
    return {name: value for name, value in attributes.items() if name not in names}


@pytest.mark.parametrize(
    ("attributes", "side"),
    [
        (CLAM, 192),
        (TRIDENT, 192),
        (without(TRIDENT, "patch_size_level0"), 192),
        (CLAM | {"patch_level": 1, "patch_size": 48, "downsample": np.array([3.9999, 4.0])}, 192),
        (CLAM | {"patch_size": 256}, 256),
    ],
)
def test_the_size_of_patches_is_read_as_each_tool_writes_it(tmp_path, attributes, side):
    stated = read_coordinates(written(tmp_path / "s.h5", attributes=attributes))
    assert stated.side == side
    np.testing.assert_array_equal(stated.coordinates, CORNERS)


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda path: path.write_bytes(b"no HDF5"), "cannot be read as HDF5"),
        (lambda path: written(path, name="features"), "has no dataset 'coords'"),
        (lambda path: written(path, attributes={}), "does not say how large"),
        (lambda path: written(path, [1, 2, 3]), r"int64 \[3\]"),
        (lambda path: written(path, [[0.0, np.nan]]), "lie on no slide"),
        (lambda path: written(path, attributes=CLAM | {"patch_size": 0}), "patches of 0 px"),
    ],
)
def test_other_files_are_one_line(tmp_path, make, says):
    make(tmp_path / "s.h5")
    with pytest.raises(UserError, match=says) as caught:
        read_coordinates(tmp_path / "s.h5")
    assert str(tmp_path / "s.h5") in str(caught.value) and "\n" not in str(caught.value)


def test_patches_lie_in_the_slide_and_do_not_overlap(tmp_path):
    def chosen(corners, *, side, stated=192, step=1):
        path = written(tmp_path / "s.h5", corners, attributes=CLAM | {"patch_size": stated})
        return choose_patches(read_coordinates(path), size=(1200, 900), side=side, step=step, path=path)

    same = chosen(CORNERS, side=192)
    assert same.coordinates.tolist() == CORNERS and "left out" not in same.note
    four = chosen([[100, 50]], side=96)
    assert four.coordinates.tolist() == [[100, 50], [196, 50], [100, 146], [196, 146]]
    mixed = chosen([*CORNERS, [101, 60], [1100, 800], [-5, 0], [100, 50]], side=192)
    assert mixed.coordinates.tolist() == CORNERS and "2 outside, 2 overlapping" in mixed.note
    assert chosen([[100, 50]], side=192, step=8).coordinates.tolist() == [[96, 48]]
    with pytest.raises(UserError, match="192 px are needed: use a smaller --patch-size"):
        chosen(CORNERS, side=192, stated=128)
    with pytest.raises(UserError, match="none of its 1 coordinates"):
        chosen([[5000, 0]], side=192)


@pytest.mark.slow
def test_a_build_has_the_stated_patches_and_gives_them_back(tmp_path):
    (tmp_path / "slides").mkdir()
    (tmp_path / "coords").mkdir()
    corners = {}
    for index in range(3):
        name = barcode(index)
        options = {"width": 1100, "height": 900, "seed": index, "pen": False, "black": False, "factors": (2,)}
        write_synthetic_slide(tmp_path / "slides" / f"{name}.tif", **options)
        corners[f"{name}.tif"] = {(301 + 96 * i, 299) for i in range(3 + index)}
        file = tmp_path / "coords" / (f"{name}_patches.h5" if index else f"{name}.h5")
        written(file, sorted(corners[f"{name}.tif"]), attributes=CLAM | {"patch_size": 96})
    options = {"tests": 1, "limits": Limits(9, 9, 9)}
    result = build(tmp_path / "slides", tmp_path / "out", coords=tmp_path / "coords", **options)
    rows = manifest_rows(tmp_path / "out")
    for name, expected in corners.items():
        mine = {(int(row["x"]), int(row["y"])) for row in rows if row["slide"] == name}
        assert mine and mine <= expected
    assert sum(state.examined for state in result.sources) == sum(map(len, corners.values()))
    hr = images(tmp_path / "out/train/HR.lmdb")
    row = next(row for row in rows if row["split"] == "train")
    with open_slide(tmp_path / "slides" / row["slide"]) as slide:
        np.testing.assert_array_equal(hr[row["key"]], slide.read(int(row["x"]), int(row["y"]), 96, 96))
    with h5py.File(tmp_path / "out" / "slides" / f"{barcode(2)}.h5") as file:
        assert {tuple(corner) for corner in file["coords"][()].tolist()} == corners[f"{barcode(2)}.tif"]
        assert file["coords"].attrs["patch_size"] == 96 and file["coords"].attrs["patch_level"] == 0
        assert file["coords"].attrs["level_dim"].tolist() == [1100, 900]
    again = build(tmp_path / "slides", tmp_path / "again", coords=tmp_path / "out" / "slides", **options)
    assert manifest_rows(tmp_path / "again") == rows and not again.failed
    (tmp_path / "coords" / f"{barcode(0)}.h5").rename(tmp_path / "coords" / "other.h5")
    with pytest.raises(UserError, match=r"other\.h5 fits no slide"):
        build(tmp_path / "slides", tmp_path / "no", coords=tmp_path / "coords", **options)
