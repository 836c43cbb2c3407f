"""Sources: names of links, patients by rule, and nothing that was given is passed over without a word."""

import csv
import hashlib

import pytest
from helpers.build import build as build_of_slides
from helpers.build import write_slides
from helpers.tiles import barcode, build, manifest_rows, write_csv, write_tiles

from datasets_prep.command import main
from datasets_prep.common.errors import UserError
from datasets_prep.patches.options import SplitOptions
from datasets_prep.patches.patients import UnknownPatientsError
from datasets_prep.patches.sources import list_sources
from datasets_prep.signatures import NUCLEI_COLUMNS


@pytest.fixture
def tiles(tmp_path):
    return write_tiles(tmp_path / "tiles")


def patients(folder, *, tiles=None, manifest=None, slides=(), **options):
    listed = list_sources(list(slides), tiles=folder, manifest=manifest, splits=SplitOptions(**options))
    return {source.name: source.patient for source in listed.used}


def empty(folder, *names):
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    return folder


def slide_rows(out):
    with (out / "slides.csv").open(encoding="utf-8", newline="") as file:
        return {row["slide"]: row for row in csv.DictReader(file)}


def test_the_link_gives_the_name_and_a_dead_one_is_one_failure(tiles, tmp_path):
    store = tmp_path / "store"
    store.mkdir()
    for tile in list(tiles.iterdir()):
        blob = store / hashlib.sha256(tile.read_bytes()).hexdigest()
        tile.rename(blob)
        tile.symlink_to(blob)
    (tiles / f"{barcode(99)}.png").symlink_to("/nowhere/gone.png")
    built = build(tiles, tmp_path / "out")
    (reason,) = built.failed
    assert barcode(99) in reason and "No such file" in reason
    assert {row["slide"] for row in manifest_rows(tmp_path / "out")} == {f"{barcode(i)}.png" for i in range(8)}


def test_a_file_under_two_names_counts_under_its_own(tmp_path):
    folder = empty(tmp_path / "tiles", "p2.png", "p1.png")
    (folder / "a.png").symlink_to(folder / "p1.png")
    listed = list_sources([], tiles=folder, manifest=None, splits=SplitOptions(by="patch"))
    assert [source.name for source in listed.used] == ["p1.png", "p2.png"]
    assert listed.notes == ["a.png is the same file as p1.png, which counts"]
    rows = write_csv(tmp_path / "m.csv", [["image", "patient"], ["a.png", "A"], ["p2.png", "B"]])
    assert patients(folder, manifest=rows) == {"p1.png": "A", "p2.png": "B"}
    rows = write_csv(tmp_path / "m.csv", [["image", "patient"], ["a.png", "A"], ["p1.png", "B"]])
    with pytest.raises(UserError, match=r"line 3: p1.png is named twice \(first in line 2, as a.png\)"):
        patients(folder, manifest=rows)


def test_names_beyond_ascii_are_built(tiles, tmp_path):
    names = [f"Präparat {letter}.png" for letter in "äöüß"] + ["切片一.png", "切片二.png", "a b.png", "a+b.png"]
    for index, name in enumerate(names):
        (tiles / f"{barcode(index)}.png").rename(tiles / name)
    rows = [["image", "patient"], *([name, f"P{index}"] for index, name in enumerate(names))]
    build(tiles, tmp_path / "out", manifest=write_csv(tmp_path / "m.csv", rows))
    got = {row["slide"]: row["patient"] for row in manifest_rows(tmp_path / "out")}
    assert got == {name: f"P{index}" for index, name in enumerate(names)}


def test_what_the_manifest_does_not_name_is_listed(tiles, tmp_path, capsys):
    rows = [["image", "Patient", "exclude"], *([f"{barcode(i)}.png", f"P{i}", ""] for i in range(7))]
    manifest = write_csv(tmp_path / "m.csv", rows)
    arguments = ["--tiles", str(tiles), "--manifest", str(manifest), "--patch-size", "48", "-o"]
    assert main([*arguments, str(tmp_path / "out")]) == 3
    assert f"1 left out, since the manifest names them not: {barcode(7)}.png" in capsys.readouterr().err
    assert slide_rows(tmp_path / "out")[f"{barcode(7)}.png"]["status"] == "unnamed"
    assert "1 of 8 slides were left out" in (tmp_path / "out" / "card.md").read_text(encoding="utf-8")
    write_csv(manifest, [*rows, [f"{barcode(7)}.png", "P7", "blurred"]])
    assert main([*arguments, str(tmp_path / "excluded")]) == 0
    row = slide_rows(tmp_path / "excluded")[f"{barcode(7)}.png"]
    assert (row["status"], row["reason"]) == ("excluded", "excluded by the manifest: blurred")


def test_two_folders_may_have_files_of_one_name(tmp_path):
    slides = [empty(tmp_path / name, "a.svs") for name in ("p1", "p2")]
    assert patients(None, slides=slides, patient_from="folder") == {"p1/a.svs": "p1", "p2/a.svs": "p2"}


