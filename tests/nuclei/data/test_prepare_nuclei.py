"""`mihatp nuclei prepare` reads what people publish, and refuses what cannot be used in one line."""

import cv2
import numpy as np
import pytest
from helpers.small_data import DENSE, LABELS, SIDE, image, labels_of, prepare, refused, rows
from scipy.io import savemat


def mat(file, **fields):
    file.parent.mkdir(parents=True, exist_ok=True)
    raw = np.array([0, 0, 2, 0, 0, 4, 0, 0, 0, 7])
    full = {
        "inst_map": LABELS.astype(np.float64),
        "type_map": raw[LABELS].astype(np.float64),
        "inst_type": np.array([[2], [4], [7]]),
        "inst_centroid": np.array([[3.5, 3.5], [6.5, 11.5], [22.5, 22]]),
    }
    savemat(file, {name: value for name, value in (full | fields).items() if value is not None})


@pytest.fixture
def consep(tmp_path):
    """Three images for training and one for tests; PNG with alpha, as CoNSeP has."""
    folder = tmp_path / "CoNSeP"
    for split, count in (("Train", 3), ("Test", 1)):
        for index in range(1, count + 1):
            image(folder / split / "Images" / f"{split.lower()}_{index}.png", seed=index, mode="RGBA")
            mat(folder / split / "Labels" / f"{split.lower()}_{index}.mat")
        image(folder / split / "Overlay" / f"{split.lower()}_1.png")
    return folder


def test_consep(consep, tmp_path, capsys):
    out = tmp_path / "out"
    assert prepare(consep, out) == 0
    printed = capsys.readouterr()
    assert "| train | 2 | 2 | 6 | 2:2 3:2 4:2 |" in printed.out
    assert "1 of 3 patients of train" in printed.err and "patient of 4 images is unknown" in printed.err
    table = rows(out)
    assert sorted(row["split"] for row in table) == ["test", "train", "train", "val"]
    for row in table:
        labels, types = labels_of(out, row)
        assert np.array_equal(labels, DENSE)
        assert np.array_equal(types, np.array([0, 2, 3, 4])[DENSE])  # 4 became 3, 7 became 4
        assert row["nuclei"] == "3" and row["types"] == "2:1 3:1 4:1"
        source = next(consep.glob(f"*/Images/{row['image'].rpartition('/')[2]}"))
        assert np.array_equal(cv2.imread(str(out / row["image"])), cv2.imread(str(source)))


def test_consep_with_its_seven_types_or_with_none(consep, tmp_path):
    assert prepare(consep, tmp_path / "raw", "--raw-types") == 0
    assert {row["types"] for row in rows(tmp_path / "raw")} == {"2:1 4:1 7:1"}
    assert prepare(consep, tmp_path / "none", "--no-classes") == 0
    assert {row["types"] for row in rows(tmp_path / "none")} == {""}


def test_types_come_from_inst_type_where_there_is_no_type_map(consep, tmp_path):
    for file in consep.glob("*/Labels/*.mat"):
        mat(file, type_map=None)
    assert prepare(consep, tmp_path / "out") == 0
    assert {row["types"] for row in rows(tmp_path / "out")} == {"2:1 3:1 4:1"}


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"inst_map": None}, "has no inst_map; it has inst_centroid, inst_type, type_map"),
        ({"type_map": None, "inst_type": None}, "has no type_map and no inst_type"),
        ({"type_map": LABELS[:, :-1]}, "type_map is 31×32 and inst_map 32×32 px"),
        ({"type_map": None, "inst_type": np.array([[1], [2]])}, "inst_type has 2 types, and inst_map 3 nuclei"),
        ({"inst_map": LABELS[:-2], "type_map": None}, "a label map is as large as its image"),
        ({"inst_map": LABELS * 0}, "has no nuclei"),
        ({"inst_map": LABELS + 0.5}, "no numbers of nuclei"),
        ({"inst_map": -LABELS}, "no numbers of nuclei"),
        ({"inst_map": "text"}, "is no map of numbers"),
        ({"type_map": LABELS}, "has type 9"),
        ({"type_map": LABELS * 200}, "255 is the largest"),
    ],
)
def test_labels_of_consep_that_cannot_be_used(consep, tmp_path, capsys, fields, message):
    mat(consep / "Train" / "Labels" / "train_2.mat", **fields)
    error = refused(consep, tmp_path / "out", capsys)
    assert message in error and "train_2" in error


