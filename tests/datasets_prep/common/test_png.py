"""PNG bytes: every decoder reads the pixels, equal images give equal bytes, and another encoder is another shard."""

import io

import cv2
import numpy as np
import pytest
from helpers.build import build
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image

from datasets_prep.common.errors import UserError
from datasets_prep.common.png import decode_rgb, encode_png
from datasets_prep.patches import extraction
from datasets_prep.synthetic.image import synthesize
from datasets_prep.synthetic.slide import write_synthetic_slide

SIZES = st.tuples(st.integers(1, 9), st.integers(1, 9), st.just(3))


@given(arrays(np.uint8, SIZES))
@settings(deadline=None, max_examples=50)
def test_every_decoder_reads_the_pixels(rgb):
    png = encode_png(rgb)
    assert np.array_equal(decode_rgb(png), rgb)
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(png))), rgb)
    assert png == encode_png(np.asfortranarray(rgb))


def test_tissue_takes_two_thirds_of_its_pixels_and_hardly_more_than_by_opencv():
    rgb, _ = synthesize(192, 192, seed=0)
    options = [cv2.IMWRITE_PNG_COMPRESSION, 1, cv2.IMWRITE_PNG_STRATEGY, cv2.IMWRITE_PNG_STRATEGY_RLE]
    opencv = cv2.imencode(".png", rgb[..., ::-1], options)[1]
    assert len(encode_png(rgb)) < min(2 / 3 * rgb.nbytes, 1.15 * len(opencv))


@pytest.mark.parametrize(
    "array",
    [np.zeros((2, 2), np.uint8), np.zeros((2, 2, 4), np.uint8), np.zeros((0, 2, 3), np.uint8), np.zeros((2, 2, 3))],
)
def test_no_image_is_one_line(array):
    with pytest.raises(UserError, match=r"an image of shape \(.*\), .*, could not be encoded as PNG"):
        encode_png(array)


def test_a_build_does_not_mix_encoders(tmp_path, monkeypatch):
    """The work of a killed build with another encoder is not used."""
    slide, out, names = tmp_path / "slide.tif", tmp_path / "out", []
    write_synthetic_slide(slide, width=2304, height=2304, seed=0)

    def killed(*_, **__):
        names.append({file.name for file in tmp_path.glob(".out.work/shard-*.json")})
        raise KeyboardInterrupt

    monkeypatch.setattr("datasets_prep.prepare.write_dataset", killed)
    for encoder in ("one", "one", "other"):
        monkeypatch.setattr(extraction, "encoder", lambda encoder=encoder: encoder)
        with pytest.raises(KeyboardInterrupt):
            build([slide], out, split_by="patch")
    assert names[0] == names[1] < names[2]
    assert len(names[2]) == 2 * len(names[0])
