"""Which state a training resumes from, which states are refused, and the best results beside the states."""

import json
import math
from pathlib import Path

import basicsr.train
import pytest
import torch
from basicsr.models.base_model import BaseModel
from basicsr.utils import get_root_logger
from helpers.basicsr import NAME, edsr, write_data, write_options

from mihatp_arch.errors import UserError
from mihatp_arch.training.resumed.best_results import read_best_results, write_best_results
from mihatp_cli.basicsr import main

BEST = {
    "val": {
        "psnr": {"better": "higher", "val": 27.123456789012345, "iter": 4000},
        "ssim": {"better": "higher", "val": -math.inf, "iter": -1},
        "niqe": {"better": "lower", "val": math.inf, "iter": -1},
    }
}


def test_best_results_come_back_exactly(tmp_path):
    assert read_best_results(tmp_path) == {}
    write_best_results(tmp_path, BEST)
    assert read_best_results(tmp_path) == BEST
    plain = json.loads((tmp_path / "best_metric_results.json").read_text(), parse_constant=pytest.fail)
    assert [result["val"] for result in plain["val"].values()] == [27.123456789012345, None, None]


def test_best_results_of_an_older_version_are_read(tmp_path):
    torch.save(BEST, tmp_path / "best_metric_results.pth")
    assert read_best_results(tmp_path) == BEST
    newer = {"val": {"psnr": {"better": "higher", "val": 28.0, "iter": 5000}}}
    write_best_results(tmp_path, newer)
    assert read_best_results(tmp_path) == newer


@pytest.mark.parametrize("text", ['{"val": ', "[]", '{"val": {"psnr": {"val": 3}}}', '{"val": 3}', "\\xff"])
def test_damaged_best_results_are_one_line_in_the_log(tmp_path, caplog, text):
    (tmp_path / "best_metric_results.json").write_bytes(text.encode())
    get_root_logger().addHandler(caplog.handler)
    try:
        assert read_best_results(tmp_path) == {}
    finally:
        get_root_logger().removeHandler(caplog.handler)
    assert caplog.text.count("best_metric_results.json' is damaged") == 1


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
    [("Adam", "Adam", False), ("Adam", "AdamW", False), ("AdamW", "Adam", False), ("Adam", "SGD", True)],
)
def test_a_state_of_another_type_of_optimizer_is_refused(tmp_path, saved, asked, refused):
    state = _save_state(tmp_path, 3)
    torch.save(torch.load(state) | {"options": {"train": {"optim_g": {"type": saved}}}}, state)
    opt = _options(tmp_path, auto=False, state=state) | {"train": {"optim_g": {"type": asked}}}
    if not refused:
        assert basicsr.train.load_resume_state(opt) is not None
        return
    with pytest.raises(
        UserError, match=r"was trained with train\.optim_g\.type Adam, whose state SGD cannot take over"
    ):
        basicsr.train.load_resume_state(opt)


def test_a_state_of_another_optimizer_is_one_line():
    def adam(count: int) -> torch.optim.Adam:
        return torch.optim.Adam([torch.nn.Parameter(torch.zeros(1)) for _ in range(count)])

    model = BaseModel({"num_gpu": 0, "is_train": True, "path": {"resume_state": "3.state"}})
    model.optimizers.append(adam(2))
    for optimizers in ([], [adam(1).state_dict()]):
        with pytest.raises(UserError, match=r"'3\.state': its optimizers are not those"):
            model.resume_training({"optimizers": optimizers, "schedulers": []})


@pytest.fixture
def trained(tmp_path, monkeypatch) -> Path:
    """The folder of an experiment of two iterations, each with a state; the file `o.yml` beside it has its options."""
    monkeypatch.chdir(tmp_path)
    write_data(tmp_path / "datasets" / "toy")
    assert main(["train", "-opt", str(write_options(tmp_path / "o.yml", edsr()))]) == 0
    return tmp_path / "experiments" / NAME


