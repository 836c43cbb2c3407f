"""Every mistake in the options stops `basicsr` with one clear line and exit code 2, before a folder is made."""

import pytest
import torch
from basicsr.archs.edsr_arch import EDSR
from basicsr.archs.srvgg_arch import SRVGGNetCompact
from basicsr.models.base_model import BaseModel
from helpers.basicsr import changed, dataset, edsr, swinir, without

from mihatp_arch.checkpoints import newest_network
from mihatp_arch.config.checks.training import training_warnings
from mihatp_arch.config.read import Options
from mihatp_cli.basicsr import main

UNKNOWN = [
    (
        swinir,
        ("network_g", "upsamplerr"),
        "network_g: 'upsamplerr' is not an option of SwinIR; did you mean 'upsampler'?",
    ),
    (edsr, ("network_g", "num_blok"), "network_g: 'num_blok' is not an option of EDSR; did you mean 'num_block'?"),
    (
        edsr,
        ("train", "pixel_opt", "los_weight"),
        "train.pixel_opt: 'los_weight' is not an option of L1Loss; did you mean 'loss_weight'?",
    ),
    (edsr, ("train", "optim_g", "lrr"), "train.optim_g: 'lrr' is not an option of Adam; did you mean 'lr'?"),
    (
        edsr,
        ("train", "scheduler", "gama"),
        "train.scheduler: 'gama' is not an option of MultiStepLR; did you mean 'gamma'?",
    ),
    (
        edsr,
        ("datasets", "train", "gtsize"),
        "datasets.train: 'gtsize' is not an option of PairedImageDataset; did you mean 'gt_size'?",
    ),
    (edsr, ("train", "ema_decya"), "train: 'ema_decya' is not an option of SRModel; did you mean 'ema_decay'?"),
    (edsr, ("train", "use_amp"), "train: 'use_amp' is not an option of SRModel"),
    (edsr, ("val", "val_frq"), "val: 'val_frq' is not an option of SRModel; did you mean 'val_freq'?"),
    (
        edsr,
        ("val", "metrics", "psnr", "crop_boarder"),
        "val.metrics.psnr: 'crop_boarder' is not an option of calculate_psnr; did you mean 'crop_border'?",
    ),
    (
        edsr,
        ("logger", "print_frequ"),
        "logger: 'print_frequ' is not an option of the logger; did you mean 'print_freq'?",
    ),
    (edsr, ("nmae",), "'nmae' is not an option of SRModel; did you mean 'name'?"),
    (edsr, ("network_d",), "'network_d' is not an option of SRModel; did you mean 'network_g'?"),
]


