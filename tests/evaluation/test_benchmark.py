"""The benchmark whole, on a small data set: what is written, what is not done twice, and what fails."""

import csv
import re

import pytest
from helpers.benchmark import FAST, OPTIONS, OVERLAYS, plan, write_benchmark

from mihatp_arch.errors import UserError
from mihatp_arch.evaluation.run.execute import _finished
from mihatp_arch.evaluation.run.trainings import prepare_runs
from mihatp_cli.mihatp import main


@pytest.fixture
def benchmark(tmp_path, small_data, monkeypatch, capfd):
    """Call `mihatp benchmark`; its exit code and what it printed."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")

    def call(methods: dict, *more: str, **content) -> tuple[int, str, str]:
        files = [str(one) for one in (write_benchmark(tmp_path, methods, **content), *OVERLAYS)]
        arguments = ["-opt", *files, "--data", str(small_data), "-o", "out", "--force_yml", *FAST]
        code = main(["benchmark", *arguments, *more])
        captured = capfd.readouterr()
        return code, captured.out, captured.err

    return call


def changed(folder) -> dict:
    return {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.suffix in (".pth", ".csv", ".png")}


def test_from_options_to_report_and_nothing_twice(tmp_path, benchmark):
    """Two methods and bicubic; again, where all is done; again, with one method more."""
    out = tmp_path / "out"
    methods = {"bicubic": None, "SRCNN": None, "HAT": None}
    more = ["--methods", "bicubic", "SRCNN", "--cohort", "COAD"]
    code, printed, _ = benchmark(methods, *more, total_iter=2)
    assert code == 0
    names = {"table1.md", "table1.csv", "table1.tex", "figure2.png", "cost.png", "report.html"}
    assert names <= {path.name for path in out.iterdir()}
    text = (out / "table1.md").read_text(encoding="utf-8")
    assert text in printed
    assert "| 23.11 | 0.7356 |" in text  # the paper's SRCNN on COAD at x4
    assert re.findall(r"^\| (bicubic|SRCNN) ", text, re.MULTILINE)[:2] == ["bicubic", "SRCNN"]
    bicubic, srcnn, bicubic_projected, srcnn_projected = _rows(out)
    assert float(bicubic["psnr"]) > float(srcnn["psnr"]) > 5  # two iterations
    assert (bicubic["parameters"], srcnn["iterations"]) == ("", "2")
    assert int(srcnn["parameters"]) > 1000 and float(srcnn["gflops"]) > 0 and float(srcnn["peak_mib"]) > 0
    page = (out / "report.html").read_text(encoding="utf-8")
    assert "MiHATP" not in page and page.count('<article class="crop">') == 3
    log = (out / "logs" / "test_SRCNN_x4.log").read_text()
    logged = float(re.findall(r"Validation test1\s+# psnr: ([\d.]+)", log)[0])
    first = _csv(out / "results" / "SRCNN_x4" / "metrics" / "test1.csv")
    assert sum(float(row["psnr"]) for row in first) / len(first) == pytest.approx(logged, abs=1e-4)

    assert "### Validation set val" in text and "is the best baseline by PSNR on val" in text
    assert "Every image counts as a patient of its own, because there is no '" in text
    assert float(bicubic["psnr_ours_over"]) == pytest.approx(float(srcnn["psnr"]) - float(bicubic["psnr"]))

    for row, projected in ((bicubic, bicubic_projected), (srcnn, srcnn_projected)):  # LR is the area mean here
        assert projected["method"] == f"{row['method']}*" and row["kernel"] == ("" if row is bicubic else "area")
        assert float(projected["psnr"]) > float(row["psnr"])
        assert float(projected["lr_consistency"]) < 0.1 < float(row["lr_consistency"])
    assert "### SRCNN* minus each other method" in text and "LR of the test sets is made by: area." in text
    assert "### What was measured" in text and "| iterations and seconds | SRCNN 2 in " in text
    assert float(srcnn["training_seconds"]) > 0 and srcnn["trained_on"].startswith("CPU, ")

    before = changed(out / "experiments") | changed(out / "results")
    assert benchmark(methods, *more, total_iter=2)[0] == 0
    assert changed(out / "experiments") | changed(out / "results") == before
    assert _rows(out)[1]["psnr"] == srcnn["psnr"]

    code, _, error = benchmark(methods, *more, total_iter=3)
    assert code == 2
    assert "is of a benchmark with other options (" in error and "give another -o" in error


@pytest.mark.slow
def test_a_method_that_fails_does_not_stop_the_others(tmp_path, benchmark):
    methods = {"SRCNN": {"force": ["train:pixel_opt:loss_weight=1e+39"]}, "SHISRCNet": None}
    code, printed, _ = benchmark(methods, total_iter=4)
    assert code == 3
    assert "failed: train SRCNN_x4 failed with exit code 2 (see " in printed and "not finite" in printed
    assert [row["method"] for row in _rows(tmp_path / "out")] == ["SHISRCNet", "SHISRCNet*"]
    assert "Failed: train SRCNN_x4" in (tmp_path / "out" / "table1.md").read_text(encoding="utf-8")


def test_no_method_that_finished_is_one_line(tmp_path, small_data):
    read = plan(tmp_path, small_data, "bicubic", "SRCNN")
    runs = prepare_runs(read, tmp_path, {})
    line = "no method has finished; the first failure: train SRCNN_x4 failed"
    with pytest.raises(UserError, match=f"^{line}$"):
        _finished(read, runs, tmp_path, {"SRCNN_x4": "train SRCNN_x4 failed"})
    assert not (tmp_path / "results").exists()  # bicubic alone is not measured


@pytest.mark.slow
def test_what_was_cut_off_before_its_first_state_starts_anew_and_is_kept(tmp_path, benchmark):
    models = tmp_path / "out" / "experiments" / "SRCNN_x4" / "models"
    models.mkdir(parents=True)
    (models / "net_g_1.pth").write_bytes(b"cut off")
    code, _, error = benchmark({"SRCNN": None}, total_iter=2)
    assert code == 0, error
    (archived,) = (tmp_path / "out" / "experiments").glob("SRCNN_x4_archived_*")
    assert (archived / "models" / "net_g_1.pth").read_bytes() == b"cut off"


@pytest.mark.slow
def test_weights_are_tested_as_they_are(tmp_path, benchmark):
    import torch
    from basicsr.archs import build_network

    from mihatp_arch.config.read import read_options

    files = [OPTIONS / "train_SRCNN_x4.yml", *OVERLAYS, OPTIONS / "overlays" / "tiny_SRCNN.yml"]
    network = build_network(read_options(files).values["network_g"])
    torch.save({"params": network.state_dict()}, tmp_path / "srcnn.pth")
    code, _, error = benchmark({"SRCNN": {"weights": str(tmp_path / "srcnn.pth")}})
    assert code == 0, error
    assert not (tmp_path / "out" / "experiments").exists()
    assert _rows(tmp_path / "out")[0]["iterations"] == "0"
    assert "srcnn.pth" in (tmp_path / "out" / "logs" / "test_SRCNN_x4.log").read_text()


@pytest.mark.slow
def test_a_row_tests_the_network_of_another_row(tmp_path, benchmark):
    """Nothing is trained twice; the mean of three samples costs three samples, and its error is smaller."""
    mean = {"opt": None, "weights_of": "IDM", "force": ["network_g:samples=3"]}
    methods = {"IDM_mean3": mean, "IDM": {"force": ["network_g:steps=4", "network_g:eta=0"]}}
    code, _, error = benchmark(methods, "--no-consistency", total_iter=2, ours="IDM")
    assert code == 0, error
    out = tmp_path / "out"
    assert [path.name for path in (out / "experiments").iterdir()] == ["IDM_x4"]
    mean_of_three, single = _rows(out)
    assert (mean_of_three["iterations"], single["iterations"]) == ("0", "2")
    assert float(mean_of_three["psnr"]) > float(single["psnr"])
    assert float(mean_of_three["gflops"]) == pytest.approx(3 * float(single["gflops"]), rel=0.01)
    assert "experiments/IDM_x4/models/net_g_latest.pth" in (out / "logs" / "test_IDM_mean3_x4.log").read_text()
    before = changed(out / "experiments") | changed(out / "results")
    assert benchmark(methods, "--no-consistency", total_iter=2, ours="IDM")[0] == 0
    assert changed(out / "experiments") | changed(out / "results") == before


@pytest.mark.slow
def test_without_the_consistency_projection(tmp_path, benchmark):
    """Unwanted, it is not mentioned. On LR that is no area mean, a line says why there is none."""
    assert benchmark({"bicubic": None, "SRCNN": None}, "--no-consistency", total_iter=2)[0] == 0
    out = tmp_path / "out"
    assert [row["method"] for row in _rows(out)] == ["bicubic", "SRCNN"]
    assert not list((out / "results").glob("*_consistent"))
    assert "projection" not in (out / "table1.md").read_text(encoding="utf-8")
    other = [f"datasets:val_test{number}:kernel=bicubic" for number in range(1, 6)]
    code, printed, _ = benchmark({"bicubic": None, "SRCNN": None}, *other, "-o", "other", total_iter=2)
    assert code == 0
    assert "There are no rows with the consistency projection" in printed
    assert "the kernel of test1 is bicubic" in printed
    assert "SRCNN was trained on LR made by area: another kernel alone can change its PSNR by 2 dB." in printed


@pytest.mark.slow
def test_a_network_of_others_is_tested_without_training(tmp_path, benchmark):
    import torch
    from basicsr.archs.srvgg_arch import SRVGGNetCompact

    network = SRVGGNetCompact(num_feat=8, num_conv=1, upscale=4)
    torch.save({"params": network.state_dict()}, tmp_path / "compact.pth")
    forced = [f"network_g={{type: Spandrel, file: {tmp_path / 'compact.pth'}, kernel: bicubic}}"]
    code, _, error = benchmark({"SRCNN": {"force": forced, "zero_shot": True}})
    assert code == 0, error
    assert not (tmp_path / "out" / "experiments").exists()
    assert _rows(tmp_path / "out")[0]["iterations"] == "0"
    log = (tmp_path / "out" / "logs" / "test_SRCNN_x4.log").read_text()
    assert "untrained network" not in log
    assert "its LR is made by area, but network_g was trained on bicubic" in log


def test_a_place_that_cannot_be_written_is_one_line(tmp_path, benchmark):
    (tmp_path / "out").write_text("a file")
    code, _, error = benchmark({"SRCNN": None}, total_iter=2)
    assert code == 2 and error.count("\n") == 1
    assert "cannot write" in error and (tmp_path / "out").read_text() == "a file"


def _csv(path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def _rows(out) -> list[dict[str, str]]:
    return _csv(out / "table1.csv")
