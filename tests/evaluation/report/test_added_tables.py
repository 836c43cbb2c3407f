"""The tables of `mihatp downstream` in a benchmark: its report shows them, whichever of both was written first."""

import pytest

from mihatp_arch.errors import UserError
from mihatp_arch.evaluation.report.added_tables import add_tables, added_tables
from mihatp_arch.evaluation.report.page import write_report
from mihatp_arch.evaluation.report.table import Table

TABLE1 = Table("Table 1", ["method", "PSNR"], [["HAT", "27.31"]], set(), remarks=[])
NUCLEI = Table(
    "Table 2 <x4>", ["method", "PQ"], [["HR", "0.5"], ["HAT", "0.4"]], {(0, 1)}, "note", {"PQ": "quality"}, []
)


def report(folder):
    empty = {"crops": [], "figures": {}, "left": "HR", "right": "HAT"}
    write_report(folder / "report.html", title="x4", summary=[], tables=[TABLE1], added=added_tables(folder), **empty)
    return (folder / "report.html").read_text(encoding="utf-8")


def test_a_report_that_is_there_gets_the_tables(tmp_path):
    without = report(tmp_path)
    assert "Nuclei" not in without
    for tables in ([TABLE1, NUCLEI], [NUCLEI]):  # the second ones replace the first ones
        add_tables(tmp_path, tables)
        assert added_tables(tmp_path) == tables
        shown = (tmp_path / "report.html").read_text(encoding="utf-8")
        assert "<h2>Nuclei</h2>" in shown and shown.count("Table 2 &lt;x4&gt;</h3>") == 1
        assert shown.count("<h3>Table 1</h3>") == len(tables)
        assert report(tmp_path) == shown  # as a benchmark that runs again writes it
    add_tables(tmp_path, [])
    assert (tmp_path / "report.html").read_text(encoding="utf-8") == without


def test_a_benchmark_without_a_report_or_with_one_of_an_older_version(tmp_path):
    add_tables(tmp_path, [NUCLEI])
    assert not (tmp_path / "report.html").exists() and added_tables(tmp_path) == [NUCLEI]
    (tmp_path / "report.html").write_text("<html></html>")
    add_tables(tmp_path, [NUCLEI])
    assert (tmp_path / "report.html").read_text() == "<html></html>"


def test_a_damaged_file_is_one_line(tmp_path):
    (tmp_path / "downstream.json").write_text("[{")
    with pytest.raises(UserError, match=r"downstream\.json' cannot be read .*: delete it"):
        added_tables(tmp_path)