@pytest.mark.parametrize(
    ("options", "path", "message"), UNKNOWN, ids=[message.split("'")[1] for _, _, message in UNKNOWN]
)
def test_an_unknown_key_is_named_with_the_nearest_real_one(refused, options, path, message):
    line = refused(changed(options(), *path, to=1))
    assert line.startswith(f"basicsr: error: o.yml: {message}")


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (("network_g", "type"), "EDSRR", "network_g: there is no network 'EDSRR'; did you mean 'EDSR'?"),
        (("model_type",), "SRModle", "model_type: there is no model 'SRModle'; did you mean 'SRModel'?"),
        (("train", "pixel_opt", "type"), "L1Los", "train.pixel_opt: there is no loss 'L1Los'; did you mean 'L1Loss'?"),
        (("train", "optim_g", "type"), "Adamm", "there is no optimizer 'Adamm' for SRModel; did you mean 'Adam'?"),
        (
            ("train", "scheduler", "type"),
            "MultiStep",
            "no scheduler 'MultiStep' for SRModel; did you mean 'MultiStepLR'?",
        ),
        (("val", "metrics", "psnr", "type"), "psnr", "val.metrics.psnr: there is no metric 'psnr'"),
        (("datasets", "val", "type"), "PairedImages", "no data set 'PairedImages'; did you mean 'PairedImageDataset'?"),
        (("datasets", "val", "io_backend", "type"), "lmbd", "no io_backend 'lmbd' for basicsr; did you mean 'lmdb'?"),
        (("datasets", "valid"), dataset("val"), "datasets: 'valid' is no data set"),
        (("datasets", "train_2"), dataset("val"), "datasets: 'train_2' is no data set"),
        (("datasets", "test"), dataset("val"), "datasets: 'test' is for `basicsr test`"),
    ],
)
def test_an_unknown_type_is_named_with_the_nearest_real_one(refused, path, value, message):
    assert message in refused(changed(edsr(), *path, to=value))


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (("train", "total_iter"), "many", "train.total_iter: expected int, got 'many'"),
        (("train", "total_iter"), 0, "train.total_iter: expected int >= 1, got 0"),
        (("train", "optim_g", "lr"), "fast", "train.optim_g.lr: expected float, got 'fast'"),
        (("train", "ema_decay"), 1.0, "train.ema_decay: expected float < 1.0, got 1.0"),
        (("train", "scheduler", "milestones"), [10, "x"], "milestones: expected int (at [1]), got [10, 'x']"),
        (("datasets", "train", "batch_size_per_gpu"), True, "batch_size_per_gpu: expected int, got True"),
        (("datasets", "train", "use_rot"), "yes", "use_rot: expected true or false, got 'yes'"),
        (("network_g", "num_feat"), "64", "network_g.num_feat: expected a number, got '64'"),
        (("network_g", "rgb_mean"), 0.5, "network_g.rgb_mean: expected a list of numbers, got 0.5"),
        (("val", "val_freq"), -1, "val.val_freq: expected int >= 1, got -1"),
        (("logger", "save_checkpoint_freq"), 0, "save_checkpoint_freq: expected int >= 1, got 0"),
        (("scale",), 5, "scale: expected one of 1, 2, 3, 4, 8, got 5"),
        (("name",), "a/b", "name: 'a/b' cannot name a folder"),
        (("datasets",), [1], "datasets: expected a mapping, got a list"),
        (("network_g",), "EDSR", "network_g: expected the options of a network (a mapping with its type), got 'EDSR'"),
        (("network_g", "upscale"), 2, "network_g: upscale is 2, but scale is 4; they must be equal"),
        (("datasets", "train", "gt_size"), 30, "datasets.train.gt_size: 30 is no multiple of scale 4"),
        (
            ("train", "pixel_opt", "reduction"),
            "avg",
            "train.pixel_opt: cannot be built: Unsupported reduction mode: avg",
        ),
        (("train", "scheduler", "gamma"), -1, "train.scheduler.gamma: expected float > 0.0, got -1"),
        (("train", "optim_g", "betas"), [2, 0.9], "train.optim_g: cannot be built: Invalid beta parameter"),
    ],
)
def test_a_wrong_value_is_named_with_what_is_expected(refused, path, value, message):
    assert message in refused(changed(edsr(), *path, to=value))


@pytest.mark.parametrize(
    ("path", "message"),
    [
        (("name",), "'name' is missing"),
        (("network_g",), "'network_g' is missing"),
        (("network_g", "type"), "network_g: 'type' is missing"),
        (("network_g", "num_in_ch"), "network_g: EDSR needs 'num_in_ch'"),
        (("train", "total_iter"), "train: 'total_iter' is missing"),
        (("train", "scheduler"), "train: 'scheduler' is missing"),
        (("train", "optim_g", "lr"), "train.optim_g: Adam needs 'lr'"),
        (("train", "pixel_opt"), "train: there is no loss: give pixel_opt or perceptual_opt"),
        (("datasets", "train"), "datasets: there is no data set 'train'"),
        (("datasets", "train", "gt_size"), "datasets.train: 'gt_size' is missing"),
        (("val", "val_freq"), "val: 'val_freq' is missing"),
    ],
)
def test_what_basicsr_needs_and_is_missing_is_named(refused, path, message):
    assert message in refused(without(edsr(), *path))


def test_a_schedule_shorter_than_the_training_is_refused(refused):
    scheduler = {"type": "CosineAnnealingRestartLR", "periods": [5]}
    options = changed(changed(edsr(), "train", "scheduler", to=scheduler), "train", "total_iter", to=9)
    assert "train.scheduler.periods: they end at 5, before total_iter 9" in refused(options)


@pytest.mark.parametrize(
    ("total_iter", "lines"),
    [
        (1, ["o.yml: train.ema_decay: after 1 iterations, 18% of the averaged weights"]),
        (3, ["o.yml: train.ema_decay: after 3 iterations, 1% of the averaged weights"]),
        (4, []),
    ],
)
def test_a_training_too_short_for_its_average_is_named(total_iter, lines):
    options = Options(changed(edsr(), "train", "total_iter", to=total_iter), {(): "o.yml"})
    warnings = list(training_warnings(options))
    assert [line.partition(", which")[0] for line in warnings] == lines
    options = Options(changed(options.values, "train", "ema_decay", to=0), {(): "o.yml"})
    assert list(training_warnings(options)) == []


