"""Every method trains and is tested at every scale, by its own option files made small, in this process."""

from pathlib import Path

import pytest
from end_to_end_case import ONE_SET, files, schedule

from datasets_prep.demo import build_demo
from mihatp_arch.cli.basicsr import main
from mihatp_arch.evaluation.scores import over_sets, read_scores


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    return build_demo(tmp_path_factory.mktemp("embedded") / "data")


@pytest.mark.parametrize("scale", [2, 4, 8])
@pytest.mark.parametrize("method", ["SRCNN", "SHISRCNet", "SwinIR", "HAT", "MiHATP"])
def test_every_method_trains_and_is_tested_at_every_scale(data, tmp_path, monkeypatch, method, scale):
    monkeypatch.chdir(tmp_path)
    command = ["-opt", *files(method, scale), "--data", str(data), "--force_yml", *ONE_SET]
    sizes = ["datasets:train:gt_size=64"]  # window 8 at x8
    assert main(["train", *command, *schedule(2), *sizes]) == 0
    assert main(["test", *command]) == 0
    name = f"{method}_x{scale}"
    assert (tmp_path / "experiments" / name / "models" / "net_g_latest.pth").is_file()
    trained = tmp_path / "experiments" / name / "metrics" / "test2_2.csv"
    tested = read_scores(tmp_path / "results" / name, ["test2"])
    assert len(tested["psnr"]["test2"]) == 7 and 3 < over_sets(tested["psnr"])[0] < 60
    assert trained.read_text() == (tmp_path / "results" / name / "metrics" / "test2.csv").read_text()
