"""Values that would fail only after an hour, after the old experiment is moved away, or that would mean nothing."""

import pytest
import torch
from basicsr.archs.edsr_arch import EDSR
from helpers.basicsr import changed, edsr, write_options

from mihatp_cli.basicsr import main


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (("manual_seed",), 2**32 - 2**16, "manual_seed: expected int <= 4294901759"),
        (("train", "optim_g", "lr"), float("inf"), "train.optim_g.lr: expected float < 1000.0, got inf"),
        (("train", "pixel_opt", "loss_weight"), float("nan"), "pixel_opt.loss_weight: expected a finite number"),
        (("network_g", "rgb_mean"), [0.5, float("inf"), 0.5], "rgb_mean: expected a finite number, got inf"),
        (("datasets", "train", "dataset_enlarge_ratio"), 1e300, "expected float <= 1000000.0"),
        (("datasets", "train", "dataroot_gt"), "a\0b", "dataroot_gt: a NUL character stands in it"),
        (("name",), "x" * 201, "cannot name a folder"),
        (("name",), "ü" * 101, "cannot name a folder"),
        (("name",), "a\tb", "cannot name a folder"),
        (("path",), {"models": "x"}, "path: 'models' is not an option of SRModel"),
        (("datasets", "train", "scale"), 4, "datasets.train: 'scale' is not an option of PairedImageDataset"),
        (("rank",), 1, "'rank' is not an option of SRModel"),
        (
            ("dist_params",),
            {"bakend": "gloo"},
            "'bakend' is not an option of init_process_group; did you mean 'backend'?",
        ),
        (("val", "metrics", "psnr", "crop_border"), 24, "24 from each side leaves nothing of 'im0', which is 48x48"),
    ],
)
def test_what_would_fail_later_or_mean_nothing_is_refused(refused, path, value, message):
    assert message in refused(changed(edsr(), *path, to=value))


def test_every_network_enlarges_by_the_scale_also_by_default(refused):
    block = {"type": "RRDBNet", "num_in_ch": 3, "num_out_ch": 3, "num_feat": 4, "num_block": 1, "num_grow_ch": 4}
    options = changed(edsr(), "network_g", to=block)
    options["scale"] = 2
    assert "network_g: scale is 4, but scale is 2; they must be equal" in refused(options)


def test_a_model_names_what_takes_its_options(refused):
    options = edsr() | {"model_type": "MiHATPModel"}
    features = {"type": "ContrastiveLoss", "features": {"weigths": "random"}}
    options = changed(options, "train", "contrastive_opt", to=features)
    options = changed(options, "train", "reversible_opt", to={"elemnts": ["hflip"]})
    options = changed(options, "train", "irreversible_opt", to={"scale": 3})
    last = refused(options, lines=3)
    assert "train.contrastive_opt.features: 'weigths' is not an option of FeatureNetwork" in last
    options = changed(edsr(), "train", "irreversible_opt", to=5) | {"model_type": "MiHATPModel"}
    assert "train.irreversible_opt: expected a mapping, or null, got 5" in refused(options)


def test_a_constructor_that_fails_names_the_file_of_the_value(refused, tmp_path):
    line = refused(edsr(), "--force_yml", "train:pixel_opt:loss_weight=1", "train:pixel_opt:reduction=avg")
    assert line.startswith("basicsr: error: --force_yml: train.pixel_opt: cannot be built")
    line = refused(edsr(), "--force_yml", "train:optim_g:weight_decay=1", "train:optim_g:betas=[2, 0.9]")
    assert line.startswith("basicsr: error: o.yml + --force_yml: train.optim_g: cannot be built: Invalid beta")


def test_sections_may_be_emptied(refused):
    empty = ["--force_yml", "logger=null", "path=null", "nmae=1"]
    assert "'nmae' is not an option of SRModel" in refused(edsr(), *empty)


@pytest.mark.parametrize("held", [[1, 2], {"a": 1}, {}, torch.zeros(2)])
def test_training_does_not_start_from_a_file_without_weights(refused, data, held):
    weights = data / "datasets" / "start.pth"
    torch.save(held, weights)
    line = refused(edsr(), "--force_yml", f"path:pretrain_network_g={weights}")
    assert "path.pretrain_network_g: " in line
    assert "start.pth' holds no weights" in line


def test_training_starts_from_weights_that_fit(refused, data):
    weights = data / "datasets" / "start.pth"
    given = ["--force_yml", f"path:pretrain_network_g={weights}"]
    other = EDSR(3, 3, num_feat=6, num_block=1).state_dict()
    for held in ({"params": other}, {"state_dict": other}, other):
        torch.save(held, weights)
        assert "does not fit network_g" in refused(edsr(), *given)
    torch.save({"params": other}, weights)
    line = refused(edsr(), *given, "path:param_key_g=prams")
    assert "holds no weights below 'prams'; it has params" in line
    weights.write_bytes(b"0.")
    assert "cannot be loaded" in refused(edsr(), *given, "path:strict_load_g=false")


def test_a_place_that_cannot_be_written_is_one_line(data, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "datasets").symlink_to(data / "datasets")
    (tmp_path / "experiments").touch()
    write_options(tmp_path / "o.yml", changed(edsr(), "train", "ema_decay", to=0))
    assert main(["train", "-opt", "o.yml"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("basicsr: error: cannot write '")
