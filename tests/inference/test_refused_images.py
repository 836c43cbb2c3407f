"""Picture files that are refused, damaged or too large, and disks that are full: one line each."""

import resource
import struct
import zlib

import numpy as np
import pytest
import tifffile
from PIL import Image, ImageCms

from datasets_prep.common.errors import UserError
from mihatp_arch.inference.images import Picture, from_pil, read_picture
from mihatp_arch.inference.write_images import check_writable, format_to_write, write_picture

RNG = np.random.default_rng(0)
RGB = RNG.integers(0, 256, (20, 30, 3), dtype=np.uint8)
ALPHA = RNG.integers(0, 256, (20, 30), dtype=np.uint8)
ICC = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
SMOOTH = np.repeat(np.linspace(0, 255, 30).astype(np.uint8)[None, :, None], 20, 0).repeat(3, 2)


def png16(path):
    data = RNG.integers(0, 2**16, (4, 6, 3), dtype=np.uint16)

    def chunk(kind, body):
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in data)
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", struct.pack(">IIBBBBB", 6, 4, 16, 2, 0, 0, 0))
        + chunk(b"IDAT", zlib.compress(rows))
        + chunk(b"IEND", b"")
    )


REFUSED = {
    "16.png": (png16, "16 bits"),
    "grey16.png": (lambda path: Image.fromarray(np.zeros((5, 5), np.uint16)).save(path), "16 bits"),
    "rgb16.tif": (lambda path: tifffile.imwrite(path, np.zeros((5, 5, 3), np.uint16), photometric="rgb"), "16 bits"),
    "grey16.tif": (lambda path: tifffile.imwrite(path, np.zeros((5, 5), np.uint16)), "16 bits"),
    "float.tif": (lambda path: tifffile.imwrite(path, np.zeros((5, 5), np.float32)), "float"),
    "float16.tif": (lambda path: tifffile.imwrite(path, np.zeros((5, 5, 3), np.float16), photometric="rgb"), "float"),
    "cmyk.tif": (lambda path: Image.new("CMYK", (5, 5)).save(path), "SEPARATED"),
    "cmyk.jpg": (lambda path: Image.new("CMYK", (5, 5)).save(path), "mode CMYK"),
    "lab.tif": (lambda path: Image.new("LAB", (5, 5)).save(path), "CIELAB"),
    "pages.tif": (
        lambda path: Image.fromarray(RGB).save(path, save_all=True, append_images=[Image.fromarray(RGB)]),
        "2 pages",
    ),
    "animated.png": (
        lambda path: Image.fromarray(RGB).save(path, save_all=True, append_images=[Image.fromarray(255 - RGB)]),
        "2 pages",
    ),
    "gif.png": (lambda path: Image.fromarray(RGB).convert("P").save(path, format="GIF"), "no PNG, JPEG or TIFF"),
    "text.png": (lambda path: path.write_text("no image"), "no PNG, JPEG or TIFF"),
    "empty.png": (lambda path: path.write_bytes(b""), "is empty: replace or remove it"),
    "folder.png": (lambda path: path.mkdir(), "directory"),
    "absent.png": (lambda path: None, "No such file"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_other_pixels_are_refused(tmp_path, name):
    write, reason = REFUSED[name]
    write(tmp_path / name)
    with pytest.raises(UserError, match=reason) as caught:
        read_picture(tmp_path / name)
    assert name in str(caught.value)


def test_pil_images_of_other_modes_are_refused():
    for mode in ("CMYK", "I", "F", "I;16", "LAB", "HSV"):
        with pytest.raises(UserError, match="mode"):
            from_pil(Image.new(mode, (4, 4)))


@pytest.mark.parametrize("suffix", ["png", "jpg", "tif"])
def test_damaged_files_are_one_line(tmp_path, suffix, recwarn, capfd):
    path = tmp_path / f"a.{suffix}"
    write_picture(Picture(RGB, None, ICC, (300.0, 300.0)), path)
    whole = path.read_bytes()
    for end in [*range(1, 120, 7), *range(120, len(whole), len(whole) // 40)]:
        path.write_bytes(whole[:end])
        try:
            read_picture(path)
        except UserError as error:
            assert str(path) in str(error)
        else:
            assert end > 0.97 * len(whole)  # only the end of the file is missing, which no pixel needs
    draw = np.random.default_rng(1)
    for _ in range(150):
        damaged = bytearray(whole)
        for at in draw.integers(0, len(whole), 3):
            damaged[at] = draw.integers(0, 256)
        path.write_bytes(damaged)
        try:
            read_picture(path)
        except UserError as error:
            assert str(path) in str(error)
    assert capfd.readouterr() == ("", "") and not recwarn.list


def test_a_picture_beyond_the_limit_of_pillow_is_read(tmp_path):
    path = tmp_path / "flat.png"
    Image.new("1", (15_000, 12_500)).save(path)
    assert Image.MAX_IMAGE_PIXELS * 2 < 15_000 * 12_500
    picture = read_picture(path)
    assert picture.size == (15_000, 12_500) and Image.MAX_IMAGE_PIXELS is not None


def test_an_absurd_size_is_refused_before_memory_is_taken(tmp_path):
    path = tmp_path / "a.png"
    write_picture(Picture(RGB), path)
    data = bytearray(path.read_bytes())
    data[16:24] = struct.pack(">II", 100_000, 100_000)
    data[29:33] = struct.pack(">I", zlib.crc32(data[12:29]))
    path.write_bytes(data)
    with pytest.raises(UserError, match="100000×100000 px"):
        read_picture(path)


def test_the_ending_names_the_format_to_write(tmp_path):
    assert [format_to_write(tmp_path / name) for name in ("a.PNG", "a.jpeg", "a.tif")] == ["PNG", "JPEG", "TIFF"]
    with pytest.raises(UserError, match=r"did you mean '\.tiff'"):
        format_to_write(tmp_path / "a.tifff")


def test_jpeg_refuses_what_it_cannot_hold(tmp_path):
    with pytest.raises(UserError, match="transparency"):
        check_writable(Picture(RGB, ALPHA), tmp_path / "a.jpg", 2)
    check_writable(Picture(RGB, np.full_like(ALPHA, 255)), tmp_path / "a.jpg", 2)
    wide = Picture(np.zeros((1, 9000, 3), np.uint8))
    with pytest.raises(UserError, match="at most 65500 px"):
        check_writable(wide, tmp_path / "a.jpg", 8)
    check_writable(wide, tmp_path / "a.jpg", 4)
    check_writable(wide, tmp_path / "a.png", 8)


@pytest.mark.parametrize("suffix", ["png", "jpg", "tif"])
def test_a_full_disk_leaves_the_old_file(tmp_path, suffix):
    path = tmp_path / f"a.{suffix}"
    path.write_text("old")
    noise = RNG.integers(0, 256, (1000, 1000, 3), dtype=np.uint8)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 18, before[1]))  # the kernel then refuses as a full disk does
    try:
        with pytest.raises(UserError, match=f"cannot write .*a.{suffix}: File too large"):
            write_picture(Picture(noise), path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert path.read_text() == "old" and list(tmp_path.iterdir()) == [path]


def test_a_missing_folder_is_one_line(tmp_path):
    with pytest.raises(UserError, match=r"cannot write .*No such file"):
        write_picture(Picture(RGB), tmp_path / "absent" / "a.png")
