"""The sweep's grid and its mistakes."""

import pytest
from helpers.benchmark import FAST, OVERLAYS, plan, write_benchmark

from mihatp_arch.errors import UserError
from mihatp_arch.evaluation.run.execute import Setup
from mihatp_arch.evaluation.sweep import PARAMETERS, read_grid, run_sweep, variant_name
from mihatp_cli.mihatp import main


def test_a_grid_keeps_the_order_and_drops_what_is_twice_there():
    assert read_grid(["tau=0.5,0.05,5e-1", "lambda=0"]) == {"tau": (0.5, 0.05), "lambda": (0.0,)}


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        ("taus=1", "expected NAME=VALUE,VALUE,… with NAME of tau, beta, lambda; did you mean 'tau'?"),
        ("tau", "expected NAME=VALUE"),
        ("tau=", "could not convert"),
        ("tau=a,b", "could not convert"),
        ("tau=0.1,nan", "every value must be finite"),
    ],
)
def test_what_is_no_grid_is_one_line(wanted, message):
    with pytest.raises(UserError) as refused:
        read_grid([wanted])
    assert message in str(refused.value) and f"--sweep {wanted}" in str(refused.value)


def test_a_parameter_that_is_given_twice():
    with pytest.raises(UserError, match="tau is given twice"):
        read_grid(["tau=1", "tau=2"])


def test_values_that_are_nearly_equal_have_names_of_their_own():
    assert [variant_name("tau", value) for value in (0.05, 1.0, 0.0500001, 0.05000011)] == [
        "tau0.05",
        "tau1",
        "tau0.0500001",
        "tau0.05000011",
    ]


def test_a_value_that_is_twice_in_the_queue_is_trained_once(tmp_path, small_data):
    pytest.importorskip("optuna")
    from mihatp_arch.evaluation.run.sweep_queue import Quality, SweepQueue

    read = plan(tmp_path, small_data, "MiHATP")
    queue = SweepQueue(read, read.trained[0].options, "tau", (0.5, 0.05), f"sqlite:///{tmp_path / 'sweep.db'}")
    for _ in range(2):
        queue._study.enqueue_trial({"tau": 0.05}, user_attrs={"value": 0.05})
    trained: list[float] = []

    def train(value: float) -> Quality:
        trained.append(value)
        return Quality(20 + value, 0.5, None)

    assert queue.run(train) == []
    assert sorted(trained) == [0.05, 0.5]
    assert queue.results() == {0.05: (20.05, 0.5, None), 0.5: (20.5, 0.5, None)}


@pytest.mark.parametrize("without_val", [False, True])
def test_the_validation_set_chooses_the_best_value(tmp_path, small_data, without_val, capsys):
    pytest.importorskip("optuna")
    from mihatp_arch.evaluation.run.sweep_queue import Quality, SweepQueue

    forced = [*FAST, *(["datasets:val=null"] if without_val else [])]
    read = plan(tmp_path, small_data, "MiHATP", forced=forced)
    options = read.mihatp("--sweep").trained_options()
    out = tmp_path / "out"
    out.mkdir()
    queue = SweepQueue(read, options, "tau", (0.05, 0.5), f"sqlite:///{out / 'sweep.db'}")
    val = {0.05: 31.0, 0.5: 30.0}  # the test sets have it the other way round
    assert queue.run(lambda value: Quality(20 + value, 0.5, None if without_val else val[value])) == []

    assert run_sweep(read, Setup(out), ["tau=0.05,0.5"]) == 0
    printed = capsys.readouterr().out
    if without_val:
        assert "| tau | 0.05 | 20.050 | 0.5000 |" in printed and "| tau | 0.5 | **20.500** | 0.5000 |" in printed
        assert "the test sets choose the best value, in bold, which favours it" in printed
    else:
        assert "| tau | 0.05 | **31.000** | 20.050 | 0.5000 |" in printed
        assert "| tau | 0.5 | 30.000 | 20.500 | 0.5000 |" in printed
        assert "is chosen on val, which is no test set" in printed
    assert (out / "sweep.csv").read_text().splitlines()[0] == "parameter,value,psnr,ssim,val_psnr"


def test_every_parameter_stands_where_the_options_have_it(tmp_path, small_data):
    options = plan(tmp_path, small_data, "MiHATP").trained[0].options
    assert {name: options.get(*path) for name, path in PARAMETERS.items()} == {
        "tau": 0.05,
        "beta": 0.01,
        "lambda": 0.01,
    }


def test_only_mihatp_has_them(tmp_path, small_data):
    with pytest.raises(UserError, match="--sweep: 'HAT' is not trained by MiHATPModel"):
        run_sweep(plan(tmp_path, small_data, "HAT"), Setup(tmp_path / "out"), ["tau=1"])
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--sweep", "tau=0"], "tau"),  # the loss refuses it before anything is trained
        (["--sweep", "tau=1", "--storage", "nodatabase://x"], "--storage nodatabase://x: "),
        (["--sweep", "tau=1", "--storage", "no url"], "--storage no url: "),
    ],
)
def test_a_mistake_is_one_line_and_trains_nothing(tmp_path, small_data, monkeypatch, capsys, more, message):
    monkeypatch.chdir(tmp_path)
    files = [str(one) for one in (write_benchmark(tmp_path, {"MiHATP": None}), *OVERLAYS)]
    forced = ["--force_yml", *FAST]
    assert main(["benchmark", "-opt", *files, "--data", str(small_data), "-o", "out", *forced, *more]) == 2
    errors = capsys.readouterr().err.splitlines()
    assert len(errors) == 1 and message in errors[0]
    assert not (tmp_path / "out" / "experiments").exists()