def test_damaged_and_missing_files(consep, tmp_path, capsys):
    file = consep / "Train" / "Labels" / "train_2.mat"
    whole = file.read_bytes()
    for data in (b"", b"no mat", whole[:200], whole[: len(whole) // 2]):
        file.write_bytes(data)
        assert "train_2.mat cannot be read" in refused(consep, tmp_path / "out", capsys)
    file.unlink()
    assert "Labels has no file for" in refused(consep, tmp_path / "out", capsys)
    assert "no such file or folder" in refused(tmp_path / "absent", tmp_path / "out", capsys)
    assert "has no folders Images and Labels" in refused(consep / "Train" / "Images", tmp_path / "out", capsys)


def test_an_image_without_nuclei_can_be_background(consep, tmp_path):
    mat(consep / "Test" / "Labels" / "test_1.mat", inst_map=LABELS * 0, type_map=LABELS * 0)
    assert prepare(consep, tmp_path / "out", "--allow-empty") == 0
    assert [row["nuclei"] for row in rows(tmp_path / "out") if row["split"] == "test"] == ["0"]


@pytest.fixture
def monuseg(tmp_path):
    """A folder with manifest.csv and 16-bit label pictures, in the form of MoNuSeg."""
    folder = tmp_path / "monuseg"
    (folder / "instances").mkdir(parents=True)
    lines = ["image,instances,patient,mpp,labels,split"]
    for name, split in (("TCGA-AA-0001-01", "train"), ("TCGA-AA-0002-01", "val"), ("TCGA-AA-0003-01", "test")):
        image(folder / "images" / f"{name}.png")
        cv2.imwrite(str(folder / "instances" / f"{name}.png"), (LABELS * 1000).astype(np.uint16))
        lines.append(f"images/{name}.png,instances/{name}.png,{name[:12]},0.25,exact,{split}")
    (folder / "manifest.csv").write_text("\n".join(lines) + "\n")
    return folder


def test_monuseg(monuseg, tmp_path, capsys):
    assert prepare(monuseg, tmp_path / "out") == 0
    assert capsys.readouterr().err == ""
    table = rows(tmp_path / "out")
    assert [(row["split"], row["patient"], row["mpp"]) for row in table] == [
        ("train", "TCGA-AA-0001", "0.25"),
        ("val", "TCGA-AA-0002", "0.25"),
        ("test", "TCGA-AA-0003", "0.25"),
    ]
    assert all(np.array_equal(labels_of(tmp_path / "out", row)[0], DENSE) for row in table)
    assert prepare(monuseg, tmp_path / "out") == 2
    assert prepare(monuseg / "manifest.csv", tmp_path / "out", "--overwrite") == 0


@pytest.mark.parametrize("delimiter", [";", "\t"])
def test_a_table_of_excel_is_read_as_by_prepare(monuseg, tmp_path, capsys, delimiter):
    """Semicolons, CRLF, a mark of the byte order, a decimal comma; a column that is not read is a line."""
    file = monuseg / "manifest.csv"
    text = file.read_text().replace(",", delimiter).replace("0.25", "0,25").replace("\n", "\r\n")
    file.write_bytes(("\ufeff" + text.replace("patient", " Patient ").replace("split", "splitt")).encode())
    assert prepare(monuseg, tmp_path / "out") == 0
    assert "column not read: 'splitt' (did you mean 'split'?)" in capsys.readouterr().err
    found = {(row["patient"], row["mpp"]) for row in rows(tmp_path / "out")}
    assert found == {(f"TCGA-AA-000{number}", "0.25") for number in (1, 2, 3)}


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("image,instances", "picture,instances", "no rows with a column slide or image"),
        ("image,instances", "image,instances,image", "has two columns 'image'"),
        ("instances/TCGA-AA-0002-01.png", "instances/absent.png", "line 3: there is no file"),
        (",val\n", ",valley\n", "split 'valley': use train, val or test"),
        (",val\n", ",\n", "has no split, but other images have one"),
        ("TCGA-AA-0002,", "TCGA-AA-0001,", "patient TCGA-AA-0001 is in"),
        ("TCGA-AA-0002,0.25", "TCGA-AA-0002,-1", "is no resolution"),
        ("TCGA-AA-0002,0.25", "TCGA-AA-0002,0,25", "line 3: 7 cells, and 6 columns"),
    ],
)
def test_a_manifest_that_cannot_be_used(monuseg, tmp_path, capsys, old, new, message):
    file = monuseg / "manifest.csv"
    file.write_text(file.read_text().replace(old, new))
    assert message in refused(monuseg, tmp_path / "out", capsys)


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (np.zeros((SIDE, SIDE), np.uint8), "has no nuclei"),
        (((LABELS > 0) * 255).astype(np.uint8), "is a mask"),
        (np.zeros((SIDE, SIDE, 3), np.uint8), "has 3 channels"),
        (LABELS[:, 1:].astype(np.uint16), "has 31×32 px"),
    ],
)
def test_a_label_picture_that_cannot_be_used(monuseg, tmp_path, capsys, labels, message):
    cv2.imwrite(str(monuseg / "instances" / "TCGA-AA-0002-01.png"), labels)
    assert message in refused(monuseg, tmp_path / "out", capsys)


def test_damaged_label_pictures(monuseg, tmp_path, capsys):
    file = monuseg / "instances" / "TCGA-AA-0002-01.png"
    whole = file.read_bytes()
    for data in (b"", b"no picture", whole[:100], whole[:60] + b"x" + whole[61:]):
        file.write_bytes(data)
        assert "0002-01.png cannot be read as a picture of labels" in refused(monuseg, tmp_path / "out", capsys)
    tiff = file.with_suffix(".tif")
    cv2.imwrite(str(tiff), LABELS.astype(np.uint16))
    manifest = monuseg / "manifest.csv"
    manifest.write_text(manifest.read_text().replace("instances/TCGA-AA-0002-01.png", f"instances/{tiff.name}"))
    assert prepare(monuseg, tmp_path / "tiff") == 0
    capsys.readouterr()
    tiff.write_bytes(tiff.read_bytes()[:60])
    assert tiff.name in refused(monuseg, tmp_path / "out", capsys)


@pytest.mark.parametrize("given", [("--radius", "5"), ("--classes", "Tumor", "Stroma"), ("--raw-types",)])
def test_an_option_that_no_label_file_is_read_by_is_contradicted(monuseg, tmp_path, capsys, given):
    line = refused(monuseg, tmp_path / "out", capsys, *given)
    assert f"{given[0]} is for " in line and "and the labels are .png: leave it out" in line
