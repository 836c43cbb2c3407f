"""Iterations of single methods, beside those of the comparison."""

import pytest
import torch
import yaml
from helpers.benchmark import FAST, OVERLAYS, write_benchmark

from mihatp_arch.archs import SRCNN
from mihatp_arch.errors import UserError
from mihatp_arch.evaluation.benchmark import budget_note
from mihatp_arch.evaluation.run.benchmark_file import read_plan
from mihatp_arch.evaluation.run.trainings import prepare_runs


@pytest.fixture
def read(tmp_path, small_data):
    def call(methods, *, changes=None, **more):
        file = write_benchmark(tmp_path, methods, **more)
        return read_plan([file, *OVERLAYS], data=small_data, forced=FAST, changes=changes)

    return call


def test_a_method_may_have_its_own_iterations(tmp_path, read):
    plan = read({"SRCNN": {"total_iter": 7}, "HAT": None}, total_iter=100)
    assert [run.total for run in prepare_runs(plan, tmp_path, {})] == [7, 100]
    train = yaml.safe_load((tmp_path / "plans" / "SRCNN_x4.yml").read_text())["train"]
    assert train["total_iter"] == 7 and sum(train["scheduler"]["periods"]) == 7  # its schedule has the same shape
    assert "; 100 iterations each (but: SRCNN 7 iterations). " in budget_note(plan, [])


def test_a_time_is_not_measured_for_a_method_that_has_its_own_iterations(tmp_path, read):
    plan = read({"SRCNN": {"total_iter": 7}}, seconds=3600.0)
    assert [run.total for run in prepare_runs(plan, tmp_path, {})] == [7]
    assert not (tmp_path / "logs").exists()


def test_a_budget_of_the_command_line_is_that_of_every_method(tmp_path, read):
    plan = read({"SRCNN": {"total_iter": 7}, "HAT": None}, changes={"total_iter": 9})
    assert [run.total for run in prepare_runs(plan, tmp_path, {})] == [9, 9]


def test_iterations_without_a_training_are_refused(tmp_path, read):
    torch.save({"params": SRCNN().state_dict()}, tmp_path / "srcnn.pth")
    with pytest.raises(UserError, match="method 'SRCNN': total_iter: its weights are given, so nothing is trained"):
        read({"SRCNN": {"total_iter": 7, "weights": str(tmp_path / "srcnn.pth")}})
    file = tmp_path / "own.yml"
    methods = {"HAT": None, "again": {"weights_of": "HAT", "total_iter": 7}}
    file.write_text(yaml.safe_dump({"name": "own", "scale": 4, "methods": methods}))
    with pytest.raises(UserError, match="method 'again': weights_of stands beside force alone"):
        read_plan([file])
