"""`mihatp benchmark --ablation`: Table 3 of the paper, MiHATP without some of its parts."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

from datasets_prep.common.files import refuse_foreign_results
from mihatp_arch.config.read import Options
from mihatp_arch.evaluation.benchmark import budget_note
from mihatp_arch.evaluation.blocks import facts_of_methods
from mihatp_arch.evaluation.report import comparison, table
from mihatp_arch.evaluation.report.columns import mean_and_sd
from mihatp_arch.evaluation.report.numbers import RESULTS_MARK, write_results
from mihatp_arch.evaluation.report.result_tables import MAIN_ROWS, p_value
from mihatp_arch.evaluation.results.patients import find_patients
from mihatp_arch.evaluation.results.statistics import MAIN_METRICS, MethodResult, compare
from mihatp_arch.evaluation.run.execute import Setup, train_all
from mihatp_arch.evaluation.run.plan import Method, Plan

# Options that MiHATP's blocks have and HAT's have not. HAT calls alpha conv_scale.
_M_HAB = ("beta", "learnable_scales", "norm_residual", "sample_grid", "num_groups", "offset_range", "position")


PARTS = ("IS", "ITP", "RTP", "M-HAB", "X_Norm")


@dataclass(frozen=True)
class Experiment:
    """A row of Table 3.

    Attributes:
        name: of the row.
        parts: of MiHATP that it has: IS, layer 0 of the contrastive loss; ITP, the negatives; RTP, the positives and
            the branch that makes them; M-HAB, blocks with deformable attention (else the network is HAT); X_Norm, that
            term of Eq. 4.
        gain: over the first row in dB and percent of SSIM, where the paper's text has it.
    """

    name: str
    parts: Collection[str] = ()
    gain: tuple[float, float] | None = None


# Experiments 1, 2, 7 and 8 are described in the text of section 3.2. The parts of 3 to 6 are our choice.
EXPERIMENTS = (
    Experiment("Exp1"),
    Experiment("Exp2", ("M-HAB", "X_Norm"), (0.014, 0.40)),
    Experiment("Exp3", ("ITP",)),
    Experiment("Exp4", ("IS", "ITP")),
    Experiment("Exp5", ("IS", "RTP")),
    Experiment("Exp6", ("ITP", "RTP")),
    Experiment("Exp7", ("IS", "ITP", "RTP"), (0.117, 2.48)),
    Experiment("Exp8", ("IS", "ITP", "RTP", "M-HAB", "X_Norm"), (0.1475, 2.70)),
    Experiment("Exp2_without_X_Norm", ("M-HAB",)),
    Experiment("Exp8_without_X_Norm", ("IS", "ITP", "RTP", "M-HAB")),
)


def run_ablation(plan: Plan, setup: Setup) -> int:
    """Train and test every experiment; `table3.md`, `.tex` and `.csv` in the folder of `setup`.

    Returns:
        0, or 3 where experiments failed.

    Raises:
        UserError: as `run_benchmark`, or `ours` of the plan is no MiHATP.
    """
    refuse_foreign_results(setup.folder, "table3.csv", RESULTS_MARK, "table3.md", "table3.tex")
    full = plan.mihatp("--ablation")
    methods = tuple(
        Method(experiment.name, variant(full, experiment), total_iter=full.total_iter) for experiment in EXPERIMENTS
    )
    plan = replace(plan, methods=methods, ours="Exp8", projected=False)
    outcome = train_all(plan, setup)
    scores = outcome.plain.scores
    first = EXPERIMENTS[0].name
    patients = find_patients(plan.test_sets(), next(iter(scores.values()))[0]["psnr"])
    facts = facts_of_methods(plan, outcome, setup.folder, costs={})
    results = compare(scores, plan.ours, first if first in scores else None, patients=patients, facts=facts)
    note = budget_note(plan, outcome.failures.values())
    note += f" {comparison.method_note(patients)}"
    tables = [table3(results, title=f"{plan.name}: ablation x{plan.scale}", note=note)]
    write_results(results, setup.folder / "table3.csv")
    table.write(tables, setup.folder / "table3")
    print(table.markdown(tables))
    return 3 if outcome.failures else 0


def variant(full: Method, experiment: Experiment) -> Options:
    """MiHATP's options with the parts of one experiment."""
    options = full.trained_options()
    train, network = options.section("train"), options.section("network_g")
    if "M-HAB" in experiment.parts:
        network["norm_residual"] = "X_Norm" in experiment.parts
    else:
        shared = {key: value for key, value in network.items() if key not in (*_M_HAB, "alpha")}
        options.values["network_g"] = {**shared, "type": "HAT", "conv_scale": network.get("alpha", 0.01)}
    if {"M-HAB", "RTP"} - set(experiment.parts):
        options.values.pop("network_c", None)  # the second branch has the network of the first one, or there is none
    if "RTP" not in experiment.parts:
        train["reversible_opt"] = None
    if "ITP" not in experiment.parts:
        train["irreversible_opt"] = None
    if not {"RTP", "ITP"} & set(experiment.parts):
        train["contrastive_opt"] = None
    elif train.get("contrastive_opt"):
        train["contrastive_opt"]["image_space"] = "IS" in experiment.parts
    return options


def table3(results: Sequence[MethodResult], *, title: str, note: str) -> table.Table:
    """Check marks, quality, gains over the first experiment, and the paper's gains."""
    by_name = {result.method: result for result in results}
    base = by_name.get(EXPERIMENTS[0].name)
    top = {name: max(result.means[name][0] for result in results) for name in MAIN_METRICS}
    rows, best = [], set()
    for experiment in EXPERIMENTS:
        result = by_name.get(experiment.name)
        if result is None:
            continue
        cells = [experiment.name.replace("_", " "), *("✓" if part in experiment.parts else "" for part in PARTS)]
        for row in MAIN_ROWS:
            if result.means[row.name][0] == top[row.name]:
                best.add((len(rows), len(cells)))
            cells.append(mean_and_sd(result.means[row.name], row.format))
        cells += _gains(result, base)
        gain = experiment.gain
        cells.append(f"{gain[0]:+g} dB, {gain[1]:+.2f} %" if gain else "")
        rows.append(cells)
    heads = ["experiment", *PARTS, *(row.head for row in MAIN_ROWS)]
    heads += ["Δ PSNR (dB)", "Δ SSIM", "Δ PSNR by patient, 95 % interval", "p (Holm)", "paper (COAD, x4)"]
    note += " Δ and p against Exp1."
    return table.Table(title, heads, rows, frozenset(best), note)


def _gains(result: MethodResult, base: MethodResult | None) -> list[str]:
    """Δ PSNR, Δ SSIM, interval and p against the first experiment; blank for that experiment itself."""
    if base is None or result is base:
        return [""] * 4
    psnr, ssim = (result.means[name][0] for name in MAIN_METRICS)
    psnr_base, ssim_base = (base.means[name][0] for name in MAIN_METRICS)
    difference = result.over_baseline
    certainty = [comparison.interval(difference), p_value(difference.p_holm if difference else None)]
    return [f"{psnr - psnr_base:+.3f}", f"{100 * (ssim / ssim_base - 1):+.2f} %", *certainty]
