"""Every method trains and is tested at every scale, by its own option files made small, in this process."""

from pathlib import Path

import cv2
import pytest
from helpers.end_to_end import ONE_SET, equal, files, schedule, weights
from helpers.small_data import write_data

from mihatp_arch.config.option_files.first_stages import STAGES as OF_SCALE
from mihatp_arch.config.option_files.table import METHODS
from mihatp_arch.evaluation.results.scores import over_sets, read_scores
from mihatp_cli.basicsr import main

DIFFUSION = ("LDM", "IDM", "ResShift")
STAGES = {method.name: method.scales for method in METHODS if "Stage" in method.model_type}
REGRESSION = [
    pytest.param(method.name, scale, marks=[] if scale == 4 and "DAT" not in method.name else pytest.mark.slow)
    for method in METHODS
    if method.name not in (*DIFFUSION, *STAGES)
    for scale in method.scales
]
SCALES = [pytest.param(2, marks=pytest.mark.slow), 4, pytest.param(8, marks=pytest.mark.slow)]
SIZE = "datasets:train:gt_size=64"  # window 8 at x8


@pytest.fixture(scope="module")
def small(tmp_path_factory) -> Path:
    """Two images of 64 pixels: the passes through networks and samplers take their time."""
    return write_data(tmp_path_factory.mktemp("small"))


def command(method: str, scale: int, data: Path, *more: str) -> list[str]:
    return ["-opt", *files(method, scale), "--data", str(data), "--force_yml", *ONE_SET, *more]


def check_results(folder: Path, name: str, iteration: int) -> None:
    """The test gives what the last validation of the training gave."""
    assert (folder / "experiments" / name / "models" / "net_g_latest.pth").is_file()
    trained = folder / "experiments" / name / "metrics" / f"test2_{iteration}.csv"
    tested = read_scores(folder / "results" / name, ["test2"])
    assert len(tested["psnr"]["test2"]) == 2 and 3 < over_sets(tested["psnr"])[0] < 60
    assert trained.read_text() == (folder / "results" / name / "metrics" / "test2.csv").read_text()


@pytest.mark.parametrize(("method", "scale"), REGRESSION)
def test_every_method_trains_and_is_tested_at_every_scale(small, tmp_path, monkeypatch, method, scale):
    monkeypatch.chdir(tmp_path)
    given = command(method, scale, small)
    assert main(["train", *given, *schedule(2), SIZE]) == 0
    assert main(["test", *given]) == 0
    check_results(tmp_path, f"{method}_x{scale}", 2)


@pytest.fixture(scope="module")
def first_stages(small, tmp_path_factory) -> dict[str, Path]:
    """The first stage of each name, trained with a stop and tested: it sees HR alone, so any scale will do."""
    files: dict[str, Path] = {}
    for name, scales in STAGES.items():
        folder = tmp_path_factory.mktemp(name)
        with pytest.MonkeyPatch.context() as patch:
            patch.chdir(folder)
            given = command(name, scales[0], small)
            assert main(["train", *given, *schedule(2, of=4), SIZE]) == 0
            assert main(["train", "--auto_resume", *given, *schedule(4), SIZE]) == 0
            assert main(["test", *given]) == 0
            assert main(["train", *given, *schedule(4), SIZE, "name=straight"]) == 0
        check_results(folder, f"{name}_x{scales[0]}", 4)
        straight, files[name] = (
            folder / "experiments" / run / "models" / "net_g_latest.pth" for run in ("straight", f"{name}_x{scales[0]}")
        )
        assert equal(straight, files[name])
        if name.endswith("gan"):
            assert equal(*(file.with_name("net_d_latest.pth") for file in (straight, files[name])))
    return files


@pytest.mark.slow
@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("method", DIFFUSION)
def test_every_diffusion_method_trains_resumes_and_is_tested(
    small, first_stages, tmp_path, monkeypatch, capsys, method, scale
):
    monkeypatch.chdir(tmp_path)
    first_stage = first_stages[OF_SCALE[scale]]
    stage = [] if method == "IDM" else [f"path:pretrain_network_first_stage={first_stage}"]
    given = command(
        method, scale, small, "train:ema_decay=0.9", *(["network_g:steps=4"] if method != "ResShift" else [])
    )
    assert main(["train", *given, *schedule(2, of=4), SIZE, *stage]) == 0
    name = f"{method}_x{scale}"
    experiment = tmp_path / "experiments" / name
    assert main(["train", "--auto_resume", *given, *schedule(4), SIZE, *stage]) == 0
    assert main(["test", *given]) == 0  # the first stage is in its weights
    check_results(tmp_path, name, 4)
    assert f"--auto_resume: {experiment / 'training_states' / '2.state'}" in capsys.readouterr().out
    if scale == 4:  # t, noise and what the first stage sees are the same as without the stop
        straight = [*given, *schedule(4), SIZE, *stage, "name=straight"]
        assert main(["train", *straight]) == 0
        networks = (tmp_path / "experiments" / one / "models" / "net_g_latest.pth" for one in (name, "straight"))
        assert equal(*networks)
    held = weights(experiment / "models" / "net_g_latest.pth")
    for key, tensor in weights(first_stage).items() if stage else ():
        assert tensor.equal(held[f"first_stage.{key}"]), key
    picture = cv2.imread(str(experiment / "visualization" / "samples_test2_4.png"))
    assert picture is not None and picture.shape == (2 * 64, 3 * 64, 3)  # LR, sample, HR of two images
