"""Image tiles as BasicSR would read them: orientation, bits, pages, size, and TIFFs that Pillow cannot decode."""

import cv2
import numpy as np
import pytest
import tifffile
from PIL import Image

from datasets_prep.common.errors import UserError
from datasets_prep.slides.tiles import read_rgb
from datasets_prep.synthetic.image import synthesize
from mihatp_arch.config.checks.image_store import StoreError, read_folder

ORIENTATION = 274


@pytest.fixture(scope="module")
def image():
    return synthesize(60, 90, seed=1)[0]


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("ending", ["png", "jpg", "tif"])
def test_prepare_checks_and_training_turn_an_image_alike(image, tmp_path, ending, orientation):
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    Image.fromarray(image).save(tmp_path / f"a.{ending}", exif=exif)
    trained = cv2.imdecode(np.fromfile(tmp_path / f"a.{ending}", np.uint8), cv2.IMREAD_COLOR)[..., ::-1]
    prepared = read_rgb(tmp_path / f"a.{ending}")
    assert prepared.shape == trained.shape
    assert np.abs(prepared.astype(int) - trained).max() <= (3 if ending == "jpg" else 0)
    assert read_folder(tmp_path).sizes == {f"a.{ending}": trained.shape[:2]}


@pytest.mark.parametrize("name", ["a.png", "a.tif"])
def test_16_bits_are_refused_not_cut(image, tmp_path, name):
    deep = image.astype(np.uint16) * 257
    if name == "a.png":
        cv2.imwrite(str(tmp_path / name), deep)
    else:
        tifffile.imwrite(tmp_path / name, deep, photometric="rgb")
    with pytest.raises(UserError, match=r"16 bits per channel: 8 are needed"):
        read_rgb(tmp_path / name)
    with pytest.raises(StoreError, match=r"16 bits per channel: 8 are needed"):
        read_folder(tmp_path)


@pytest.mark.parametrize("compression", ["jpeg2000", "webp", "zstd", "jpegxl"])
def test_tiffs_that_pillow_cannot_decode_are_read_by_tifffile(image, tmp_path, compression, capfd):
    tifffile.imwrite(tmp_path / "a.tif", image, photometric="rgb", compression=compression)
    np.testing.assert_array_equal(read_rgb(tmp_path / "a.tif"), image)
    assert capfd.readouterr() == ("", "")  # libtiff prints its errors


def test_a_file_beyond_the_limit_of_pillow_is_read(image, tmp_path, monkeypatch):
    Image.fromarray(image).save(tmp_path / "a.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)  # an error above twice this number
    np.testing.assert_array_equal(read_rgb(tmp_path / "a.png"), image)
    assert read_folder(tmp_path).sizes == {"a.png": image.shape[:2]}
    assert Image.MAX_IMAGE_PIXELS == 1000


def test_other_pages_are_refused_unless_they_are_reduced_copies(image, tmp_path):
    with tifffile.TiffWriter(tmp_path / "a.tif") as file:
        file.write(image, photometric="rgb", metadata=None)
        file.write(image[::2, ::2], photometric="rgb", subfiletype=1, metadata=None)
    np.testing.assert_array_equal(read_rgb(tmp_path / "a.tif"), image)
    tifffile.imwrite(tmp_path / "b.tif", np.stack([image, image]), photometric="rgb")
    with pytest.raises(UserError, match="2 pages"):
        read_rgb(tmp_path / "b.tif")


def test_damage_is_not_taken_for_another_format(image, tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", image, photometric="rgb", compression="webp")
    data = (tmp_path / "a.tif").read_bytes()
    (tmp_path / "a.tif").write_bytes(data[: len(data) // 2])
    with pytest.raises(UserError, match=r"a\.tif cannot be read as an image"):
        read_rgb(tmp_path / "a.tif")
