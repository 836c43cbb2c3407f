"""`mihatp downstream`: tables and pictures, stopping and going on, and one line for what cannot be used."""

import csv

import cv2
import numpy as np
import pytest
import torch
import yaml
from helpers.small_idm import SMALL, small
from helpers.small_ldm import STAGE

from mihatp_arch.archs.autoencoder_arch import Autoencoder
from mihatp_arch.evaluation.nuclei import downstream
from mihatp_cli.mihatp import main


def rows_of(file):
    with file.open(newline="") as text:
        return list(csv.DictReader(text))


def test_the_tables(run, data, tmp_path, capsys):
    assert run(data, tmp_path / "out", "--weights", "he-light-x2") == 0
    shown = capsys.readouterr().out
    assert shown == (tmp_path / "out/table2.md").read_text() + "\n"
    assert "### Table 2, x2" in shown and "### Table 2, x8" in shown
    assert "2 patients are too few for an interval" in shown and "own" not in shown
    rows = [(row["method"], row["scale"], row["kernel"]) for row in rows_of(tmp_path / "out/table2.csv")]
    assert rows == [("HR", "1", ""), ("bicubic", "2", "area"), ("he-light", "2", "area"), ("bicubic", "8", "area")]
    images = rows_of(tmp_path / "out/downstream_images.csv")
    assert [row["patient"] for row in images] == ["P0", "P1"] * 4
    truth = {row["image"]: row["annotated"] for row in images}
    for name, annotated in truth.items():
        labels = cv2.imread(str(data / f"test/labels/{name}.png"))[:80, :88]
        assert int(annotated) == len(np.unique(labels[labels.any(-1)], axis=0))
    hr = cv2.imread(str(next((tmp_path / "out/HR").glob("t0_*[0-9a-f].png"))))
    assert np.array_equal(hr, cv2.imread(str(data / "test/images/t0.png"))[:80, :88])
    assert "Table 2, x8" in (tmp_path / "out/downstream.html").read_text()
    for scale in ("2", "8"):
        assert "bicubic" in (tmp_path / f"out/fidelity_x{scale}/nuclei.md").read_text()


def experiment(folder, network, **options):
    """An experiment of a benchmark at x2."""
    (folder / "models").mkdir(parents=True)
    torch.save({"params": network.state_dict(), "kernel": "bicubic"}, folder / "models/net_g_2.pth")
    (folder / f"{folder.name}.yml").write_text(yaml.safe_dump({"scale": 2, "network_g": options}))


def test_the_networks_of_a_benchmark(run, data, tmp_path, capsys):
    """A diffusion network is a row; a first stage is not. The report of the benchmark shows the table of its scale."""
    bench = tmp_path / "bench"
    options = SMALL | {"upscale": 2, "mult": [1, 2, 2], "attention_levels": [2]}
    experiment(bench / "experiments/IDM_x2", small(upscale=2), type="IDM", **options)
    experiment(bench / "experiments/VQF4_x2", Autoencoder(**STAGE), type="Autoencoder", **STAGE)
    (bench / "report.html").write_text("<h1>A</h1><!-- nuclei --><!-- end of nuclei --><p>B</p>")
    assert run(data, tmp_path / "out", "--benchmarks", str(bench)) == 0
    assert "left out: 'VQF4_x2' makes [1, 3, 16, 16]" in capsys.readouterr().err
    rows = [(row["method"], row["scale"], row["kernel"]) for row in rows_of(tmp_path / "out/table2.csv")]
    assert rows == [("HR", "1", ""), ("bicubic", "2", "area"), ("IDM", "2", "bicubic"), ("bicubic", "8", "area")]
    report = (bench / "report.html").read_text()
    assert report.startswith("<h1>A</h1>") and report.endswith("<p>B</p>")
    assert "<h3>Table 2, x2</h3>" in report and ">IDM</th>" in report and "x8" not in report


def test_a_run_that_was_stopped_goes_on(run, data, tmp_path, monkeypatch):
    segmented = []
    real = downstream.Segmenter.segment

    def stopping(self, image):
        segmented.append(image.shape)
        if len(segmented) == 3:
            raise KeyboardInterrupt
        return real(self, image)

    with monkeypatch.context() as patched:
        patched.setattr(downstream.Segmenter, "segment", stopping)
        assert run(data, tmp_path / "out") == 130
        assert not (tmp_path / "out/table2.md").exists()
        assert run(data, tmp_path / "out") == 0
    assert len(segmented) == 3 + 4  # of six pictures two were finished
    assert run(data, tmp_path / "new") == 0
    assert (tmp_path / "out/table2.csv").read_bytes() == (tmp_path / "new/table2.csv").read_bytes()


