"""The whole way, as it is typed: embedded data, training, continuation, test, and what goes wrong on it."""

import re
import shutil
from pathlib import Path
from statistics import mean

import pytest
from helpers.end_to_end import ONE_SET, basicsr, equal, files, logged, schedule

from datasets_prep.common.processes import progress
from mihatp_arch.evaluation.results.scores import read_scores
from mihatp_arch.evaluation.run.basicsr_process import Job
from mihatp_cli.basicsr import main

NAME = "MiHATP_x4"


@pytest.fixture(scope="module")
def data(embedded_data: Path) -> Path:
    return embedded_data


@pytest.fixture(scope="module")
def trained(data, tmp_path_factory) -> tuple[Path, str]:
    """A folder in which a tiny MiHATP x4 was trained for four iterations, and the log."""
    folder = tmp_path_factory.mktemp("trained")
    forced = ["--force_yml", *ONE_SET, *schedule(4)]
    return folder, basicsr(folder, "train", "-opt", *files("MiHATP", 4), "--data", str(data), *forced)


def test_mihatp_trains_both_branches_and_logs_every_term(trained):
    folder, log = trained
    lines = re.findall(
        r"iter: +(\d), .*l_pix_base: (\S+) l_pix_con: (\S+) l_cl: (\S+) sim_pos: (\S+) sim_neg: (\S+)", log
    )
    assert [line[0] for line in lines] == ["1", "2", "3", "4"]
    for line in lines:
        l_pix_base, l_pix_con, l_cl, sim_pos, sim_neg = map(float, line[1:])
        assert 0 < l_pix_base < 1 and 0 < l_pix_con < 1 and 0 < l_cl < 1
        assert -1 <= sim_pos <= 1 and -1 <= sim_neg <= 1
    models = folder / "experiments" / NAME / "models"
    names = {f"{net}_{at}.pth" for net in ("net_g", "net_c") for at in ("2", "4", "latest")}
    assert {path.name for path in models.iterdir()} == names
    assert not equal(models / "net_g_4.pth", models / "net_c_4.pth")
    assert not equal(models / "net_c_2.pth", models / "net_c_4.pth")
    assert "Validation test2" in log
    assert log.count("vgg19 has random weights") == 1  # checking the options built the loss too, in silence


@pytest.mark.slow
def test_what_basicsr_test_logs_is_the_mean_of_what_the_tables_read(trained, data):
    folder, training_log = trained
    forced = ["--force_yml", *ONE_SET, "val:save_img=true"]
    log = basicsr(folder, "test", "-opt", *files("MiHATP", 4), "--data", str(data), *forced)
    scores = read_scores(folder / "results" / NAME, ["test2"])
    assert len(scores["psnr"]["test2"]) == 7
    for metric in ("psnr", "ssim"):
        assert logged(metric, log) == pytest.approx(mean(scores[metric]["test2"].values()), abs=1e-4)
    assert logged("psnr", log) == logged("psnr", training_log)


def test_a_stopped_run_goes_on_to_the_same_bits(trained, data, tmp_path, capfd, monkeypatch):
    """`--auto_resume` after two of four iterations gives both branches as the undisturbed training has them."""
    undisturbed = trained[0] / "experiments" / NAME / "models"
    models = tmp_path / "experiments" / NAME / "models"
    shutil.copytree(undisturbed.parent, models.parent)
    for pattern in ("models/net_*_4.pth", "models/net_*_latest.pth", "training_states/4.state", "metrics/*"):
        for file in list(models.parent.glob(pattern)):
            file.unlink()

    resume = ["train", "-opt", *files("MiHATP", 4), "--data", str(data), "--force_yml", *ONE_SET, "val=null"]
    resume += [*schedule(4), "--auto_resume"]
    job = Job("go on", resume, tmp_path, tmp_path / "resume.lock", tmp_path / "resume.log", threads=1, iterations=4)
    for limit in ("_PAUSE", "_SHARE"):
        monkeypatch.setattr(progress, limit, 0)
    job.run()
    assert "go on: 4 of 4 iterations" in capfd.readouterr().err  # it follows BasicSR's own lines
    log = job.log.read_text()
    assert "Start training from epoch: 0, iter: 2" in log
    assert re.search(r"Loading MiHATP model from \S+/net_c_2\.pth", log)
    assert re.search(r"Loading MiHATP model from \S+/net_g_2\.pth", log)
    for name in ("net_c", "net_g"):
        assert equal(models / f"{name}_4.pth", undisturbed / f"{name}_4.pth")
        assert not equal(models / f"{name}_4.pth", models / f"{name}_2.pth")


