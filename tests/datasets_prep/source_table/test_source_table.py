"""Tables that a user or the Genomic Data Commons wrote: every head is read, or named in a line; never lost."""

import pytest

from datasets_prep.common.errors import UserError
from datasets_prep.source_table.match import match_rows
from datasets_prep.source_table.table import Entry, read_table
from datasets_prep.source_table.template import write_template


def table(path, text, encoding="utf-8"):
    path.write_bytes(text.encode(encoding))
    return read_table(path)


@pytest.mark.parametrize(
    "head",
    [
        "image,patient,split,mpp",
        "slide, patient, split, mpp",
        " Image ,Patient,SPLIT,MPP",
        "images,patients,splits,µm/px",
        "File Name,Case ID,set,um_per_px",
        "filename,case_submitter_id,subset,microns-per-pixel",
        "slide_id,subject.id,Partition,mpp",
    ],
)
@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_heads_are_read_by_their_meaning(tmp_path, head, delimiter):
    text = f"{head}\n a.png ,P1 , Train,0.25\n\nb.png,P2,validation,\n".replace(",", delimiter)
    read = table(tmp_path / "m.csv", text)
    assert list(read.entries) == [Entry(2, "a.png", "P1", "train", 0.25), Entry(4, "b.png", "P2", "val")]
    assert not any("not read" in note for note in read.notes)


def test_an_excel_table_is_read(tmp_path):
    read = table(tmp_path / "m.csv", 'Slide;Patient;mpp\r\n"a;1.svs";"P;1";0,25\r\n', "utf-8-sig")
    assert list(read.entries) == [Entry(2, "a;1.svs", "P;1", mpp=0.25)]


def test_a_column_of_another_name_is_a_line_with_the_near_match(tmp_path):
    (line,) = table(tmp_path / "m.csv", "image,patiant,stain\na.png,P1,HE\n").notes
    assert "m.csv: columns not read: 'patiant' (did you mean 'patient'?), 'stain'" in line
    read = table(tmp_path / "m.csv", "image,patient,case_id\na.png,P1,C1\n")
    assert read.entries[0].patient == "P1"
    assert read.notes == (f"{tmp_path / 'm.csv'}: column not read: 'case_id' (column 'patient' gives the patient)",)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("picture,patient\na,b\n", r"no rows with a column slide or image.*'picture', 'patient'"),
        ("imgae,patient\na,b\n", "did you mean 'image'"),
        ("image,Patient,patient\na,b,c\n", "two columns 'patient'"),
        ("image,patient\na, b, c\n", r"line 2: 3 cells, and 2 columns"),
        ("image,mpp\na,40x\n", r"line 2: mpp '40x' of a"),
        ("image,patient\n", "no rows"),
    ],
)
def test_a_table_that_cannot_be_read_is_one_line(tmp_path, text, says):
    with pytest.raises(UserError, match=says) as error:
        table(tmp_path / "m.csv", text)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(("cell", "reason"), [("", ""), ("no", ""), ("x", "excluded by the manifest")])
def test_the_column_exclude(tmp_path, cell, reason):
    assert table(tmp_path / "m.csv", f"slide,exclude\na,{cell}\n").entries[0].exclude == reason
    assert table(tmp_path / "m.csv", "slide,Exclude\na,blurred\n").entries[0].exclude.endswith("manifest: blurred")


def test_tables_of_the_genomic_data_commons(tmp_path):
    """Patients come from the sample sheet; files that were not fetched are counted, and do not stop the others."""
    names = {tmp_path / "uuid-1" / "TCGA-AA-0001-01Z-00-DX1.svs": "uuid-1/TCGA-AA-0001-01Z-00-DX1.svs"}
    sheet = (
        "File ID\tFile Name\tData Category\tData Type\tProject ID\tCase ID\tSample ID\tSample Type\n"
        "uuid-1\tTCGA-AA-0001-01Z-00-DX1.svs\tBiospecimen\tSlide Image\tTCGA-X\tTCGA-AA-0001, TCGA-AA-0001\ts\tt\n"
        "uuid-2\tTCGA-AA-0002-01Z-00-DX1.svs\tBiospecimen\tSlide Image\tTCGA-X\tTCGA-AA-0002\ts\tt\n"
    )
    manifest = "id\tfilename\tmd5\tsize\tstate\nuuid-1\tTCGA-AA-0001-01Z-00-DX1.svs\t0\t1\treleased\n"
    for text, patient, absent in ((sheet, "TCGA-AA-0001", True), (manifest, "", False)):
        read = table(tmp_path / "m.txt", text)
        assert read.is_gdc
        entries, notes = match_rows(read, names, {}, [tmp_path])
        assert [entry.patient for entry in entries.values()] == [patient] and list(entries) == list(names)
        assert bool(notes) == absent and ("1 of 2 files" in "".join(notes)) == absent


def test_accents_in_either_spelling_are_one_name(tmp_path):
    names = {tmp_path / "a\u0308.svs": "a\u0308.svs"}
    entries, _ = match_rows(table(tmp_path / "m.csv", "slide,patient\n\u00e4.svs,P1\n"), names, {}, [])
    assert entries[tmp_path / "a\u0308.svs"].patient == "P1"


def test_the_template_is_a_table_and_replaces_nothing(tmp_path):
    path = write_template({"ä.svs": "", "b.svs": "P2"}, tmp_path / "new" / "data")
    assert path == tmp_path / "new" / "data_patients.csv"
    assert [(entry.file, entry.patient) for entry in read_table(path).entries] == [("ä.svs", ""), ("b.svs", "P2")]
    assert write_template({"ä.svs": "", "b.svs": "P2"}, tmp_path / "new" / "data") == path
    path.write_text("slide,patient\nä.svs,P1\n", encoding="utf-8")
    assert write_template({"c.svs": ""}, tmp_path / "new" / "data").name == "data_patients-2.csv"
    assert "P1" in path.read_text(encoding="utf-8")
