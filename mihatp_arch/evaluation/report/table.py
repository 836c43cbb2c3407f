"""Tables of results, in words: as Markdown, LaTeX and CSV."""

import csv
import re
from collections.abc import Callable, Sequence, Set
from dataclasses import astuple, dataclass
from math import isnan
from pathlib import Path

from mihatp_arch.evaluation.results.statistics import Line

Cell = str | float | int | None


@dataclass(frozen=True)
class Table:
    """A table as it is printed.

    Attributes:
        title: above it.
        columns: their heads.
        rows: their cells.
        best: (row, column) of the cells that are set bold.
        note: below it.
    """

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    best: Set[tuple[int, int]] = frozenset()
    note: str = ""


# Metric -> its head, its format, and which end is good.
METRICS: dict[str, tuple[str, str, Callable[[Sequence[float]], float] | None]] = {
    "psnr": ("PSNR (dB)", ".2f", max),
    "ssim": ("SSIM", ".4f", max),
    "lpips": ("LPIPS", ".4f", min),
    "hed_error": ("HED error (OD)", ".4f", min),
    "hematoxylin_ratio": ("hematoxylin p99 ratio", ".3f", lambda values: min(values, key=lambda one: abs(one - 1))),
    "lr_consistency": ("LR consistency (grey levels)", ".3f", min),
}
STRUCTURE = ("hed_error", "hematoxylin_ratio", "lr_consistency")


def mean_and_sd(value: tuple[float, float], form: str) -> str:
    """`27.31 ± 0.42`."""
    return "" if isnan(value[0]) else f"{value[0]:{form}} ± {value[1]:{form}}"


def quality(lines: Sequence[Line], *, title: str, note: str = "") -> Table:
    """Table 1 of the paper: quality, changes in percent, the paper's numbers where there are any.

    A first stage's reconstruction of HR stands beside the method that works in it: more than that it cannot reach.
    """
    metrics = [name for name in METRICS if name in lines[0].means and name not in STRUCTURE]
    columns = ["method", *(METRICS[name][0] for name in metrics), "Δ PSNR", "Δ SSIM"]
    published = any(line.published for line in lines)
    columns += ["paper: PSNR", "paper: SSIM"] if published else []
    bounded = any(line.bound for line in lines)
    columns += ["first stage: PSNR"] if bounded else []
    seeds = any(line.over_seeds for line in lines)
    columns += ["sd over seeds (dB)"] if seeds else []
    rows = []
    for line in lines:
        row = [line.method, *(mean_and_sd(line.means[name], METRICS[name][1]) for name in metrics)]
        row += [f"{line.gain[name]:+.2f} %" if name in line.gain else "" for name in ("psnr", "ssim")]
        if published:
            row += [f"{line.published.psnr:.2f}", f"{line.published.ssim:.4f}"] if line.published else ["", ""]
        if bounded:
            row.append(mean_and_sd(line.bound, METRICS["psnr"][1]) if line.bound else "")
        if seeds:
            row.append(f"{line.over_seeds['psnr']:.2f}" if line.over_seeds else "")
        rows.append(row)
    return Table(title, columns, rows, _best(lines, metrics), note)


def significance(lines: Sequence[Line], baseline: str | None) -> Table:
    """Every method against the best baseline, image by image."""
    rows = [
        [line.method, f"{line.difference:+.3f}", p_value(line.p), f"{100 * line.won:.0f} %"]
        for line in lines
        if line.difference is not None and line.won is not None
    ]
    note = "Wilcoxon's signed-rank test, two-sided. Patches of one patient resemble each other: p is then too small."
    heads = ["method", "mean difference of PSNR (dB)", "p", "images that are better"]
    return Table(f"Image by image against {baseline}, the best baseline", heads, rows, note=note)


def verdict(lines: Sequence[Line], ours: str, baseline: str | None) -> list[str]:
    """What a reader asks first: which method is best, and how `ours` stands against the best baseline."""
    tops = []
    for name in ("psnr", "ssim"):
        sound = [line for line in lines if not isnan(line.means[name][0])]
        if sound:
            top = max(sound, key=lambda line: line.means[name][0])
            head, form, _ = METRICS[name]
            tops.append(f"highest {head.split()[0]}: {top.method} ({mean_and_sd(top.means[name], form)})")
    found = [f"The {' and the '.join(tops)}."] if tops else []
    for line in lines:
        if line.method == ours and line.difference is not None and line.won is not None:
            p = p_value(line.p) or "not defined"
            found.append(
                f"{ours} against {baseline}, the best baseline: {line.difference:+.3f} dB PSNR image by image, "
                f"better on {100 * line.won:.0f} % of the images (p {p})."
            )
    return found


def structure(lines: Sequence[Line]) -> Table:
    """Stain and structure: what PSNR does not tell."""
    metrics = [name for name in STRUCTURE if name in lines[0].means]
    rows = [[line.method, *(mean_and_sd(line.means[name], METRICS[name][1]) for name in metrics)] for line in lines]
    note = "The ratio is best at 1; the consistency is that of the area-reduced images."
    return Table(
        "Stain and structure", ["method", *(METRICS[name][0] for name in metrics)], rows, _best(lines, metrics), note
    )


