"""What a kill leaves at any moment of a training stops nothing, and nothing is lost or there twice."""

import csv
import json
import logging
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
import torch
from basicsr.utils import logger as basicsr_logger
from helpers.basicsr import NAME, changed, dataset, edsr, write_data, write_options

from mihatp_arch.training.resumed.best_results import read_best_results
from mihatp_cli.basicsr import main

KILLED_IN = """
import os, sys
import mihatp_arch
from mihatp_cli import basicsr
from {module} import {owner} as owner
before = owner.{name}
calls = []
def kill(*args, **more):
    calls.append(args)
    if len(calls) == {call}:
        os._exit(9)
    return before(*args, **more)
owner.{name} = kill
basicsr.main(sys.argv[1:])
"""


@pytest.fixture
def here(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    write_data(tmp_path / "datasets" / "toy")
    return tmp_path


def _options(**logger) -> dict:
    options = changed(edsr(), "train", "total_iter", to=4)
    options = changed(options, "val", to=options["val"] | {"val_freq": 1, "keep_best": "psnr"})
    return changed(options, "logger", to=options["logger"] | {"save_checkpoint_freq": 2} | logger)


def _train(options: dict, *more: str) -> int:
    """Train in this process, with a log of its own."""
    write_options(Path("o.yml"), options)
    logger = logging.getLogger("basicsr")
    for handler in list(logger.handlers):
        logger.removeHandler(handler)
    basicsr_logger.initialized_logger.clear()
    return main(["train", "-opt", "o.yml", *more])


def _killed(options: dict, module: str, owner: str, name: str, call: int) -> None:
    """Start or resume the training in a process that is killed in the `call`-th call of a function."""
    write_options(Path("o.yml"), options)
    code = KILLED_IN.format(module=module, owner=owner, name=name, call=call)
    command = [sys.executable, "-c", code, "train", "-opt", "o.yml", "--auto_resume"]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    run = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert run.returncode == 9, run.stderr[-2000:]


def _networks(folder: Path) -> dict[str, torch.Tensor]:
    files = sorted((folder / "models").glob("*.pth"))
    return {
        f"{file.name}:{key}:{name}": tensor
        for file in files
        for key, state in torch.load(file, weights_only=True).items()
        if key.startswith("params")
        for name, tensor in state.items()
    }


@pytest.mark.slow
def test_a_kill_before_the_first_state_starts_anew(here, capsys):
    _killed(_options(), "basicsr.models.base_model", "BaseModel", "save_training_state", 1)
    experiment = here / "experiments" / NAME
    assert {path.name for path in (experiment / "models").iterdir()} == {"net_g_2.pth", "net_g_best.pth"}
    assert not list((experiment / "training_states").glob("*.state"))
    assert _train(_options(), "--auto_resume") == 0
    assert (experiment / "training_states" / "4.state").is_file()
    assert len(list(experiment.parent.glob(f"{NAME}_archived_*"))) == 1
    for state in (experiment / "training_states").glob("*.state"):
        state.unlink()
    capsys.readouterr()
    assert _train(_options(), "--auto_resume") == 2  # a whole training without its states is no start
    assert "has networks but no training state to go on from" in capsys.readouterr().err


@pytest.mark.slow
def test_no_best_result_is_lost_and_each_point_is_there_once(here):
    """Killed between the best results and the table, then in the second validation after a state."""
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    options = changed(_options(use_tb_logger=True), "datasets", "val_2", to=dataset("val") | {"name": "second"})
    for key in ("gt", "lq"):
        role = {"gt": "HR", "lq": "LR_x4"}[key]
        options["datasets"]["val_2"][f"dataroot_{key}"] = f"other/toy/val/{role}.lmdb"
    write_data(here / "other" / "toy")
    assert _train(options) == 0
    whole, tb = here / "experiments" / NAME, here / "tb_logger" / NAME
    whole.rename(here / "whole")
    tb.rename(here / "tb_whole")
    _killed(options, "mihatp_arch.training", "validation", "_write_table", 4)  # iteration 2, the second set
    _killed(options, "mihatp_arch.training", "validation", "_report", 3)  # after it is finished, iteration 3
    assert _train(options, "--auto_resume") == 0
    assert read_best_results(whole / "training_states") == read_best_results(here / "whole" / "training_states")
    ours, theirs = _networks(whole), _networks(here / "whole")
    assert ours.keys() == theirs.keys() and all(torch.equal(ours[key], theirs[key]) for key in ours)
    points = []
    for folder in (tb, here / "tb_whole"):
        events = EventAccumulator(str(folder), size_guidance={"scalars": 0})
        events.Reload()
        steps = [(tag, event.step) for tag in events.Tags()["scalars"] for event in events.Scalars(tag)]
        points.append(Counter(point for point in steps if not point[0].startswith("t")))
    assert points[0] == points[1] and set(points[0].values()) == {1}
    assert ("metrics/second/psnr", 2) in points[0] and ("losses/l_pix", 4) in points[0]


def test_the_best_results_come_back_from_the_tables(here, caplog):
    assert _train(_options()) == 0
    folder = here / "experiments" / NAME
    (folder / "training_states" / "4.state").unlink()
    best = read_best_results(folder / "training_states")["toy_val"]["psnr"]
    rows = {
        iteration: [
            float(row["psnr"]) for row in csv.DictReader((folder / "metrics" / f"toy_val_{iteration}.csv").open())
        ]
        for iteration in (1, 2, 3, 4)
    }
    assert best["val"] == max(sum(values) / 2 for values in rows.values())
    (folder / "training_states" / "best_metric_results.json").write_text('{"toy_val": ')
    (folder / "run.json").write_text("[{")
    state = torch.load(folder / "training_states" / "2.state", weights_only=True)
    torch.save(state | {"best_metric_results": {}}, folder / "training_states" / "2.state")
    assert _train(_options(), "--auto_resume") == 0
    assert read_best_results(folder / "training_states")["toy_val"]["psnr"] == best
    log = "".join(path.read_text() for path in folder.glob("*.log"))
    assert "best_metric_results.json' is damaged" in log and "run.json' is damaged" in log
    assert (folder / "run.json.damaged").read_text() == "[{"
    assert len(json.loads((folder / "run.json").read_text())) == 1


def test_the_last_validation_runs_once(here):
    assert _train(_options()) == 0
    folder = here / "experiments" / NAME
    log = next(folder.glob("*.log"))
    assert log.read_text().count("Validation toy_val") == 4
    log.unlink()
    assert _train(_options(), "--auto_resume") == 0  # a finished training
    assert "Validation toy_val" not in next(folder.glob("*.log")).read_text()
    options = changed(_options(), "val", "val_freq", to=3)  # the end is no iteration of a validation
    assert _train(changed(options, "name", to="other")) == 0
    assert next((folder.parent / "other").glob("*.log")).read_text().count("Validation toy_val") == 2


@pytest.mark.slow
def test_partial_files_of_dead_processes_go(here):
    _killed(_options(), "pathlib", "Path", "replace", 2)
    experiment = here / "experiments" / NAME
    assert len(list(experiment.rglob(".*.partial"))) == 1
    (experiment / "models" / ".x.pth.00000000-4711.partial").write_bytes(b"of another host")
    _killed(_options(), "basicsr.models.base_model", "BaseModel", "save_network", 2)
    assert _train(_options(), "--auto_resume") == 0
    assert not list(experiment.rglob(".*.partial"))
