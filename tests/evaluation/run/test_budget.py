"""The same budget for every method: iterations, or a time that the log of the first ones translates."""

import pytest

from mihatp_arch.evaluation.run.budget import seconds_per_iteration, with_iterations


def options(**train):
    logger = {"print_freq": 100, "save_checkpoint_freq": 5000}
    return {"train": {"total_iter": 1000, "warmup_iter": -1, **train}, "logger": logger, "val": {"val_freq": 5000}}


def test_the_schedule_keeps_its_shape():
    scheduler = {"type": "MultiStepRestartLR", "milestones": [300, 600], "restarts": [0, 500]}
    one = options(scheduler=scheduler, warmup_iter=50, disc_start=500)
    with_iterations(one, 100)
    assert one["train"]["scheduler"]["milestones"] == [30, 60]
    assert one["train"]["scheduler"]["restarts"] == [0, 50]
    assert (one["train"]["total_iter"], one["train"]["warmup_iter"]) == (100, 5)
    assert one["train"]["disc_start"] == 50 and "probe_freq" not in one["train"]
    assert one["val"]["val_freq"] == 100
    assert one["logger"] == {"print_freq": 2, "save_checkpoint_freq": 20}


@pytest.mark.parametrize(("freq", "total", "expected"), [(500, 130, 32), (500, 1, 1), (500, 10**5, 500), (0, 130, 0)])
def test_a_short_training_is_probed_too(freq, total, expected):
    one = options(probe_freq=freq)
    with_iterations(one, total)
    assert one["train"]["probe_freq"] == expected


@pytest.mark.parametrize("total", [1, 7, 100, 3000])
def test_a_cosine_ends_with_the_training(total):
    one = options(scheduler={"type": "CosineAnnealingRestartLR", "periods": [250, 750]})
    with_iterations(one, total)
    assert sum(one["train"]["scheduler"]["periods"]) >= total
    assert min(one["train"]["scheduler"]["periods"]) >= 1


def test_a_longer_training_is_not_saved_less_often():
    one = options(scheduler={"type": "MultiStepLR", "milestones": [500]})
    with_iterations(one, 10**6)
    assert one["train"]["scheduler"]["milestones"] == [500_000]
    assert one["logger"] == {"print_freq": 100, "save_checkpoint_freq": 5000}


def line(number: int, second: float) -> str:
    whole = int(second)
    clock = f"2026-01-01 00:{whole // 60:02d}:{whole % 60:02d},{round(1000 * (second - whole)):03d}"
    return f"{clock} INFO: [HAT_x..][epoch:  0, iter:{number:8,d}, lr:(1.000e-04,)] [eta: 0:00:01]"


def test_the_time_of_an_iteration_leaves_the_first_ones_out():
    slow_start = [line(number, 10 * number) for number in range(1, 5)]
    steady = [line(number, 40 + 0.25 * number) for number in range(5, 25)]
    assert seconds_per_iteration("\n".join([*slow_start, "noise", *steady])) == pytest.approx(0.25)


@pytest.mark.parametrize("log", ["", line(1, 3), "\n".join(line(number, number) for number in range(1, 6))])
def test_too_few_lines_tell_nothing(log):
    assert seconds_per_iteration(log) is None