# What the user can get wrong: each is one line and exit code 2, and nothing is made.


@pytest.fixture
def refused(data, tmp_path, monkeypatch, capsys):
    """Call `basicsr train` with the tiny MiHATP x4, some values changed, and return the line with which it refuses."""
    monkeypatch.chdir(tmp_path)

    def call(*forced: str, root: Path = data, option_files: list[str] | None = None) -> str:
        before = sorted(tmp_path.rglob("*"))
        more = ["--force_yml", *ONE_SET, *forced]
        code = main(["train", "-opt", *(option_files or files("MiHATP", 4)), "--data", str(root), *more])
        errors = capsys.readouterr().err.splitlines()
        assert code == 2
        assert len(errors) == 1, errors
        assert errors[0].startswith("basicsr: error: ")
        assert sorted(tmp_path.rglob("*")) == before
        return errors[0]

    return call


def test_a_missing_option_file(refused):
    line = refused(option_files=["train_MiHATP_x5.yml"])
    assert line.endswith("there is no option file 'train_MiHATP_x5.yml'; did you mean 'train_MiHATP_x8.yml'?")


@pytest.mark.parametrize(
    ("forced", "message"),
    [
        (
            "network_g:sample_gird=4",
            "network_g: 'sample_gird' is not an option of MiHATP; did you mean 'sample_grid'?",
        ),
        ("train:contrastive_opt:tao=1", "'tao' is not an option of ContrastiveLoss; did you mean 'tau'?"),
        ("train:share_branch=true", "'share_branch' is not an option of MiHATPModel; did you mean 'share_branches'?"),
        ("network_g:depths=six", "network_g.depths: expected a list"),
        ("train:total_iter=soon", "train.total_iter: expected int, got 'soon'"),
        ("network_g:type=MiHAT", "there is no network 'MiHAT'; did you mean 'MiHATP'?"),
        ("scale=8", "upscale is 4, but scale is 8; they must be equal"),
        ("datasets:train:batch_size_per_gpu=91", "a batch of 91 is larger than the data set of 90 images"),
        ("train:reversible_opt:k_p=0", "train.reversible_opt.k_p: expected int >= 1, got 0"),
        ("train:contrastive_opt:features:weights=no.pth", "features: weights: there is no file no.pth"),
    ],
)
def test_a_wrong_value(refused, forced, message):
    assert message in refused(forced)


def test_low_resolution_images_of_another_scale(refused):
    line = refused("datasets:train:dataroot_lq=train/LR_x8.lmdb")
    assert "HR is 192x192 and LR 24x24, which is not scale 4" in line


def test_an_empty_lmdb(refused, data, tmp_path):
    shutil.copytree(data / "train", tmp_path / "copy" / "train")
    shutil.copytree(data / "test2", tmp_path / "copy" / "test2")
    (tmp_path / "copy" / "train" / "HR.lmdb" / "meta_info.txt").write_text("")
    assert "HR.lmdb is empty" in refused(root=tmp_path / "copy")


def test_data_that_are_not_there(refused):
    assert "there are no data at 'nowhere/train/HR.lmdb'" in refused(root=Path("nowhere"))


def test_missing_vgg_weights_say_what_to_download_and_where_to(refused, tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "hub"))
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")  # refuses at once
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "hub" / "hub" / "checkpoints").mkdir(parents=True)
    line = refused("train:contrastive_opt:features:weights=imagenet")
    assert "the ImageNet weights of vgg19 are missing" in line
    assert "https://download.pytorch.org/models/vgg19" in line
    assert str(tmp_path / "hub") in line
    assert "weights: random" in line
