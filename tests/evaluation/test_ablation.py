"""The lines of Table 3: what each experiment has, and the table."""

from dataclasses import replace

import pytest
from helpers.benchmark import plan

from mihatp_arch.config.check import training_mistakes
from mihatp_arch.config.read import Options
from mihatp_arch.errors import UserError
from mihatp_arch.evaluation import ablation
from mihatp_arch.evaluation.ablation import EXPERIMENTS, run_ablation, table3, variant
from mihatp_arch.evaluation.results.differences import Difference
from mihatp_arch.evaluation.results.statistics import MethodResult
from mihatp_arch.evaluation.run.execute import Setup
from mihatp_arch.evaluation.run.plan import copy_options

NAMES = [one.name for one in EXPERIMENTS]


@pytest.fixture
def full(tmp_path, small_data):
    return plan(tmp_path, small_data, "MiHATP").trained[0]


def test_the_experiments_are_those_of_the_paper():
    parts = {one.name: set(one.parts) for one in EXPERIMENTS}
    gains = {one.name: one.gain for one in EXPERIMENTS if one.gain}
    assert len({frozenset(one) for one in parts.values()}) == len(EXPERIMENTS)
    assert parts["Exp1"] == set()
    assert parts["Exp2"] == {"M-HAB", "X_Norm"}
    assert parts["Exp7"] == {"IS", "ITP", "RTP"}
    assert parts["Exp8"] == parts["Exp7"] | parts["Exp2"]
    assert gains == {"Exp2": (0.014, 0.40), "Exp7": (0.117, 2.48), "Exp8": (0.1475, 2.70)}


@pytest.mark.parametrize("experiment", EXPERIMENTS, ids=NAMES)
def test_an_experiment_has_its_parts_and_can_be_trained(full, experiment):
    before = copy_options(full.options).values
    options = variant(full, experiment)
    assert full.options.values == before
    train, network, parts = options.section("train"), options.section("network_g"), experiment.parts
    assert (network["type"] == "MiHATP") == ("M-HAB" in parts)
    assert bool(network.get("norm_residual")) == ("X_Norm" in parts)
    assert (train["reversible_opt"] is not None) == ("RTP" in parts)
    assert (train["irreversible_opt"] is not None) == ("ITP" in parts)
    assert (train["contrastive_opt"] is not None) == bool({"ITP", "RTP"} & set(parts))
    if train["contrastive_opt"]:
        assert train["contrastive_opt"]["image_space"] == ("IS" in parts)
    assert {key: options.values[key] for key in ("datasets", "scale")} == {
        key: before[key] for key in ("datasets", "scale")
    }
    assert training_mistakes(copy_options(options)) == []


@pytest.mark.parametrize("experiment", EXPERIMENTS, ids=NAMES)
def test_only_the_whole_second_branch_has_its_own_network(full, experiment):
    values = {**copy_options(full.options).values, "network_c": {"type": "MiHATP"}}
    options = variant(replace(full, options=Options(values)), experiment)
    assert ("network_c" in options.values) == ({"M-HAB", "RTP"} <= set(experiment.parts))


def test_without_m_hab_the_network_is_hat_at_the_same_size(full):
    hat, mihatp = variant(full, EXPERIMENTS[0]).section("network_g"), full.options.section("network_g")
    assert hat["type"] == "HAT" and hat["conv_scale"] == mihatp["alpha"]
    assert {key: mihatp[key] for key in hat.keys() - {"type", "conv_scale"}} == {
        key: hat[key] for key in hat.keys() - {"type", "conv_scale"}
    }


def test_only_mihatp_can_be_taken_apart(tmp_path, small_data):
    other = plan(tmp_path, small_data, "HAT")
    with pytest.raises(UserError, match="--ablation: 'HAT' is not trained by MiHATPModel"):
        run_ablation(other, Setup(tmp_path / "out"))
    assert not (tmp_path / "out").exists()


def line(name: str, psnr: float, ssim: float, p: float | None = None) -> MethodResult:
    difference = Difference(0.4, (0.1, 0.7), p / 2, p, 1.0, 9) if p is not None else None
    return MethodResult(name, {"psnr": (psnr, 0.0), "ssim": (ssim, 0.0)}, {}, {}, difference)


def test_gains_are_over_the_first_experiment():
    lines = [line("Exp1", 26.0, 0.8), line("Exp8", 26.5, 0.82, 0.01), line("Exp2_without_X_Norm", 25.0, 0.9, 0.5)]
    table = table3(lines, title="t", note="n")
    assert table.columns[:6] == ["experiment", *ablation.PARTS]
    assert table.rows[0][1:6] == [""] * 5 and table.rows[0][8:] == [""] * 5
    assert table.rows[1][1:6] == ["✓"] * 5
    assert table.rows[1][8:] == ["+0.500", "+2.50 %", "+0.100 … +0.700", "0.0100", "+0.1475 dB, +2.70 %"]
    assert table.rows[2][0] == "Exp2 without X Norm" and table.rows[2][8:10] == ["-1.000", "+12.50 %"]
    assert table.best == {(1, 6), (2, 7)}


def test_without_the_first_experiment_there_are_no_gains():
    assert table3([line("Exp2", 26.0, 0.8)], title="t", note="n").rows[0][8:12] == [""] * 4