def _resume(*more: str) -> int:
    return main(["train", "-opt", "o.yml", "--auto_resume", *more])


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("exp_avg", torch.zeros(3), "parameter 0 has exp_avg of shape [3], not [4, 3, 3, 3]"),
        ("exp_avg_sq", torch.zeros(4, 3, 3, 3, 2), "has exp_avg_sq of shape [4, 3, 3, 3, 2], not [4, 3, 3, 3]"),
        ("step", torch.zeros(2), "has step of shape [2], not []"),
        ("exp_avg", None, "parameter 0 has no exp_avg"),
    ],
)
def test_a_crafted_state_of_an_optimizer_is_one_line(trained, capsys, key, value, message):
    path = trained / "training_states" / "1.state"
    (trained / "training_states" / "2.state").unlink()
    state = torch.load(path, weights_only=True)
    remembered = state["optimizers"][0]["state"][0]
    remembered[key] = value
    if value is None:
        del remembered[key]
    torch.save(state, path)
    capsys.readouterr()
    assert _resume() == 2
    error = capsys.readouterr().err.splitlines()[-1]
    assert "1.state': its optimizers are not those of these options" in error and message in error


@pytest.mark.parametrize("crafted", ["shape", "group", "generators"])
def test_auto_resume_passes_over_a_state_that_does_not_fit(trained, capsys, crafted):
    """The networks of the state are sound, and so is its hash: what it says of them shows when the model is built."""
    newest = trained / "training_states" / "2.state"
    expected = torch.load(newest, weights_only=True)
    state = torch.load(newest, weights_only=True)
    if crafted == "shape":
        state["optimizers"][0]["state"][0]["exp_avg"] = torch.zeros(3)
    elif crafted == "group":
        state["optimizers"][0]["param_groups"][0]["params"].append(77)
    else:
        state["generators"] = [{"python": 1}]
    torch.save(state, newest)
    capsys.readouterr()
    assert _resume() == 0
    [line] = [line for line in capsys.readouterr().out.splitlines() if "1.state, for " in line]
    assert line.startswith("--auto_resume: ") and "2.state'" in line.partition(" for ")[2]
    again = torch.load(newest, weights_only=True)
    for before, after in zip(expected["optimizers"], again["optimizers"], strict=True):
        for number, remembered in before["state"].items():
            assert all(torch.equal(value, after["state"][number][key]) for key, value in remembered.items())


def test_a_named_state_that_does_not_fit_is_not_passed_over(trained, capsys):
    path = trained / "training_states" / "2.state"
    state = torch.load(path, weights_only=True)
    state["optimizers"][0]["state"][0]["exp_avg"] = torch.zeros(3)
    torch.save(state, path)
    capsys.readouterr()
    assert main(["train", "-opt", "o.yml", "--force_yml", f"path:resume_state={path}"]) == 2
    assert "2.state': its optimizers are not those of these options" in capsys.readouterr().err.splitlines()[-1]


@pytest.mark.parametrize(
    "crafted", [{"best_metric_results": 3}, {"best_metric_results": {"toy_val": 3}}, {"served": "x"}, {"generators": 3}]
)
def test_other_crafted_values_stop_nothing(trained, crafted):
    path = trained / "training_states" / "1.state"
    (trained / "training_states" / "2.state").unlink()
    torch.save(torch.load(path, weights_only=True) | crafted, path)
    assert _resume() == 0
    assert (trained / "training_states" / "2.state").is_file()


@pytest.mark.parametrize("states", [[{}], [{"python": 1}], [3]])
def test_crafted_states_of_the_generators_are_one_line(trained, capsys, states):
    path = trained / "training_states" / "1.state"
    (trained / "training_states" / "2.state").unlink()
    torch.save(torch.load(path, weights_only=True) | {"generators": states}, path)
    capsys.readouterr()
    assert _resume() == 2
    assert "has no sound states of the random generators" in capsys.readouterr().err.splitlines()[-1]
