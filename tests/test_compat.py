"""What is replaced in BasicSR: only where it has to be, only if BasicSR is the one that is known."""

import importlib
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import basicsr.train
import basicsr.utils.options
import pytest
import torch
from basicsr.models.base_model import BaseModel

from mihatp_arch import compat
from mihatp_arch.errors import UserError
from mihatp_arch.training import distributed


def _options(folder: Path, *, auto: bool, state: Path | None = None) -> dict:
    path = {"training_states": str(folder / "training_states"), "models": str(folder / "models")}
    return {"auto_resume": auto, "network_g": {}, "path": path | {"resume_state": state and str(state)}}


def _save_state(folder: Path, iteration: int, *, network: bool = True) -> Path:
    for name in ("training_states", "models"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    state = folder / "training_states" / f"{iteration}.state"
    torch.save(
        {"epoch": 0, "iter": iteration, "optimizers": [{"state": {}, "param_groups": []}], "schedulers": []}, state
    )
    if network:
        torch.save({"params": {}}, folder / "models" / f"net_g_{iteration}.pth")
    return state


def test_importing_twice_changes_nothing():
    replaced = basicsr.train.load_resume_state
    assert replaced.__module__ == compat.__name__
    assert basicsr.utils.options.init_dist.__module__ == distributed.__name__
    assert BaseModel.model_to_device.__module__ == distributed.__name__
    importlib.reload(compat)
    assert basicsr.train.load_resume_state is replaced


def test_another_basicsr_is_refused():
    def load_resume_state(opt, where):
        return opt, where

    with pytest.raises(RuntimeError, match=r"mihatp_arch\.compat knows basicsr 1\.4\.2"):
        compat._expect(load_resume_state, "opt")


def test_basicsr_can_be_left_as_it_is():
    code = "import mihatp_arch.compat, basicsr.train as t; print(t.load_resume_state.__module__)"
    environment = os.environ | {"MIHATP_NO_PATCH": "1"}
    run = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False)
    assert run.stdout.split() == ["basicsr.train"], run.stderr


def test_auto_resume_takes_the_newest_state_of_this_experiment(tmp_path, monkeypatch):
    for iteration in (5, 10, 9):
        _save_state(tmp_path / "run", iteration)
    monkeypatch.chdir(tmp_path)
    opt = _options(tmp_path / "run", auto=True)
    state = basicsr.train.load_resume_state(opt)
    assert state is not None
    assert state["iter"] == 10
    assert opt["path"]["resume_state"].endswith("10.state")
    assert opt["path"]["pretrain_network_g"].endswith("net_g_10.pth")


def test_without_a_state_training_starts_anew(tmp_path):
    assert basicsr.train.load_resume_state(_options(tmp_path, auto=True)) is None
    assert basicsr.train.load_resume_state(_options(tmp_path, auto=False)) is None


def test_a_state_that_cannot_be_resumed_is_one_line(tmp_path):
    with pytest.raises(UserError, match="there is no file"):
        basicsr.train.load_resume_state(_options(tmp_path, auto=False, state=tmp_path / "1.state"))
    damaged = _save_state(tmp_path, 3)
    damaged.write_bytes(damaged.read_bytes()[:100])
    with pytest.raises(UserError, match=r"none of the 1 training states can be resumed: .* is no sound training state"):
        basicsr.train.load_resume_state(_options(tmp_path, auto=True))
    torch.save({"params": {}}, damaged)
    with pytest.raises(UserError, match="is no training state of basicsr"):
        basicsr.train.load_resume_state(_options(tmp_path, auto=True))
    elsewhere = _save_state(tmp_path / "other", 4, network=False)
    with pytest.raises(UserError, match="resume under the name that the state was trained with"):
        basicsr.train.load_resume_state(_options(tmp_path, auto=False, state=elsewhere))


def test_auto_resume_passes_over_what_is_damaged_and_says_so(tmp_path, capsys):
    for iteration in (5, 9, 10):
        _save_state(tmp_path, iteration)
    newest = tmp_path / "training_states" / "10.state"
    newest.write_bytes(newest.read_bytes()[:200])
    (tmp_path / "models" / "net_g_9.pth").write_bytes(b"")
    opt = _options(tmp_path, auto=True)
    state = basicsr.train.load_resume_state(opt)
    assert state is not None
    assert state["iter"] == 5
    printed = capsys.readouterr().out.splitlines()
    assert "5.state, for " in printed[0]
    assert "10.state' is no sound training state" in printed[0]
    assert newest.is_file()


def test_a_state_needs_every_network_that_was_saved_before(tmp_path):
    state = _save_state(tmp_path, 3)
    torch.save({"params": {}}, tmp_path / "models" / "net_c_2.pth")
    with pytest.raises(UserError, match=r"there is no '.*net_c_3\.pth'"):
        basicsr.train.load_resume_state(_options(tmp_path, auto=False, state=state))
    torch.save([1], tmp_path / "models" / "net_c_3.pth")
    with pytest.raises(UserError, match=r"net_c_3\.pth' holds no weights"):
        basicsr.train.load_resume_state(_options(tmp_path, auto=False, state=state))


@pytest.mark.parametrize(
    ("saved", "asked", "refused"),
    [
        ({"milestones": Counter([2, 4])}, {"milestones": [4, 2]}, False),
        ({"milestones": Counter([2, 4])}, {"milestones": [2]}, True),
        ({"periods": [10]}, {"periods": [10]}, False),
        ({"periods": [10]}, {"periods": [20]}, True),
    ],
)
def test_a_state_of_another_schedule_is_refused(tmp_path, saved, asked, refused):
    state = _save_state(tmp_path, 3)
    torch.save(torch.load(state) | {"schedulers": [saved]}, state)
    opt = _options(tmp_path, auto=False, state=state) | {"train": {"scheduler": asked}}
    if not refused:
        assert basicsr.train.load_resume_state(opt) is not None
        return
    with pytest.raises(UserError, match=r"was trained with train\.scheduler"):
        basicsr.train.load_resume_state(opt)


def test_a_state_of_another_optimizer_is_one_line():
    def adam(count: int) -> torch.optim.Adam:
        return torch.optim.Adam([torch.nn.Parameter(torch.zeros(1)) for _ in range(count)])

    model = BaseModel({"num_gpu": 0, "is_train": True, "path": {"resume_state": "3.state"}})
    model.optimizers.append(adam(2))
    for optimizers in ([], [adam(1).state_dict()]):
        with pytest.raises(UserError, match=r"'3\.state': its optimizers are not those"):
            model.resume_training({"optimizers": optimizers, "schedulers": []})


def test_a_launcher_without_its_environment_is_one_line(monkeypatch):
    for name in ("RANK", "WORLD_SIZE", "SLURM_PROCID"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(UserError, match="--launcher pytorch: the environment lacks RANK; start it with `torchrun"):
        distributed.init_dist("pytorch")
    with pytest.raises(UserError, match="--launcher slurm: the environment lacks 'SLURM_PROCID'; start it with srun"):
        distributed.init_dist("slurm")