def test_patients_by_folder_and_by_pattern(tmp_path):
    folder = empty(tmp_path / "tiles", "P1/a.png", "P1/b/c.png", "P2/a.png")
    assert set(patients(folder, patient_from="folder").values()) == {"P1", "P2"}
    assert list(patients(folder, patient_regex=r"P\d").values()) == ["P1", "P1", "P2"]
    assert list(patients(folder, patient_regex=r"(?:/)(?P<patient>\w)").values()) == ["a", "b", "a"]
    with pytest.raises(UnknownPatientsError, match=r"of 2 of 3 slides and tiles \(the first: P1/a.png\)"):
        patients(folder, patient_regex="b/(c)")
    for options in ({"patient_regex": "("}, {"patient_regex": "a", "patient_from": "folder"}):
        with pytest.raises(UserError, match="--patient-regex"):
            SplitOptions(**options)


def test_the_patient_of_a_dicom_slide(tmp_path):
    for name, patient in (("a.dcm", b"CASE-7 "), ("b.dcm", b"CASE-8")):
        tag = b"\x10\x00\x20\x00LO" + len(patient).to_bytes(2, "little") + patient
        series = b"\x20\x00\x0e\x00UI\x04\x00" + name.encode()[:4]
        (tmp_path / name).write_bytes(bytes(128) + b"DICM" + bytes(64) + tag + series)
    assert patients(None, slides=[tmp_path]) == {"a.dcm": "CASE-7", "b.dcm": "CASE-8"}


def test_unknown_patients_are_counted_and_a_template_is_written(tiles, tmp_path, capsys):
    for index in range(3):
        (tiles / f"{barcode(index)}.png").rename(tiles / f"case{index}.png")
    assert main(["--tiles", str(tiles), "-o", str(tmp_path / "out")]) == 2
    error = capsys.readouterr().err
    assert "unknown of 3 of 8" in error and error.count("\n") == 1
    template = tmp_path / "out_patients.csv"
    assert str(template) in error
    lines = template.read_text().splitlines()
    assert lines[0] == "slide,patient" and "case0.png," in lines and f"{barcode(5)}.png,TCGA-AA-0005" in lines
    template.write_text("\n".join(f"{line}{line[:5]}" if line.endswith(",") else line for line in lines))
    assert len(set(patients(tiles, manifest=template).values())) == 8


def test_patients_that_may_be_one_are_said(tmp_path):
    folder = empty(tmp_path / "tiles", f"{barcode(1)}.png", f"{barcode(1)[:-1]}2.png", "x.png", "y.png")
    rows = [["image", "patient"], *zip(sorted(path.name for path in folder.iterdir()), "ABcC", strict=True)]
    manifest = write_csv(tmp_path / "m.csv", rows)
    warnings = list_sources([], tiles=folder, manifest=manifest, splits=SplitOptions()).warnings
    assert len(warnings) == 2 and "'c', 'C'" in warnings[0] and "TCGA-AA-0001" in warnings[1]


def test_a_data_set_below_the_tiles_is_not_read(tmp_path):
    """Its overviews are slides at low power, and its card is a figure: neither is tissue at 40x."""
    slides = write_slides(tmp_path / "slides")
    build_of_slides(slides, tmp_path / "tiles" / "made")
    made = tmp_path / "tiles" / "made"
    assert list(made.glob("slides/*_overview.jpg")) and (made / "card.png").exists()
    with pytest.raises(UserError, match="made is a data set, its pictures are no tiles"):
        list_sources([], tiles=tmp_path / "tiles", manifest=None, splits=SplitOptions())
    write_tiles(tmp_path / "tiles" / "images")
    listed = list_sources([], tiles=tmp_path / "tiles", manifest=None, splits=SplitOptions())
    assert [source.name for source in listed.used] == [f"images/{barcode(index)}.png" for index in range(8)]
    assert listed.notes == [f"{made} is a data set of this program: its pictures are no tiles"]


def test_label_maps_of_nuclei_are_no_tiles(tmp_path):
    write_tiles(tmp_path / "images")
    for kind in ("images", "labels"):
        empty(tmp_path / f"nuclei/train/{kind}", "a.png")
    write_csv(tmp_path / "nuclei/manifest.csv", [NUCLEI_COLUMNS, ["train/images/a.png", "train/labels/a.png"]])
    listed = list_sources([], tiles=tmp_path, manifest=None, splits=SplitOptions())
    assert all(source.name.startswith("images/") for source in listed.used) and len(listed.used) == 8
    assert listed.notes == [f"{tmp_path / 'nuclei'} is a data set of this program: its pictures are no tiles"]


def test_options_and_splits_without_effect_are_said(tiles, tmp_path, capsys):
    manifest = write_csv(tmp_path / "m.csv", [["image", "split"], *([f"{barcode(i)}.png", "train"] for i in range(7))])
    given = ["--tiles", str(tiles), "--manifest", str(manifest), "--patch-size", "48", "-o", str(tmp_path / "out")]
    assert main([*given, "--preset", "biopsy", "--min-tissue", "0", "--dry-run"]) == 3
    said = capsys.readouterr().err.splitlines()
    assert "note: --preset, --min-tissue: without effect, because image tiles are used whole" in said
    assert "note: the manifest puts no patient into val or test, so the data set has no val or test" in said
    assert f"1 left out, since the manifest names them not: {barcode(7)}.png" in said


def test_coordinates_that_are_not_there_are_one_line(tiles, tmp_path, capsys):
    assert main(["--tiles", str(tiles), "-o", str(tmp_path / "out"), "--coords", str(tmp_path / "no")]) == 2
    assert f"--coords {tmp_path / 'no'} does not exist" in capsys.readouterr().err