def cost(lines: Sequence[Line], *, patch: int, device: str) -> Table:
    """What a patch costs."""
    rows = []
    for line in lines:
        if line.cost is not None:
            count = f"{line.cost.parameters:,}".replace(",", " ")
            count += f" + {line.cost.frozen:,}".replace(",", " ") if line.cost.frozen else ""
            numbers = [
                f"{line.cost.gflops:.3g}",
                f"{line.cost.milliseconds:.1f}",
                f"{line.cost.mebibytes:.1f}",
            ]
            rows.append([line.method, count, *numbers, f"{line.iterations:,}".replace(",", " ")])
    heads = ["method", "parameters", "GFLOPs", "ms", "peak MiB", "iterations trained"]
    note = f"One {patch}×{patch} patch on {device}, all methods in one run; a diffusion model takes all its steps."
    note += (
        " Parameters after + are those of a first stage." if any(one.cost and one.cost.frozen for one in lines) else ""
    )
    return Table("Cost of a patch", heads, rows, note=note)


def _best(lines: Sequence[Line], metrics: Sequence[str]) -> Set[tuple[int, int]]:
    best = set()
    for column, name in enumerate(metrics, 1):
        values = [line.means[name][0] for line in lines]
        sound = [value for value in values if not isnan(value)]
        choose = METRICS[name][2]
        if sound and choose is not None and len(lines) > 1:
            best |= {(row, column) for row, value in enumerate(values) if value == choose(sound)}
    return frozenset(best)


def p_value(value: float | None) -> str:
    """Of a test, as a table shows it."""
    if value is None or isnan(value):
        return ""
    return "< 0.0001" if value < 1e-4 else f"{value:.4f}"


def write(tables: Sequence[Table], path: Path) -> None:
    """Write the tables as Markdown and LaTeX: `path` with `.md` and `.tex`."""
    path.with_suffix(".md").write_text(markdown(tables), encoding="utf-8")
    path.with_suffix(".tex").write_text(latex(tables), encoding="utf-8")


def markdown(tables: Sequence[Table]) -> str:
    """The tables below each other."""
    return "\n".join(_markdown(table) for table in tables)


def _markdown(table: Table) -> str:
    def row(cells: Sequence[str]) -> str:
        return f"| {' | '.join(cells)} |"

    body = [
        row([f"**{cell}**" if (at, column) in table.best and cell else cell for column, cell in enumerate(cells)])
        for at, cells in enumerate(table.rows)
    ]
    lines = [f"### {table.title}", "", row(table.columns), "|" + "---|" * len(table.columns), *body]
    return "\n".join([*lines, *(["", table.note] if table.note else []), ""])


_TEX = {"&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{", "}": r"\}", "~": r"\textasciitilde{}"}
_TEX |= {"^": r"\textasciicircum{}", "\\": r"\textbackslash{}", "±": r"$\pm$", "Δ": r"$\Delta$", "×": r"$\times$"}
_TEX |= {"<": "$<$", ">": "$>$", "✓": r"\checkmark{}", "τ": r"$\tau$", "β": r"$\beta$", "λ": r"$\lambda$"}


def latex(tables: Sequence[Table]) -> str:
    """The tables for LaTeX with booktabs (and amssymb for check marks)."""
    return "\n".join(_latex(table) for table in tables)


def _latex(table: Table) -> str:
    def text(cell: str) -> str:
        return re.sub(r"[&%$#_{}~^\\±Δ×<>✓τβλ]", lambda found: _TEX[found[0]], cell)

    def row(cells: Sequence[str]) -> str:
        return " & ".join(cells) + r" \\"

    body = [
        row(
            [
                rf"\textbf{{{text(one)}}}" if (at, column) in table.best else text(one)
                for column, one in enumerate(cells)
            ]
        )
        for at, cells in enumerate(table.rows)
    ]
    return "\n".join(
        [
            r"\begin{table}",
            rf"\caption{{{text(table.title)}. {text(table.note)}}}",
            rf"\begin{{tabular}}{{l{'r' * (len(table.columns) - 1)}}}",
            r"\toprule",
            row([text(head) for head in table.columns]),
            r"\midrule",
            *body,
            r"\bottomrule",
            r"\end{tabular}",
            r"\end{table}",
            "",
        ]
    )


def write_csv(lines: Sequence[Line], path: Path) -> None:
    """All numbers of all lines, in full."""
    metrics = [name for name in METRICS if name in lines[0].means]
    heads = ["method", *(f"{name}{suffix}" for name in metrics for suffix in ("", "_sd", "_sd_over_seeds"))]
    heads += ["psnr_gain_percent", "ssim_gain_percent", "psnr_difference", "p", "share_better", "paper_psnr"]
    heads += ["paper_ssim", "first_stage_psnr", "parameters", "frozen_parameters", "gflops", "ms_per_patch", "peak_mib"]
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow([*heads, "iterations"])
        for line in lines:
            numbers: list[Cell] = [line.method]
            for name in metrics:
                numbers += [*line.means[name], line.over_seeds.get(name)]
            numbers += [line.gain.get("psnr"), line.gain.get("ssim"), line.difference, line.p, line.won]
            numbers += [*(line.published or (None, None)), line.bound[0] if line.bound else None]
            numbers += astuple(line.cost) if line.cost else [None] * 5
            writer.writerow([*numbers, line.iterations])
