"""The list of slide readers: a reader of another format is one class and one line, and a build uses it."""

import hashlib
import json

import numpy as np
import pytest
from helpers.build import barcode, build
from helpers.tiles import images, manifest_rows
from PIL import Image

from datasets_prep.patches.options import Limits
from datasets_prep.slides import open as readers
from datasets_prep.slides.levels import level_factor, overview
from datasets_prep.slides.openslide import OpenSlideReader
from datasets_prep.slides.protocol import SlideFacts
from datasets_prep.slides.tiff_reader import TiffReader
from datasets_prep.slides.tiles import TileReader, read_rgb
from datasets_prep.synthetic.image import synthesize
from datasets_prep.tissue.outlines import read_outlines


class ArrayReader(TileReader):
    """A slide in a NumPy file, with 0.25 µm/px by default."""

    suffixes = (".npy",)

    def __init__(self, path, *, assume_mpp=None):
        self._rgb = np.load(path)
        self.path, self.vendor = path, "numpy"
        self.level_sizes = (self._rgb.shape[1::-1],)
        self.mpp, self.mpp_source = (0.25, "slide") if assume_mpp is None else (assume_mpp, "assumed")


@pytest.fixture
def with_arrays(monkeypatch):
    monkeypatch.setattr(readers, "SLIDE_READERS", (ArrayReader, *readers.SLIDE_READERS))


@pytest.mark.slow
def test_a_reader_of_another_format_is_used_by_a_build(with_arrays, tmp_path):
    (tmp_path / "slides").mkdir()
    slides = {f"{barcode(index)}.npy": synthesize(700, 800, seed=index)[0] for index in range(4)}
    for name, rgb in slides.items():
        np.save(tmp_path / "slides" / name, rgb)
    result = build(tmp_path / "slides", tmp_path / "out")
    assert not result.failed and {state.scan.vendor for state in result.sources} == {"numpy"}
    rows = manifest_rows(tmp_path / "out")
    hr = {key: rgb for split in result.counts for key, rgb in images(tmp_path / "out" / split / "HR.lmdb").items()}
    assert len(rows) == len(hr) > 20
    for row in rows:
        x, y = int(row["x"]), int(row["y"])
        np.testing.assert_array_equal(hr[row["key"]], slides[row["slide"]][y : y + 96, x : x + 96])


def test_outlines_begin_where_the_viewer_begins(with_arrays, tmp_path, monkeypatch):
    """The outline is written for QuPath, which shows a part of the slide, and comes back through --mask."""
    monkeypatch.setattr(ArrayReader, "facts", SlideFacts(scanner="S 1", icc=b"profile", origin=(96, 192)))
    np.save(tmp_path / f"{barcode(0)}.npy", synthesize(700, 800, seed=1)[0])
    options = {"split_by": "patch", "tests": 1, "limits": Limits(5, 3, 3)}
    build(tmp_path / f"{barcode(0)}.npy", tmp_path / "out", **options)
    outline = tmp_path / "out" / "slides" / f"{barcode(0)}.geojson"
    corners = np.concatenate([region.outer for region in read_outlines(outline).regions])
    assert corners.min(axis=0).tolist() == [-96, -192]  # the tissue fills the slide
    build(tmp_path / f"{barcode(0)}.npy", tmp_path / "again", mask=outline, **options)
    assert manifest_rows(tmp_path / "again") == manifest_rows(tmp_path / "out")
    (source,) = json.loads((tmp_path / "out" / "build.json").read_text())["sources"].values()
    assert source["scanner"] == "S 1" and source["icc"] == hashlib.sha256(b"profile").hexdigest()
    assert source["origin"] == [96, 192]


def test_the_first_reader_that_recognises_a_file_opens_it(with_arrays, tmp_path):
    np.save(tmp_path / "a.npy", synthesize(64, 80, seed=0)[0])
    with readers.open_slide(tmp_path / "a.npy", assume_mpp=0.3) as slide:
        assert isinstance(slide, ArrayReader) and slide.mpp == 0.3
    assert readers.slide_suffixes()[:2] == (".npy", ".tif")
    assert set(readers.slide_suffixes()) == {".npy", *TiffReader.suffixes, *OpenSlideReader.suffixes}
    assert len(readers.slide_suffixes()) == len(set(readers.slide_suffixes()))


def test_an_image_tile_gives_what_a_slide_gives(tmp_path):
    path = tmp_path / "a.png"
    Image.fromarray(synthesize(60, 90, seed=1)[0]).save(path)
    rgb = read_rgb(path)
    with readers.open_source(path, "tile") as tile:
        assert (tile.level_sizes, tile.mpp, tile.mpp_source) == (((90, 60),), None, "")
        assert tile.recognises(path) and not tile.recognises(tmp_path / "a.svs")
        np.testing.assert_array_equal(tile.read(10, 20, 30, 40), rgb[20:60, 10:40])
        corner = tile.read(-5, 50, 20, 20)
        np.testing.assert_array_equal(corner[:10, 5:], rgb[50:, :15])
        assert (corner[10:] == 255).all() and (corner[:, :5] == 255).all()
        assert level_factor(tile.level_sizes, 0) == 1
        np.testing.assert_array_equal(overview(tile)[0], rgb)
        with pytest.raises(ValueError, match="one level"):
            tile.read(0, 0, 5, 5, level=1)
