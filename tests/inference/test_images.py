"""Picture files: pixels and metadata survive reading and writing."""

import numpy as np
import pytest
import tifffile
from PIL import Image, ImageCms

from mihatp_arch.inference.images import Picture, format_of, from_pil, read_picture
from mihatp_arch.inference.write_images import write_picture

RNG = np.random.default_rng(0)
RGB = RNG.integers(0, 256, (20, 30, 3), dtype=np.uint8)
ALPHA = RNG.integers(0, 256, (20, 30), dtype=np.uint8)
ICC = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
SMOOTH = np.repeat(np.linspace(0, 255, 30).astype(np.uint8)[None, :, None], 20, 0).repeat(3, 2)


def save(image, path, **options):
    image.save(path, **options)
    return path


@pytest.mark.parametrize("dpi", [None, (300.0, 200.0), (101600.0, 101600.0)], ids=str)
@pytest.mark.parametrize("name", ["a.png", "a.tiff", "a.tif", "a.PNG"])
def test_lossless_files_hold_everything(tmp_path, name, dpi):
    path = tmp_path / name
    write_picture(Picture(RGB, ALPHA, ICC, dpi), path, description="computed")
    picture = read_picture(path)
    assert np.array_equal(picture.rgb, RGB) and np.array_equal(picture.alpha, ALPHA) and picture.icc == ICC
    assert picture.dpi == (pytest.approx(dpi, rel=1e-5) if dpi else None)
    first = path.read_bytes()
    assert b"computed" in first
    write_picture(Picture(RGB, ALPHA, ICC, dpi), path, description="computed")
    assert path.read_bytes() == first
    assert [file.name for file in tmp_path.iterdir()] == [name]


@pytest.mark.parametrize("dpi", [None, (300.0, 200.0), (101600.0, 101600.0)], ids=str)
def test_jpeg_has_full_colour_resolution(tmp_path, dpi):
    path = tmp_path / "a.jpg"
    write_picture(Picture(SMOOTH, None, ICC, dpi), path, description="computed")
    picture = read_picture(path)
    assert np.abs(picture.rgb.astype(int) - SMOOTH).max() <= 4 and picture.icc == ICC
    assert picture.dpi == (pytest.approx(dpi) if dpi else None)
    with Image.open(path) as image:
        assert image.info["comment"] == b"computed"
        assert {tuple(layer[1:3]) for layer in image.layer} == {(1, 1)}  # 4:4:4


def test_resolution_of_a_microscope_only():
    assert Picture(RGB, dpi=(101600.0, 101600.0)).mpp == 0.25
    assert Picture(RGB, dpi=(72.0, 72.0)).mpp is None
    assert Picture(RGB).mpp is None


@pytest.mark.parametrize("kind", ["ome", "imagej"])
def test_the_resolution_that_ome_and_imagej_describe(tmp_path, kind):
    """Their resolution is not in the tags alone: ImageJ's unit stands in the description, OME's all."""
    path = tmp_path / ("a.ome.tif" if kind == "ome" else "a.tif")
    if kind == "ome":
        size = {"PhysicalSizeX": 500, "PhysicalSizeXUnit": "nm", "PhysicalSizeY": 0.25}
        tifffile.imwrite(path, RGB, ome=True, photometric="rgb", metadata={"axes": "YXS", **size})
    else:
        sides = {"resolution": (2, 4), "metadata": {"unit": "micron", "axes": "YXS"}}
        tifffile.imwrite(path, RGB, imagej=True, photometric="rgb", **sides)
    picture = read_picture(path)
    assert picture.dpi == pytest.approx((25400 / 0.5, 25400 / 0.25)) and np.array_equal(picture.rgb, RGB)
    write_picture(picture.enlarged(RGB, 1), tmp_path / "b.tif")
    assert read_picture(tmp_path / "b.tif").dpi == pytest.approx(picture.dpi)


def test_an_enlarged_picture_has_finer_resolution_and_smooth_opacity():
    picture = Picture(RGB, ALPHA, ICC, (300.0, 200.0), "grey").enlarged(RGB.repeat(2, 0).repeat(2, 1), 2)
    assert picture.dpi == (600.0, 400.0) and picture.size == (60, 40) and picture.icc == ICC and picture.was == "grey"
    assert np.array_equal(picture.alpha, np.asarray(Image.fromarray(ALPHA).resize((60, 40), Image.Resampling.BICUBIC)))


@pytest.mark.parametrize(
    ("mode", "was", "opacity"),
    [
        *(("RGB", "", False), ("RGBA", "", True), ("L", "grey", False), ("LA", "grey", True)),
        *(("1", "grey", False), ("P", "palette", False)),
    ],
)
@pytest.mark.parametrize("suffix", ["png", "tiff"])
def test_modes_become_rgb(tmp_path, mode, was, opacity, suffix):
    image = Image.fromarray(RGB).convert(mode)
    if opacity:
        image.putalpha(Image.fromarray(ALPHA))
    picture = read_picture(save(image, tmp_path / f"a.{suffix}"))
    assert picture.was == was
    assert np.array_equal(picture.rgb, np.asarray(image.convert("RGB")))
    assert (picture.alpha is not None) == opacity
    assert picture.to_pil().mode == ("RGBA" if opacity else "RGB")


