"""A file of the user that has the name of a result stays: one line, and nothing is trained."""

import pytest
from helpers.benchmark import FAST, OVERLAYS, write_benchmark

from datasets_prep.common.errors import UserError
from datasets_prep.common.files import refuse_foreign_results
from mihatp_cli.mihatp import main


@pytest.mark.parametrize(
    ("more", "name"),
    [
        ([], "table1.csv"),
        ([], "report.html"),
        ([], "cost.png"),
        (["--ablation"], "table3.tex"),
        (["--sweep", "tau=0.1"], "figure3.png"),
    ],
)
def test_of_a_benchmark(tmp_path, small_data, monkeypatch, capsys, more, name):
    monkeypatch.chdir(tmp_path)
    mine = tmp_path / "out" / name
    mine.parent.mkdir()
    mine.write_text("mine")
    files = [str(one) for one in (write_benchmark(tmp_path, {"MiHATP": None}), *OVERLAYS)]
    given = ["-opt", *files, "--data", str(small_data), "-o", "out", *more, "--force_yml", *FAST]
    assert main(["benchmark", *given]) == 2
    assert f"{name} is no file of this program, so it stays" in capsys.readouterr().err
    assert mine.read_text() == "mine" and [path.name for path in mine.parent.iterdir()] == [name]


def test_with_its_table_a_result_is_written_again(tmp_path):
    (tmp_path / "report.html").write_text("a report")
    with pytest.raises(UserError, match=r"report\.html is no file of this program"):
        refuse_foreign_results(tmp_path, "table1.csv", b"method,", "report.html")
    (tmp_path / "table1.csv").write_text("method,psnr\n")
    refuse_foreign_results(tmp_path, "table1.csv", b"method,", "report.html")
