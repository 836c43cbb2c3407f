"""Results stay only as long as they are of the images, weights and finished trainings at hand."""

import shutil
from dataclasses import replace

import cv2
import lmdb
import numpy as np
import pytest
import torch
from helpers.benchmark import FAST, OVERLAYS, plan, write_benchmark

from mihatp_arch.errors import UserError
from mihatp_arch.evaluation.run.benchmark_file import read_plan
from mihatp_arch.evaluation.run.measured import check_measured
from mihatp_arch.evaluation.run.trainings import prepare_runs, train_and_test


def invert(folder):
    """255 minus every pixel of an LMDB."""
    with lmdb.open(str(folder)) as env, env.begin(write=True) as transaction:
        for key, value in list(transaction.cursor()):
            pixels = cv2.imdecode(np.frombuffer(value, np.uint8), cv2.IMREAD_COLOR)
            transaction.put(key, cv2.imencode(".png", 255 - pixels)[1].tobytes())


def measured(out):
    """A result in the folder, as a finished test leaves it."""
    (out / "results" / "SRCNN_x4" / "metrics").mkdir(parents=True)
    (out / "results" / "SRCNN_x4" / "metrics" / "test1.csv").touch()


@pytest.mark.parametrize(("name", "what"), [("test1/HR", "test1"), ("val/LR_x4", "val")])
def test_results_of_other_images_are_refused(tmp_path, small_data, name, what):
    data, out = shutil.copytree(small_data, tmp_path / "data"), tmp_path / "out"
    read = plan(tmp_path, data, "SRCNN")
    check_measured(read, out)
    invert(data / f"{name}.lmdb")
    check_measured(read, out)  # nothing was measured yet
    measured(out)
    check_measured(read, out)
    invert(data / f"{name}.lmdb")
    with pytest.raises(UserError, match=f"the images of {what} are no longer those that were measured"):
        check_measured(read, out)


def test_results_of_other_weights_are_refused(tmp_path, small_data):
    weights = tmp_path / "w.pth"
    weights.write_bytes(b"one")
    read = plan(tmp_path, small_data, "SRCNN")
    read = replace(read, methods=(replace(read.methods[0], weights=weights),))
    measured(tmp_path)
    check_measured(read, tmp_path)
    weights.write_bytes(b"two")
    with pytest.raises(UserError, match="the weights of SRCNN are no longer those"):
        check_measured(read, tmp_path)


def test_the_network_of_an_unfinished_training_is_not_tested(tmp_path, small_data):
    file = write_benchmark(tmp_path, {"SRCNN": None}, ours="SRCNN")
    file.write_text(f"{file.read_text()}\n".replace("ours:", "  again: {weights_of: SRCNN}\nours:"))
    read = read_plan([file, *OVERLAYS], data=small_data, forced=FAST)
    run = prepare_runs(read, tmp_path, {})[1]
    models = tmp_path / "experiments" / "SRCNN_x4" / "models"
    models.mkdir(parents=True)
    torch.save({}, models / "net_g_5.pth")
    assert train_and_test(run, tmp_path, 1) == (
        "again_x4: the training of SRCNN_x4, whose network it tests, has not finished"
    )


def test_given_weights_are_averaged_ones_and_tested_once(tmp_path, small_data):
    (tmp_path / "w.pth").touch()
    methods = {"SRCNN": {"weights": str(tmp_path / "w.pth")}, "HAT": None}
    read = read_plan(
        [write_benchmark(tmp_path, methods), *OVERLAYS], data=small_data, forced=FAST, changes={"seeds": [0, 1]}
    )
    assert read.trained[0].options.get("path", "param_key_g") == "params_ema"
    names = [run.name for run in prepare_runs(read, tmp_path, {})]
    assert names == ["SRCNN_x4", "HAT_x4_seed0", "HAT_x4_seed1"]
