"""benchmark_x<scale>_own.yml: the same rows on the same data, each with its own schedule, and sound options."""

from pathlib import Path

import pytest
from helpers.benchmark import FAST, OPTIONS, OVERLAYS

from mihatp_arch.config import defaults
from mihatp_arch.config.checks.options import check_options
from mihatp_arch.config.option_files.own_schedules import OWN_SCHEDULES
from mihatp_arch.config.read import Options, force
from mihatp_arch.evaluation.run.benchmark_file import read_plan
from mihatp_arch.evaluation.run.budget import with_iterations
from mihatp_arch.evaluation.run.plan import Method
from mihatp_cli.mihatp import main

SCALES = (2, 4, 8)
# optimizer, learning rate, images of a batch, iterations
PUBLISHED = {
    "SRCNN": ("SGD", 1e-4, 4, 5_500_000),
    "LDM": ("AdamW", 6.4e-5, 64, 860_000),
    "IDM": ("Adam", 1e-4, 64, 1_500_000),
    "ResShift": ("AdamW", 5e-5, 64, 500_000),
    "SHISRCNet": ("Adam", 1e-3, 4, 150_000),
    "SwinIR": ("Adam", 2e-4, 32, 500_000),
    "HAT": ("Adam", 2e-4, 32, 500_000),
    "MiHATP": ("Adam", 1e-4, 8, 150_000),
}


def methods(scale: int) -> dict[str, Method]:
    return {method.name: method for method in read_plan([OPTIONS / f"benchmark_x{scale}_own.yml"]).methods}


def options_of(method: Method) -> Options:
    assert method.options is not None
    return method.options


@pytest.mark.parametrize("scale", SCALES)
def test_the_rows_are_those_of_the_other_benchmark(scale):
    other = read_plan([OPTIONS / f"benchmark_x{scale}.yml"])
    own = methods(scale)
    assert [method.name for method in other.methods] == list(own)
    assert OWN_SCHEDULES.keys() == PUBLISHED.keys() - {"MiHATP"}
    for method in other.trained:
        theirs = options_of(own[method.name])
        for path in (("network_g",), ("datasets", "val"), ("datasets", "val_test1"), ("scale",), ("manual_seed",)):
            before, now = options_of(method).get(*path), theirs.get(*path)
            if path == ("network_g",) and method.first_stage:
                assert now["first_stage"] == before["first_stage"]  # the same network, trained with other losses
            assert now == before, (method.name, path)


@pytest.mark.parametrize("scale", SCALES)
def test_each_method_has_the_published_schedule(scale):
    own = methods(scale)
    for name, (optimizer, rate, batch, total) in PUBLISHED.items():
        options = options_of(own[name])
        train = options.section("train")
        assert (train["optim_g"]["type"], train["optim_g"]["lr"], train["total_iter"]) == (optimizer, rate, total), name
        assert options.get("datasets", "train", "batch_size_per_gpu") == batch, name
        assert train["scheduler"]["type"] == "MultiStepLR"
    milestones = options_of(own["SHISRCNet"]).get("train", "scheduler", "milestones")
    assert milestones == [1000 * step for step in range(1, 150)]
    sizes = {2: (96, 128), 4: (192, 192), 8: (192, 192)}[scale]
    assert tuple(options_of(own[name]).get("datasets", "train", "gt_size") for name in ("SwinIR", "HAT")) == sizes
    stages = {method.first_stage.name for method in own.values() if method.first_stage}
    assert stages == {"KLF2gan" if scale == 2 else "VQF4gan"}


@pytest.mark.parametrize("scale", SCALES)
def test_the_options_are_sound_also_in_a_short_budget(scale):
    for method in methods(scale).values():
        if method.options is None or method.name not in PUBLISHED:
            continue
        options = options_of(method)
        force(options, ["path:pretrain_network_first_stage=null"] if method.first_stage else [])
        defaults.choose_sets(options, "train")
        defaults.fill_defaults(options, "train")
        assert check_options(options, "train") == [], method.name
        with_iterations(options.values, 100)
        assert options.get("train", "total_iter") == 100
        assert max(options.get("train", "scheduler", "milestones")) <= 100


@pytest.mark.slow
def test_own_schedules_train(tmp_path: Path, small_data, monkeypatch):
    """Also SGD at the rate of SRCNN, and 149 milestones."""
    monkeypatch.chdir(tmp_path)
    files = [str(file) for file in (OPTIONS / "benchmark_x4_own.yml", *OVERLAYS)]
    chosen = ["--methods", "SRCNN", "SHISRCNet", "--iterations", "3", "--no-consistency"]
    arguments = ["benchmark", "-opt", *files, "--data", str(small_data), "-o", "out", *chosen, "--force_yml", *FAST]
    assert main(arguments) == 0
    log = (tmp_path / "out" / "logs" / "train_SHISRCNet_x4.log").read_text()
    assert "optim_g" in log and "lr: 0.001" in log
