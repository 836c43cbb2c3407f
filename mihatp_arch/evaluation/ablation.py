"""`mihatp benchmark --ablation`: Table 3 of the paper, MiHATP without some of its parts."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

from mihatp_arch.config.read import Options
from mihatp_arch.evaluation.benchmark import budget_note
from mihatp_arch.evaluation.report import table
from mihatp_arch.evaluation.results import statistics as compare
from mihatp_arch.evaluation.run.benchmark_file import Method, Plan, copied
from mihatp_arch.evaluation.run.execute import Place, train_all

# What MiHATP's blocks have and HAT's have not; HAT calls alpha conv_scale.
_M_HAB = ("beta", "norm_residual", "sample_grid", "num_groups", "offset_range", "position")


PARTS = ("IS", "ITP", "RTP", "M-HAB", "X_Norm")


@dataclass(frozen=True)
class Experiment:
    """A line of Table 3.

    Attributes:
        name: of the line.
        parts: of MiHATP that it has: IS, layer 0 of the contrastive loss; ITP, the negatives; RTP, the positives and
            the branch that makes them; M-HAB, blocks with deformable attention (else the network is HAT); X_Norm, that
            term of Eq. 4.
        gain: over the first line in dB and percent of SSIM, where the paper's text has it.
    """

    name: str
    parts: Collection[str] = ()
    gain: tuple[float, float] | None = None


# Experiments 1, 2, 7 and 8 are described in the text of section 3.2; which parts 3 to 6 have is our choice.
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


def run_ablation(plan: Plan, place: Place) -> int:
    """Train and test every experiment; `table3.md`, `.tex` and `.csv` in the folder of `place`.

    Returns:
        0, or 3 where experiments failed.

    Raises:
        UserError: as `run_benchmark`, or the plan has no MiHATP to take parts from.
    """
    full = plan.mihatp("--ablation")
    methods = tuple(Method(one.name, variant(full, one)) for one in EXPERIMENTS)
    plan = replace(plan, methods=methods, ours="Exp8")
    results = train_all(plan, place)
    lines = compare.lines(
        results.scores,
        plan.ours,
        EXPERIMENTS[0].name if EXPERIMENTS[0].name in results.scores else None,
        published={},
        costs={},
        iterations={run.method: run.total for run in results.runs},
        bounds={},
    )
    tables = [table3(lines, title=f"{plan.name}: ablation x{plan.scale}", note=budget_note(plan, results.failures))]
    table.write(tables, place.folder / "table3")
    table.write_csv(lines, place.folder / "table3.csv")
    print(table.markdown(tables))
    return 3 if results.failures else 0


def variant(full: Method, experiment: Experiment) -> Options:
    """MiHATP's options with the parts of one experiment."""
    assert full.options is not None
    options = copied(full.options)
    train, network = options.section("train"), options.section("network_g")
    if "M-HAB" in experiment.parts:
        network["norm_residual"] = "X_Norm" in experiment.parts
    else:
        kept = {key: value for key, value in network.items() if key not in (*_M_HAB, "alpha")}
        options.values["network_g"] = {**kept, "type": "HAT", "conv_scale": network.get("alpha", 0.01)}
    if "RTP" not in experiment.parts:
        train["reversible_opt"] = None
    if "ITP" not in experiment.parts:
        train["irreversible_opt"] = None
    if not {"RTP", "ITP"} & set(experiment.parts):
        train["contrastive_opt"] = None
    elif train.get("contrastive_opt"):
        train["contrastive_opt"]["image_space"] = "IS" in experiment.parts
    return options


def table3(lines: Sequence[compare.Line], *, title: str, note: str) -> table.Table:
    """Check marks, quality, gains over the first experiment, and the paper's gains."""
    by_name: Mapping[str, compare.Line] = {line.method: line for line in lines}
    base = by_name.get(EXPERIMENTS[0].name)
    rows, best = [], set()
    top = {name: max(line.means[name][0] for line in lines) for name in compare.QUALITY}
    for one in EXPERIMENTS:
        line = by_name.get(one.name)
        if line is None:
            continue
        row = [one.name.replace("_", " "), *("✓" if part in one.parts else "" for part in PARTS)]
        for name in compare.QUALITY:
            if line.means[name][0] == top[name]:
                best.add((len(rows), len(row)))
            row.append(table.mean_and_sd(line.means[name], table.METRICS[name][1]))
        row += ["", "", ""]
        if base is not None and line is not base:
            psnr, ssim = (line.means[name][0] for name in compare.QUALITY)
            psnr_base, ssim_base = (base.means[name][0] for name in compare.QUALITY)
            row[-3:] = [f"{psnr - psnr_base:+.3f}", f"{100 * (ssim / ssim_base - 1):+.2f} %", table.p_value(line.p)]
        row += [f"{one.gain[0]:+g} dB, {one.gain[1]:+.2f} %" if one.gain else ""]
        rows.append(row)
    heads = ["experiment", *PARTS, *(table.METRICS[name][0] for name in compare.QUALITY)]
    heads += ["Δ PSNR (dB)", "Δ SSIM", "p", "paper (COAD, x4)"]
    note += " Δ and p (Wilcoxon's signed-rank test on PSNR, image by image) against Exp1."
    return table.Table(title, heads, rows, frozenset(best), note)
