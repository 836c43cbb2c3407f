"""`mihatp runs` and `mihatp export` on what a training left."""

import datetime
import json
import os

import pytest
import torch
import yaml
from basicsr.archs import build_network
from helpers.end_to_end import ONE_SET, files
from safetensors import safe_open
from safetensors.torch import load_file

from mihatp_arch.checkpoints import kernel_of_weights, load_tensors
from mihatp_arch.errors import UserError
from mihatp_arch.inference.load import load_network
from mihatp_arch.training.saving import save_whole
from mihatp_cli.basicsr import main as basicsr
from mihatp_cli.mihatp import main

NETWORK = {"type": "EDSR", "num_in_ch": 3, "num_out_ch": 3, "num_feat": 8, "num_block": 1, "upscale": 4}

SIDES = (("gt", "HR.lmdb"), ("lq", "LR_x4.lmdb"))


@pytest.fixture
def experiment(tmp_path):
    folder = tmp_path / "experiments" / "EDSR_x4"
    for name in ("models", "training_states"):
        (folder / name).mkdir(parents=True)
    options = {"name": "EDSR_x4", "scale": 4, "network_g": NETWORK, "train": {"total_iter": 12000}}
    (folder / "EDSR_x4.yml").write_text(yaml.safe_dump(options))
    torch.manual_seed(0)
    plain, average = (build_network(NETWORK).state_dict() for _ in range(2))
    save_whole({"params": plain, "params_ema": average, "kernel": "area"}, folder / "models" / "net_g_5000.pth")
    save_whole({"iter": 5000}, folder / "training_states" / "5000.state")
    best = {"val": {"psnr": {"better": "higher", "val": 27.125, "iter": 4000}}}
    (folder / "training_states" / "best_metric_results.json").write_text(json.dumps(best))
    return folder, average