@pytest.mark.parametrize(
    ("more", "reason"),
    [
        (["--data", "nowhere"], "has no images/*.png: make them with `mihatp nuclei prepare`"),
        (["--segmenter", "nuclei-lihgt"], "no such file, and no bundled weights"),
        (["--segmenter", "he-light-x2"], "is a DAT, no HoVerNet"),
        (["--scales", "5"], "scales: [5]: choose from 2, 3, 4, 8"),
        (["--weights", "he-light-x4"], "he-light enlarges 4 times, which is not one of the scales"),
        (["--weights", "absent.pth"], "absent.pth"),
        (["--benchmarks", "."], "has no trained network in experiments/"),
        (["--window", "250"], "window 250: this network takes 256, 264"),
        (["--radius", "0"], "radius: 0"),
    ],
)
def test_mistakes_are_one_line(run, data, tmp_path, monkeypatch, capsys, more, reason):
    monkeypatch.chdir(tmp_path)
    assert run(data, tmp_path / "out", *more) == 2
    error = capsys.readouterr().err
    assert error.startswith("mihatp: error: ") and error.count("\n") == 1 and reason in error
    assert not (tmp_path / "out").exists()


def test_an_option_file(data, tmp_path, capsys):
    file = tmp_path / "table2.yml"
    file.write_text(f"data: {data / 'test'}\nsegmenter: {data / 'segmenter.pth'}\nscales: [8]\n")
    assert main(["downstream", "-opt", str(file), "-o", str(tmp_path / "out")]) == 0
    assert "### Table 2, x8" in capsys.readouterr().out
    file.write_text("datas: x\n")
    assert main(["downstream", "-opt", str(file), "-o", str(tmp_path / "out")]) == 2
    assert "there is no option 'datas'; did you mean 'data'?" in capsys.readouterr().err


def test_a_page_of_the_user_stays(run, data, tmp_path, capsys):
    (tmp_path / "downstream.html").write_text("mine")
    assert run(data, tmp_path) == 2
    assert "downstream.html is no file of this program" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["downstream.html"]


@pytest.mark.parametrize(
    "name",
    ["nuclei.csv", "nuclei.md", "fidelity.csv", "bicubic.worst.png", "bicubic.bland_altman.png", "bicubic/t1.geojson"],
)
def test_files_of_the_user_in_the_folders_of_the_scales_stay(run, data, tmp_path, capsys, name):
    file = tmp_path / "fidelity_x8" / name
    file.parent.mkdir(parents=True)
    file.write_text("mine")
    assert run(data, tmp_path) == 2
    assert f"{name} is no file of this program, so it stays" in capsys.readouterr().err
    assert file.read_text() == "mine" and [path.name for path in tmp_path.iterdir()] == ["fidelity_x8"]


@pytest.mark.parametrize(
    ("output", "reason"), [("file", "file is a file: a folder is needed"), ("file/out", "cannot lie in ")]
)
def test_an_output_that_cannot_be_made_stops_before_the_networks(run, data, tmp_path, capsys, output, reason):
    (tmp_path / "file").write_text("mine")
    assert run(data, tmp_path / output, "--weights", "absent.pth") == 2
    assert reason in capsys.readouterr().err


def test_a_file_with_the_name_of_a_row(run, data, tmp_path, capsys):
    (tmp_path / "bicubic_x2").write_text("mine")
    assert run(data, tmp_path) == 2
    error = capsys.readouterr().err
    assert "bicubic_x2/t0_" in error and "a file has the name of its folder" in error and error.count("\n") == 1


@pytest.mark.parametrize("end", ["", "_nuclei"])
def test_a_damaged_file_of_an_earlier_run_can_be_made_again(run, data, tmp_path, capsys, end):
    assert run(data, tmp_path / "out") == 0
    labels = next((tmp_path / "out/bicubic_x8").glob("t1_*_nuclei.png"))
    file = labels.with_name(labels.name.replace("_nuclei", end))
    whole = file.read_bytes()
    file.write_bytes(whole[:-20])
    capsys.readouterr()
    assert run(data, tmp_path / "out") == 2
    error = capsys.readouterr().err
    assert file.name in error and "its PNG is cut off: delete it, and run the same command again" in error
    file.unlink()
    assert run(data, tmp_path / "out") == 0
    assert file.read_bytes() == whole
