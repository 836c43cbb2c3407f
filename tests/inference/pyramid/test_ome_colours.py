"""An OME-TIFF of JPEG tiles without YCbCrSubSampling, which Bio-Formats shows in its colours."""

import numpy as np
import pytest
import tifffile

from mihatp_arch.inference.pyramid import Jpeg, Layout, TileStore, store_path, tiff_writer, write_tiff


@pytest.mark.parametrize("most", [tiff_writer._CLASSIC_TIFF, 0], ids=["classic", "bigtiff"])
def test_the_tag_is_left_out_of_each_page_and_the_pixels_are_the_same(tmp_path, monkeypatch, most):
    monkeypatch.setattr(tiff_writer, "_CLASSIC_TIFF", most)
    image = np.random.default_rng(0).integers(0, 256, (700, 900, 3), dtype=np.uint8)
    pixels = []
    for flavour in ("generic", "ome"):
        output = tmp_path / f"{flavour}.tif"
        with TileStore.open(store_path(output), Layout(900, 700), compression=Jpeg(), config={}) as store:
            store.commit(0, 0, image)
            write_tiff(store, output, mpp=0.25, flavour=flavour, description="computed")
        with tifffile.TiffFile(output) as file:
            assert file.is_bigtiff == (most == 0)
            levels = file.series[0].levels
            assert len(levels) == 2
            assert all(("YCbCrSubSampling" in level.keyframe.tags) == (flavour == "generic") for level in levels)
            codes = [[tag.code for tag in level.keyframe.tags] for level in levels]
            assert all(page == sorted(page) for page in codes)
            pixels.append([level.asarray() for level in levels])
    for generic, ome in zip(*pixels, strict=True):
        np.testing.assert_array_equal(generic, ome)