@pytest.mark.parametrize("mode", ["P", "RGB", "L"])
def test_transparency_of_single_colours_is_opacity(tmp_path, mode):
    image = Image.fromarray(RGB // 128 * 127).convert(mode)
    key = image.getpixel((0, 0))
    path = save(image, tmp_path / "a.png", transparency=key)
    picture = read_picture(path)
    assert picture.alpha[0, 0] == 0 and picture.alpha.max() == 255
    assert np.array_equal(picture.alpha == 0, (np.asarray(image) == key).reshape(20, 30, -1).all(-1))


def test_the_profile_of_grey_pixels_is_not_given_to_rgb_pixels():
    image = Image.fromarray(RGB).convert("L")
    image.info["icc_profile"] = ICC[:16] + b"GRAY" + ICC[20:]
    assert from_pil(image).icc is None


@pytest.mark.parametrize("suffix", ["jpg", "png", "tiff"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation_is_applied_once(tmp_path, suffix, orientation):
    exif = Image.Exif()
    exif[274] = orientation
    path = save(Image.fromarray(SMOOTH), tmp_path / f"a.{suffix}", exif=exif, dpi=(300, 200))
    upright = {
        1: SMOOTH,
        2: SMOOTH[:, ::-1],
        3: SMOOTH[::-1, ::-1],
        4: SMOOTH[::-1],
        5: SMOOTH.swapaxes(0, 1),
        6: np.rot90(SMOOTH, -1),
        7: SMOOTH[::-1, ::-1].swapaxes(0, 1),
        8: np.rot90(SMOOTH),
    }[orientation]
    picture = read_picture(path)
    assert picture.rgb.shape == upright.shape and np.abs(picture.rgb.astype(int) - upright).max() <= 4
    assert picture.dpi == pytest.approx((200, 300) if orientation > 4 else (300, 200), rel=1e-4)
    write_picture(picture, path)
    assert np.abs(read_picture(path).rgb.astype(int) - upright).max() <= 6


TIFFS = {
    "tiled": {"data": SMOOTH, "photometric": "rgb", "tile": (16, 16), "compression": "zlib"},
    "planes": {"data": np.moveaxis(RGB, -1, 0), "photometric": "rgb", "planarconfig": "separate"},
    "lzw": {"data": RGB, "photometric": "rgb", "compression": "lzw", "predictor": True, "byteorder": ">"},
    "more channels": {"data": np.dstack([RGB, ALPHA]), "photometric": "rgb", "extrasamples": ["unspecified"]},
    "white is zero": {"data": RGB[..., 0], "photometric": "miniswhite"},
    "palette": {
        "data": RGB[..., 0],
        "photometric": "palette",
        "colormap": RNG.integers(0, 2**16, (3, 256)).astype("u2"),
    },
    "volume tags": {"data": RGB, "photometric": "rgb", "resolution": (0, 0)},
}


@pytest.mark.parametrize("kind", TIFFS)
def test_tiffs_are_read_as_pillow_reads_them(tmp_path, kind):
    path = tmp_path / "a.tif"
    options = dict(TIFFS[kind])
    tifffile.imwrite(path, options.pop("data"), **options)
    with Image.open(path) as image:
        expected = np.asarray(image.convert("RGB"))
    picture = read_picture(path)
    assert np.array_equal(picture.rgb, expected) and picture.alpha is None and picture.dpi is None


@pytest.mark.parametrize("compression", ["jpeg", "tiff_lzw", "packbits", "tiff_deflate", "zstd"])
def test_tiffs_of_pillow_are_read(tmp_path, compression):
    path = save(Image.fromarray(SMOOTH), tmp_path / "a.tif", compression=compression, dpi=(25400, 25400))
    picture = read_picture(path)
    assert np.abs(picture.rgb.astype(int) - SMOOTH).max() <= (4 if compression == "jpeg" else 0)
    assert picture.mpp == pytest.approx(1)


def test_colours_multiplied_by_opacity_are_divided_by_it(tmp_path):
    half = np.full((20, 30), 128, np.uint8)
    path = tmp_path / "a.tif"
    multiplied = np.dstack([(SMOOTH * (128 / 255)).round().astype(np.uint8), half])
    tifffile.imwrite(path, multiplied, photometric="rgb", extrasamples=["assocalpha"])
    picture = read_picture(path)
    assert np.abs(picture.rgb.astype(int) - SMOOTH).max() <= 2 and np.array_equal(picture.alpha, half)


def test_the_content_counts_not_the_name(tmp_path):
    path = save(Image.fromarray(RGB), tmp_path / "a.tiff", format="PNG")
    assert format_of(path) == "PNG" and np.array_equal(read_picture(path).rgb, RGB)
