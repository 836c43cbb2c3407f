"""`mihatp demo`, whole but for its budget, and its mistakes."""

import re
import subprocess
import sys

import openslide
import pytest
import yaml

from mihatp_cli.mihatp import main


def test_mistakes_are_one_line_and_make_nothing(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["demo", "--iterations", "0"]) == 2
    error = capsys.readouterr().err
    assert "--iterations: 0 must be at least 1" in error
    assert error.startswith("mihatp: error: ") and error.count("\n") == 1
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_the_demo_ends_with_table_and_picture(tmp_path):
    code = "import sys; from mihatp_cli.mihatp import main; sys.exit(main(['demo', '--iterations', '3']))"
    run = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, timeout=540, check=False
    )
    assert run.returncode == 0, run.stderr[-3000:]
    demo = tmp_path / "demo"
    table = (demo / "table1.md").read_text(encoding="utf-8")
    assert re.findall(r"^\| (\w+)", table, re.MULTILINE)[:5] == ["method", "bicubic", "SwinIR", "HAT", "MiHATP"]
    assert table in run.stdout
    assert (demo / "table1.csv").read_text(encoding="utf-8").count("\n") == 1 + 4 + 4  # with projection too
    assert "Mean over 6 patients" in table
    assert (demo / "figure2.png").stat().st_size > 50_000
    assert (demo / "report.html").stat().st_size > 500_000
    recorded = demo / "experiments" / "MiHATP_x4" / "MiHATP_x4.yml"
    assert yaml.safe_load(recorded.read_text())["train"]["total_iter"] == 3
    assert "A synthetic slide from 10x to 40x by he-light-x4" in (demo / "report.html").read_text(encoding="utf-8")
    with openslide.OpenSlide(demo / "slide.tiff") as before, openslide.OpenSlide(demo / "slide_sr.tiff") as after:
        assert float(after.properties["openslide.mpp-x"]) == pytest.approx(0.25)
        assert after.dimensions == before.dimensions
