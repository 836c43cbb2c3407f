"""`mihatp downstream`: tables and pictures, stopping and going on, and one line for what cannot be used."""

import csv
import shutil

import cv2
import numpy as np
import pytest
import torch
import yaml
from helpers.small_idm import SMALL, small
from helpers.small_ldm import STAGE

from datasets_prep.synthetic import synthesize
from mihatp_arch.archs.autoencoder_arch import Autoencoder
from mihatp_arch.archs.hovernet_arch import HoVerNet
from mihatp_arch.evaluation.nuclei import downstream
from mihatp_arch.nuclei.coded_labels import encode
from mihatp_cli.mihatp import main


def write(path, rgb):
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), np.ascontiguousarray(rgb[..., ::-1]))


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Two images of 84×90 px, cropped to 80×88 at x8, with their nuclei and patients; and a HoVer-Net."""
    folder = tmp_path_factory.mktemp("nuclei")
    rows = [["image", "patient"]]
    for index in range(2):
        tissue, labels = synthesize(84, 90, seed=index)
        write(folder / f"test/images/t{index}.png", tissue)
        write(folder / f"test/labels/t{index}.png", encode(labels.astype(np.int32)))
        rows.append([f"test/images/t{index}.png", f"P{index}"])
    with (folder / "manifest.csv").open("w", newline="") as file:
        csv.writer(file).writerows(rows)
    torch.manual_seed(0)
    torch.save({"params": HoVerNet(mode="fast", width=1 / 16).state_dict()}, folder / "segmenter.pth")
    return folder


def run(data, output, *more):
    common = ["--data", str(data / "test"), "--segmenter", str(data / "segmenter.pth"), "--scales", "2", "8"]
    return main(["downstream", "-o", str(output), *common, *more])


def rows_of(file):
    with file.open(newline="") as text:
        return list(csv.DictReader(text))


def test_the_tables(data, tmp_path, capsys):
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


def test_the_networks_of_a_benchmark(data, tmp_path, capsys):
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


def test_a_run_that_was_stopped_goes_on(data, tmp_path, monkeypatch):
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
def test_mistakes_are_one_line(data, tmp_path, monkeypatch, capsys, more, reason):
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


def test_a_page_of_the_user_stays(data, tmp_path, capsys):
    (tmp_path / "downstream.html").write_text("mine")
    assert run(data, tmp_path) == 2
    assert "downstream.html is no file of this program" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["downstream.html"]


@pytest.fixture
def damageable(data, tmp_path):
    """A copy of the data; its last image is t1."""
    shutil.copytree(data, tmp_path / "data")
    return tmp_path / "data"


def uncoded(bits):
    return np.zeros((84, 90), f"uint{bits}")


@pytest.mark.parametrize(
    "labels", [uncoded(8), uncoded(16), np.zeros((84, 90, 3), np.uint16), np.zeros((84, 90, 4), np.uint8)]
)
def test_label_maps_that_are_not_coded_are_refused(damageable, tmp_path, capsys, labels):
    cv2.imwrite(str(damageable / "test/labels/t1.png"), labels)
    assert run(damageable, tmp_path / "out") == 2
    error = capsys.readouterr().err
    assert (
        "labels/t1.png' is no coded label map, which is 8-bit RGB: prepare the data with `mihatp nuclei prep" in error
    )
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("name", "change", "reason"),
    [
        ("labels", lambda path: write(path, np.zeros((84, 88, 3), np.uint8)), "t1.png' has 90x84 px and '"),
        (
            "labels",
            lambda path: path.write_bytes(path.read_bytes()[:-20]),
            "labels/t1.png' cannot be read: its PNG is cut",
        ),
        (
            "images",
            lambda path: path.write_bytes(path.read_bytes()[:-20]),
            "images/t1.png' cannot be read: its PNG is cut",
        ),
        ("images", lambda path: path.write_text("text"), "images/t1.png' cannot be read: it is no image"),
    ],
)
def test_a_mistake_in_the_last_image_stops_before_the_first(damageable, tmp_path, capsys, name, change, reason):
    change(damageable / "test" / name / "t1.png")
    assert run(damageable, tmp_path / "out") == 2
    assert reason in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_images_that_are_smaller_than_the_scale(damageable, tmp_path, capsys):
    for name in ("images", "labels"):
        write(damageable / "test" / name / "t1.png", np.zeros((7, 90, 3), np.uint8))
    assert run(damageable, tmp_path / "out") == 2
    assert "t1.png' has 90x7 px: 8 px are needed for these scales" in capsys.readouterr().err


@pytest.mark.parametrize(
    "name",
    ["nuclei.csv", "nuclei.md", "fidelity.csv", "bicubic.worst.png", "bicubic.bland_altman.png", "bicubic/t1.geojson"],
)
def test_files_of_the_user_in_the_folders_of_the_scales_stay(data, tmp_path, capsys, name):
    file = tmp_path / "fidelity_x8" / name
    file.parent.mkdir(parents=True)
    file.write_text("mine")
    assert run(data, tmp_path) == 2
    assert f"{name} is no file of this program, so it stays" in capsys.readouterr().err
    assert file.read_text() == "mine" and [path.name for path in tmp_path.iterdir()] == ["fidelity_x8"]


@pytest.mark.parametrize(
    ("output", "reason"), [("file", "file is a file: a folder is needed"), ("file/out", "cannot lie in ")]
)
def test_an_output_that_cannot_be_made_stops_before_the_networks(data, tmp_path, capsys, output, reason):
    (tmp_path / "file").write_text("mine")
    assert run(data, tmp_path / output, "--weights", "absent.pth") == 2
    assert reason in capsys.readouterr().err


def test_a_file_with_the_name_of_a_row(data, tmp_path, capsys):
    (tmp_path / "bicubic_x2").write_text("mine")
    assert run(data, tmp_path) == 2
    error = capsys.readouterr().err
    assert "bicubic_x2/t0_" in error and "a file has the name of its folder" in error and error.count("\n") == 1
