"""Plots of numbers: quality against cost, and Figure 3 of the paper."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import matplotlib as mpl
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine

from mihatp_arch.evaluation.results.statistics import MethodResult


def quality_against_cost(results: Sequence[MethodResult], path: Path, *, baseline: str | None) -> None:
    """Save a PNG: PSNR over GFLOPs and over milliseconds. A network is a point, another method a dashed line.

    Args:
        results: of all methods.
        path: of the PNG.
        baseline: the others are shown by their paired difference to this method, with its 95 % interval over patients;
            None, or the only method: the mean PSNR is shown.
    """
    paired = any(result.over_baseline is not None for result in results)
    with mpl.rc_context({"font.size": 9}):
        figure = Figure(figsize=(9, 3.8), layout="constrained")
        axes = figure.subplots(1, 2, sharey=True)
        for axis, attribute, unit in zip(axes, ("gflops", "milliseconds"), ("GFLOPs", "ms"), strict=True):
            for result in results:
                height, bars = _height(result) if paired else (result.means["psnr"][0], None)
                if result.facts.cost is None:
                    axis.axhline(height, linestyle="--", linewidth=1, color="grey")
                    axis.annotate(result.method, (0.01, height), xycoords=("axes fraction", "data"), va="bottom")
                    continue
                at = (getattr(result.facts.cost, attribute), height)
                axis.errorbar(*at, yerr=bars, marker="o", capsize=2, linewidth=0.8)
                axis.annotate(result.method, at, xytext=(5, 4), textcoords="offset points")
            if paired:
                axis.axhline(0, linewidth=0.8, color="black")
            axis.set_xscale("log")
            axis.margins(x=0.25)
            axis.set_xlabel(f"{unit} for a patch")
            axis.grid(visible=True, alpha=0.3)
        text = f"PSNR minus that of {baseline} (dB)\nmean over patients, 95 % interval" if paired else "PSNR (dB)"
        axes[0].set_ylabel(text)
        figure.savefig(path, dpi=150)


def _height(result: MethodResult) -> tuple[float, list[list[float]] | None]:
    """The difference to the baseline, 0 for the baseline; and its distances to the limits of its interval."""
    difference = result.over_baseline
    if difference is None:
        return 0.0, None
    if difference.interval is None:
        return difference.mean, None
    low, high = difference.interval
    return difference.mean, [[difference.mean - low], [high - difference.mean]]


def sweep(
    curves: Mapping[str, Sequence[tuple[float, float, float]]], path: Path, *, chosen: Mapping[str, float]
) -> None:
    """Save a PNG with a panel for each hyper-parameter.

    Args:
        curves: name -> (value, PSNR, SSIM), in any order.
        path: of the PNG.
        chosen: name -> the value in the option file; a dotted line stands there.
    """
    with mpl.rc_context({"font.size": 9}):
        figure = Figure(figsize=(4.4 * len(curves), 3.4), layout=ConstrainedLayoutEngine(wspace=0.08))
        for axis, (name, points) in zip(figure.subplots(1, len(curves), squeeze=False)[0], curves.items(), strict=True):
            values, psnr, ssim = zip(*sorted(points), strict=True)
            right = axis.twinx()
            axis.plot(range(len(values)), psnr, marker="o", color="C0")
            right.plot(range(len(values)), ssim, marker="s", linestyle="--", color="C1")
            axis.set_xticks(range(len(values)), [f"{value:g}" for value in values])
            if chosen.get(name) in values:
                axis.axvline(values.index(chosen[name]), color="grey", linestyle=":")
            axis.set_xlabel(name)
            axis.set_ylabel("PSNR (dB)", color="C0")
            right.set_ylabel("SSIM", color="C1")
            axis.grid(visible=True, alpha=0.3)
        figure.savefig(path, dpi=150)
