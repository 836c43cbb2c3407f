"""In Python, the line of an error names the keyword, where the command names its option."""

import numpy as np
import pytest
from helpers.slides import write_pyramid

from datasets_prep.common.errors import UserError
from mihatp_arch.inference.slides.keywords import in_python
from mihatp_arch.inference.slides.options import SlideOptions
from mihatp_arch.inference.upscale import Upscaler


@pytest.mark.parametrize(
    ("line", "wanted"),
    [
        ("give --overwrite", "give overwrite=True"),
        (
            "give another --scale or --to-mpp, or --force to use it",
            "give another scale or to_mpp, or force=True to use it",
        ),
        ("--format x: choose", "flavour x: choose"),
        ("-o a.csv: nuclei", "output a.csv: nuclei"),
        ("a--b and /tmp/x--force.svs", "a--b and /tmp/x--force.svs"),
    ],
)
def test_options_become_keywords(line, wanted):
    assert in_python(line) == wanted


def test_errors_of_a_slide(network, slide, tmp_path):
    upscaler = Upscaler(network)
    (tmp_path / "out.tif").write_bytes(b"")
    with pytest.raises(UserError, match=r"or give overwrite=True$"):
        upscaler.upscale_slide(slide, tmp_path / "out.tif")
    with pytest.raises(UserError, match="or force=True to use it"):
        upscaler.upscale_slide(slide, tmp_path / "new.tif", options=SlideOptions(override_mpp=3.0))
    with pytest.raises(UserError, match=r"^whole computes everything, tissue only its outlines"):
        SlideOptions(whole=True, tissue=slide)


@pytest.mark.parametrize(
    ("name", "flavour", "says"),
    [
        ("y.png", "generic", r"^output .*y\.png: a slide is written as \.tif, \.tiff, \.svs, \.btf$"),
        ("y", "generic", "a slide is written as"),
        ("y.ome.tif", "svs", r"^flavour svs: the output .* is ome by its ending"),
        ("y.svs", "ome", "is svs by its ending"),
    ],
)
def test_the_name_of_a_slide_is_checked_as_in_the_command(network, slide, tmp_path, name, flavour, says):
    with pytest.raises(UserError, match=says):
        Upscaler(network).upscale_slide(slide, tmp_path / name, options=SlideOptions(flavour=flavour))
    assert not list(tmp_path.iterdir())


def test_notes_of_a_slide(network, tmp_path):
    glass = write_pyramid(tmp_path / "glass.tif", [np.full((256, 256, 3), 243, np.uint8)])
    result = Upscaler(network).upscale_slide(glass, tmp_path / "out.tif", options=SlideOptions(force=True))
    assert any("give its outlines with tissue, or whole=True" in note for note in result.notes)