def test_runs_are_listed(experiment, tmp_path, capsys):
    (tmp_path / "experiments" / "notes").mkdir()
    assert main(["runs", str(tmp_path / "experiments")]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 3
    assert lines[2].startswith("| EDSR_x4 | 5 000 | 12 000 | val: psnr 27.1250 @ 4000 | 0.")
    assert main(["runs", str(tmp_path / "absent")]) == 2


def test_best_results_of_an_older_version_are_listed(experiment, tmp_path, capsys):
    states = experiment[0] / "training_states"
    (states / "best_metric_results.json").unlink()
    best = {"psnr": {"better": "higher", "val": 27.125, "iter": 4000}, "ssim": {"val": float("-inf"), "iter": 0}}
    torch.save({"val": best}, states / "best_metric_results.pth")
    assert main(["runs", str(tmp_path / "experiments")]) == 0
    assert "| val: psnr 27.1250 @ 4000 |" in capsys.readouterr().out


@pytest.mark.parametrize("damaged", ["EDSR_x4.yml", "training_states/best_metric_results.json"])
@pytest.mark.parametrize("text", ["", "[1]", "{"])
def test_a_damaged_experiment_is_one_line(experiment, tmp_path, capsys, damaged, text):
    (experiment[0] / damaged).write_text(text)
    assert main(["runs", str(tmp_path / "experiments")]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and damaged in error


def test_an_exported_network_says_what_it_is_and_loads(experiment, tmp_path, capsys):
    folder, average = experiment
    output = tmp_path / "edsr.safetensors"
    assert main(["export", str(folder), "-o", str(output)]) == 0
    with safe_open(output, "pt") as file:
        metadata = file.metadata()
        network = build_network(json.loads(metadata["network_g"]))
        network.load_state_dict({name: file.get_tensor(name) for name in average})
    assert metadata["scale"] == "4" and metadata["source"] == "net_g_5000.pth" and metadata["kernel"] == "area"
    assert metadata["mpp"] == "" and metadata["card"] == "{}"
    assert kernel_of_weights(output) == kernel_of_weights(folder / "models" / "net_g_5000.pth") == "area"
    assert all(torch.equal(average[name], tensor) for name, tensor in network.state_dict().items())
    whole = output.read_bytes()
    output.write_bytes(whole[:-9] + bytes([whole[-9] ^ 1]) + whole[-8:])
    with pytest.raises(UserError, match="its SHA-256 is not the one that was stored in it"):
        load_tensors(output)
    assert main(["export", str(folder), "-o", str(output)]) == 2
    assert "exists" in capsys.readouterr().err
    for wrong, says in ((["-o", "a.pth"], "must end in"), (["-o", "b.safetensors", "--weights", "no.pth"], "no.pth")):
        assert main(["export", str(folder), *wrong]) == 2
        assert says in capsys.readouterr().err
    models = folder / "models"
    torch.save({"params": build_network({**NETWORK, "num_feat": 9}).state_dict()}, models / "net_g_9.pth")
    torch.save({"params": average}, models / "net_c_5000.pth")
    to_c = ["export", str(folder), "-o", str(tmp_path / "c.safetensors")]
    for name, says in (("net_g_9.pth", "does not fit the network of the exp"), ("net_c_5000.pth", "not the network")):
        assert main([*to_c, "--weights", str(models / name)]) == 2
        assert says in capsys.readouterr().err
    (models / "net_g_9.pth").unlink()
    (models / "net_g_5000.pth").unlink()
    assert main(["export", str(folder), "-o", str(tmp_path / "c.safetensors")]) == 2
    assert "nothing is trained" in capsys.readouterr().err
    folder.rename(tmp_path / "moved")
    assert main(["export", str(tmp_path / "moved"), *to_c[2:]]) == 2
    assert "whose options are in EDSR_x4.yml: name it EDSR_x4 again" in capsys.readouterr().err


def test_an_exported_network_carries_its_resolution_and_card(experiment, embedded_data, tmp_path, capsys):
    folder, _ = experiment
    data = {f"dataroot_{side}": str(embedded_data / "train" / name) for side, name in SIDES}
    options = yaml.safe_load((folder / "EDSR_x4.yml").read_text()) | {"datasets": {"train": data}}
    (folder / "EDSR_x4.yml").write_text(yaml.safe_dump(options))
    (tmp_path / "card.yml").write_text("licence: CC0\n")
    given = ["--mpp", "0.5", "--card", str(tmp_path / "card.yml")]
    for name, arguments, mpp, card in (("a", [], 0.25, {}), ("b", given, 0.5, {"licence": "CC0"})):
        output = tmp_path / f"{name}.safetensors"
        assert main(["export", str(folder), "-o", str(output), *arguments]) == 0
        info = load_network(output).info
        assert info.mpp == mpp and info.card == card and info.kernel == "area"
    (tmp_path / "card.yml").write_text("PSNR: .nan\n")
    assert main(["export", str(folder), "-o", str(tmp_path / "c.safetensors"), *given]) == 2
    assert "the model card has a number that JSON cannot hold" in capsys.readouterr().err
    (tmp_path / "card.yml").write_text("- 1")
    for wrong, says in ((["--mpp", "0"], "above 0"), (given, "no mapping"), (["--tile", "8"], "option of --onnx")):
        assert main(["export", str(folder), "-o", str(tmp_path / "c.safetensors"), *wrong]) == 2
        assert says in capsys.readouterr().err


def test_an_export_of_half_precision_has_half_the_size(experiment, tmp_path, capsys):
    folder, average = experiment
    whole, half = tmp_path / "whole.safetensors", tmp_path / "half.safetensors"
    for output, arguments in ((whole, []), (half, ["--half"])):
        assert main(["export", str(folder), "-o", str(output), *arguments]) == 0
    weights = load_file(half)
    assert all(torch.equal(weights[name], tensor.half()) for name, tensor in average.items())
    assert half.stat().st_size < 0.6 * whole.stat().st_size
    assert load_network(half).info.scale == 4
    large = {name: tensor.fill_(1e5) for name, tensor in average.items()}
    torch.save({"params_ema": large}, folder / "models" / "net_g_latest.pth")
    for arguments, says in ((["--half"], "fp16 cannot hold"), (["--half", "--onnx"], "no option of --onnx")):
        assert main(["export", str(folder), "-o", str(tmp_path / "c.safetensors"), *arguments]) == 2
        assert says in capsys.readouterr().err


def test_auto_resume_leaves_a_run_alone_that_has_no_state(experiment, embedded_data, tmp_path, monkeypatch, capsys):
    """The networks of a whole training without a state: the folder is neither renamed nor written into."""
    folder, _ = experiment
    (folder / "models" / "net_g_5000.pth").rename(folder / "models" / "net_g_latest.pth")
    for state in (folder / "training_states").iterdir():
        state.unlink()
    monkeypatch.chdir(tmp_path)
    options = ["-opt", *files("SwinIR", 4), "--data", str(embedded_data)]
    forced = ["--force_yml", "name=EDSR_x4", *ONE_SET, "datasets:val_test2=null", "val=null"]
    assert basicsr(["train", "--auto_resume", *options, *forced]) == 2
    assert "has networks but no training state" in capsys.readouterr().err
    assert [path.name for path in (tmp_path / "experiments").iterdir()] == ["EDSR_x4"]


def test_one_damaged_experiment_does_not_hide_the_others(experiment, tmp_path, capsys):
    for name, text in (("broken", "a: ["), ("odd", "name: odd")):
        folder = tmp_path / "experiments" / name
        (folder / "training_states").mkdir(parents=True)
        (folder / f"{name}.yml").write_text(text)
        (folder / "training_states" / "best_metric_results.json").write_text('{"val": {"psnr": 3}}')
    assert main(["runs", str(tmp_path / "experiments")]) == 3
    shown = capsys.readouterr()
    assert "| EDSR_x4 | 5 000 |" in shown.out and len(shown.out.splitlines()) == 3
    lines = shown.err.splitlines()
    assert lines[0] == "2 of 3 experiments cannot be read:" and len(lines) == 3
    assert "broken.yml" in lines[1] and "odd" in lines[2] and "best_metric_results.json" in lines[2]


def test_an_export_goes_into_a_new_folder_and_tells_nothing_of_this_machine(experiment, tmp_path, capsys):
    folder, _ = experiment
    file = folder / "EDSR_x4.yml"
    data = {"train": {"name": "mine", "dataroot_gt": "/home/me/secret/HR.lmdb", "dataroot_lq": "~/secret/LR.lmdb"}}
    path = {"pretrain_network_g": "/home/me/secret/start.pth"}
    options = yaml.safe_load(file.read_text()) | {"datasets": data, "path": path, "since": datetime.date(2024, 5, 1)}
    file.write_text(yaml.safe_dump(options))
    output = tmp_path / "new" / "folder" / "edsr.safetensors"
    assert main(["export", str(folder), "-o", str(output)]) == 0
    assert f"the averaged weights of {folder}/models/net_g_5000.pth" in capsys.readouterr().out
    assert output.stat().st_mode & 0o777 == 0o666 & ~_umask()
    assert b"secret" not in output.read_bytes()
    with safe_open(output, "pt") as content:
        exported = json.loads(content.metadata()["options"])
    assert exported["since"] == "2024-05-01" and exported["datasets"]["train"]["dataroot_gt"] == "HR.lmdb"
    assert load_tensors(output).keys() == load_file(output).keys()
    save_whole({"params": build_network(NETWORK).state_dict()}, folder / "models" / "net_g_6000.pth")
    assert main(["export", str(folder), "-o", str(tmp_path / "b.safetensors")]) == 0
    assert "the weights, which are not averaged, of" in capsys.readouterr().out
    file.write_text("name: EDSR_x4\n")
    assert main(["export", str(folder), "-o", str(tmp_path / "c.safetensors")]) == 2
    assert "EDSR_x4.yml' cannot be read ('network_g')" in capsys.readouterr().err


def _umask() -> int:
    umask = os.umask(0)
    os.umask(umask)
    return umask
