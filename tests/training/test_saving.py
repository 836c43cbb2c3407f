"""Checkpoints are written whole or not at all, and a file that is cut off is never loaded."""

import random
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from helpers.model import build

from mihatp_arch.checkpoints import find_training_state, kernel_of_weights, load_tensors, weights_below
from mihatp_arch.errors import UserError
from mihatp_arch.training.saving import archive, prune, save_whole


def experiment(folder: Path, *iterations: int) -> Path:
    """Networks and states as a training leaves them."""
    for name in ("models", "training_states"):
        (folder / name).mkdir(parents=True)
    for iteration in iterations:
        torch.manual_seed(iteration)
        save_whole({"params": {"weight": torch.randn(40, 50)}}, folder / "models" / f"net_g_{iteration}.pth")
        optimizer = torch.optim.Adam([torch.nn.Parameter(torch.randn(40, 50))])
        state = {"epoch": 0, "iter": iteration, "optimizers": [optimizer.state_dict()], "schedulers": []}
        save_whole(state | {"noise": torch.randn(3000)}, folder / "training_states" / f"{iteration}.state")
    return folder


OPTIONS = {"path": {}, "train": {}, "network_g": {"type": "SwinIR"}}


@pytest.mark.parametrize("name", ["training_states/9.state", "models/net_g_9.pth"])
def test_a_file_cut_off_anywhere_is_passed_over_and_nothing_is_deleted(tmp_path, name):
    folder = experiment(tmp_path, 6, 9)
    whole = (folder / name).read_bytes()
    chance = random.Random(name)
    for length in [0, len(whole) - 1, *(chance.randrange(1, len(whole)) for _ in range(20))]:
        (folder / name).write_bytes(whole[:length])
        before = sorted(folder.rglob("*"))
        state, what = find_training_state(OPTIONS, folder, newest=True)
        assert state is not None and state.values["iter"] == 6 and "9." in what
        assert sorted(folder.rglob("*")) == before
    (folder / name).write_bytes(whole)
    state, _ = find_training_state(OPTIONS, folder, newest=True)
    assert state is not None and state.values["iter"] == 9


def test_the_newest_state_is_said_to_be_taken_instead_of_a_named_one(tmp_path):
    folder = experiment(tmp_path, 6, 9)
    named = folder / "training_states" / "6.state"
    opt = OPTIONS | {"path": {"resume_state": str(named)}}
    state, what = find_training_state(opt, folder, newest=True)
    assert state is not None and state.values["iter"] == 9
    assert what.endswith(f"9.state, not path.resume_state '{named}'")
    state, what = find_training_state(opt, folder, newest=False)
    assert state is not None and state.values["iter"] == 6 and "not" not in what


def test_a_save_that_fails_leaves_what_was_there(tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", disk], capture_output=True).returncode:
        pytest.skip("mounting a small tmpfs needs root")
    try:
        save_whole({"params": {"weight": torch.ones(100)}}, disk / "net_g_1.pth")
        before = (disk / "net_g_1.pth").read_bytes()
        for name in ("net_g_1.pth", "net_g_2.pth"):
            with pytest.raises(UserError, match=r"cannot save .*No space left.*what was saved before is whole"):
                save_whole({"params": {"weight": torch.ones(1_000_000)}}, disk / name)
        assert [path.name for path in disk.iterdir()] == ["net_g_1.pth"]
        assert (disk / "net_g_1.pth").read_bytes() == before
    finally:
        subprocess.run(["umount", disk], check=True)


def test_a_killed_save_leaves_the_old_file(tmp_path):
    """Killed between the two steps: what is at the name is the old file, whole."""
    save_whole({"a": torch.zeros(3)}, tmp_path / "net_g_1.pth")
    code = (
        "import os, sys, torch; from pathlib import Path; from mihatp_arch.training import saving\n"
        "os.fsync = lambda _: os._exit(9)\n"
        "saving.save_whole({'a': torch.ones(3)}, Path(sys.argv[1]))"
    )
    run = subprocess.run([sys.executable, "-c", code, str(tmp_path / "net_g_1.pth")], check=False)
    assert run.returncode == 9
    assert torch.equal(load_tensors(tmp_path / "net_g_1.pth")["a"], torch.zeros(3))


def test_prune_keeps_the_newest_whole_states_and_the_named_networks(tmp_path):
    folder = experiment(tmp_path, 3, 6, 9, 12)
    for name in ("net_g_latest.pth", "net_g_best.pth", "net_c_3.pth", "net_c_12.pth"):
        save_whole({"params": {}}, folder / "models" / name)
    prune(folder, keep=2)
    assert sorted(path.name for path in (folder / "training_states").iterdir()) == ["12.state", "9.state"]
    networks = {path.name for path in (folder / "models").iterdir()}
    assert networks == {"net_g_9.pth", "net_g_12.pth", "net_c_12.pth", "net_g_latest.pth", "net_g_best.pth"}


def test_runs_that_start_in_the_same_second_are_all_kept(tmp_path, monkeypatch):
    monkeypatch.setattr("mihatp_arch.training.saving.get_time_str", lambda: "20260102_030405")
    for number in range(4):
        archive(str(tmp_path / "run"))
        (tmp_path / "run" / "log.txt").write_text(str(number))
    folders = {path.name.removeprefix("run_archived_20260102_030405"): path / "log.txt" for path in tmp_path.iterdir()}
    assert {name: path.read_text() for name, path in folders.items()} == {"": "0", "_2": "1", "_3": "2", "run": "3"}


def test_weights_are_found_wherever_they_lie(tmp_path):
    from safetensors.torch import save_file

    weights = {"a.weight": torch.randn(2, 3), "a.bias": torch.randn(2)}
    forms = {
        "params.pth": {"params": weights},
        "ema.pth": {"params": {name: 0 * one for name, one in weights.items()}, "params_ema": weights},
        "state_dict.pth": {"state_dict": {f"module.{name}": one for name, one in weights.items()}},
        "compiled.pth": {"params": {f"_orig_mod.{name}": one for name, one in weights.items()}},
        "bare.pth": weights,
    }
    for name, content in forms.items():
        torch.save(content, tmp_path / name)
    save_file(weights, tmp_path / "bare.safetensors")
    for name in (*forms, "bare.safetensors"):
        loaded = weights_below(tmp_path / name, load_tensors(tmp_path / name), "params_ema")
        assert loaded.keys() == weights.keys() and all(torch.equal(loaded[key], weights[key]) for key in weights), name
    torch.save({"params": SimpleNamespace()}, tmp_path / "code.pth")
    (tmp_path / "damaged.safetensors").write_bytes((tmp_path / "bare.safetensors").read_bytes()[:-3])
    for name in ("code.pth", "damaged.safetensors"):
        with pytest.raises(UserError, match=name):
            load_tensors(tmp_path / name)


def test_a_network_is_saved_with_the_kernel_of_its_training_data(tmp_path):
    model = build(tmp_path)
    for number, (datasets, kernel) in enumerate([({}, None), ({"train": {"kernel": "bicubic"}}, "bicubic")], 1):
        model.opt["datasets"] = datasets
        model.save(0, number)
        file = tmp_path / f"net_g_{number}.pth"
        assert kernel_of_weights(file) == kernel
        content = load_tensors(file)
        assert list(content) == ["params", "params_ema", *(["kernel"] if kernel else [])]
        assert weights_below(file, content, "params_ema").keys() == model.net_g.state_dict().keys()