def test_the_constant_decay_of_basicsr_needs_a_longer_training(monkeypatch):
    """Which BasicSR has with MIHATP_NO_PATCH=1."""
    monkeypatch.setattr(BaseModel, "model_ema", lambda self, decay: None)
    options = Options(changed(edsr(), "train", "total_iter", to=40), {(): "o.yml"})
    (line,) = training_warnings(options)
    assert "after 40 iterations, 1% of the averaged weights" in line


def test_every_mistake_gets_its_line_up_to_ten(refused):
    options = changed(edsr(), "train", "optim_g", "lrr", to=1)
    assert "lrr" in refused(changed(options, "train", "ema_decya", to=0.9), lines=2)
    for index in range(20):
        options["train"][f"wrong_{index}"] = 1
    assert refused(options, lines=10).endswith("… and 12 more mistakes")


def test_forced_values_are_checked_and_never_executed(refused, tmp_path):
    injection = 'name"];import os;os.mkdir("pwned");opt["x=5'
    assert "is not an option of SRModel" in refused(edsr(), "--force_yml", injection)
    line = refused(edsr(), "--force_yml", "train:optim_g:lrr=2e-4")
    assert line == "basicsr: error: --force_yml: train.optim_g: 'lrr' is not an option of Adam; did you mean 'lr'?"
    assert not (tmp_path / "pwned").exists()


def test_the_command_line_is_checked_in_one_line(refused, capsys):
    assert "--launchr" in refused(edsr(), "--launchr", "none")
    assert main(["--local-rank=0", "train"]) == 2
    assert "-opt" in capsys.readouterr().err
    assert main(["--local-rank=x", "train", "-opt", "o.yml"]) == 2
    assert "expected a number, got 'x'" in capsys.readouterr().err
    assert main(["train", "-opt", "missing.yml"]) == 2
    assert capsys.readouterr().err == "basicsr: error: there is no option file 'missing.yml'\n"


def test_local_rank_may_stand_before_the_command(refused, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("LOCAL_RANK", "0")
    refused(changed(edsr(), "nmae", to=1))
    assert main(["--local-rank=0", "train", "-opt", "o.yml"]) == 2
    assert "'nmae' is not an option" in capsys.readouterr().err


def test_a_training_file_that_was_not_trained_cannot_be_tested(refused):
    line = refused(edsr(), command="test")
    assert "nothing is trained in" in line
    assert "run `basicsr train` with the same options first" in line


def test_the_trained_network_is_the_best_else_the_newest(tmp_path):
    assert newest_network(tmp_path) is None
    for name in ("net_g_5", "net_g_10", "net_c_99"):
        (tmp_path / f"{name}.pth").touch()
    assert newest_network(tmp_path) == tmp_path / "net_g_10.pth"
    (tmp_path / "net_g_latest.pth").touch()
    assert newest_network(tmp_path) == tmp_path / "net_g_latest.pth"
    (tmp_path / "net_g_20.pth").touch()
    assert newest_network(tmp_path) == tmp_path / "net_g_20.pth"
    (tmp_path / "net_g_best.pth").touch()
    assert newest_network(tmp_path) == tmp_path / "net_g_best.pth"


def test_weights_of_another_network_are_not_tested(refused, data):
    weights = data / "datasets" / "other.pth"
    torch.save({"params": EDSR(3, 3, num_feat=6, num_block=1).state_dict()}, weights)
    line = refused(edsr(), "--force_yml", f"path:pretrain_network_g={weights}", command="test")
    assert "does not fit network_g: body.0.conv1.bias is 6 there and 4 in this EDSR" in line
    weights.write_bytes(b"no weights")
    line = refused(edsr(), "--force_yml", f"path:pretrain_network_g={weights}", command="test")
    assert "other.pth' cannot be loaded: it is damaged" in line


def test_a_network_of_others_at_another_scale_or_without_its_file(refused, tmp_path_factory):
    file = tmp_path_factory.mktemp("weights") / "compact.pth"
    torch.save(SRVGGNetCompact(num_feat=8, num_conv=1, upscale=2).state_dict(), file)
    network = {"type": "Spandrel", "file": str(file)}
    line = refused(changed(edsr(), "network_g", to={**network, "upscale": 2}))
    assert line.endswith("network_g: upscale is 2, but scale is 4; they must be equal")
    line = refused(changed(edsr(), "network_g", to=network))
    assert line.endswith("compact.pth' enlarges 2 times, but upscale is 4")
    line = refused(changed(changed(edsr(), "network_g", to=network), "model_type", to="SwinIRModel"))
    assert line.endswith("model_type: SwinIRModel pads to network_g.window_size; use SRModel without it")
    assert "network_g: there is no file 'absent.pth'" in refused(
        changed(edsr(), "network_g", to={"type": "Spandrel", "file": "absent.pth"})
    )
