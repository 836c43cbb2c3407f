"""Finding slides: sorted by name, each file once, a DICOM series as one slide."""

import pytest

from datasets_prep.common.errors import UserError
from datasets_prep.slides.find_slides import find_slides
from datasets_prep.slides.open import open_slide


def test_find_slides(tmp_path):
    for name in ("b/x.svs", "b/deep/y.NDPI", "a.tiff", ".hidden/z.svs", "b/.z.svs", "notes.txt", "b/x.svs.txt"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "folder.tif").mkdir()
    (tmp_path / "link.svs").symlink_to(tmp_path / "b" / "x.svs")
    found = find_slides([tmp_path, tmp_path / "b" / "x.svs", tmp_path / "notes.txt"]).names
    assert list(found.values()) == ["a.tiff", "b/deep/y.NDPI", "b/x.svs", "notes.txt"]
    assert next(iter(found)) == tmp_path.resolve() / "a.tiff"
    with pytest.raises(UserError, match="absent"):
        find_slides([tmp_path, tmp_path / "absent"])
    for nothing in ([tmp_path / "folder.tif"], []):
        with pytest.raises(UserError, match="no slides"):
            find_slides(nothing)
    with pytest.raises(UserError, match="give a slide"):
        find_slides([tmp_path / "a\0b"])


def test_a_dicom_series_is_one_slide(tmp_path):
    def write(name, uid):
        series = b"\x20\x00\x0e\x00UI" + len(uid).to_bytes(2, "little") + uid
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(
            bytes(128) + b"DICM" + bytes(500) + series + b"\x28\x00\x10\x00US\x02\x00\x01\x00"
        )

    for name, uid in (("a/1.dcm", b"1.2.30"), ("a/2.dcm", b"1.2.30"), ("a/3.dcm", b"1.2.31"), ("b/1.dcm", b"1.2.30")):
        write(name, uid)
    (tmp_path / "a" / "4.dcm").write_bytes(b"no DICOM")
    assert list(find_slides([tmp_path]).names.values()) == ["a/1.dcm", "a/3.dcm", "a/4.dcm", "b/1.dcm"]


def test_slides_of_formats_that_cannot_be_read_are_listed(tmp_path):
    for name in ("a.svs", "b.vsi", "c.isyntax", "d.txt"):
        (tmp_path / name).write_bytes(b"x" * 100)
    assert list(find_slides([tmp_path]).names.values()) == ["a.svs", "b.vsi", "c.isyntax"]
    with pytest.raises(UserError, match=r"Philips iSyntax.*export it as OME-TIFF"):
        open_slide(tmp_path / "c.isyntax")
