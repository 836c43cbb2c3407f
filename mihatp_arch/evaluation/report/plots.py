"""Plots of numbers: quality against cost, and Figure 3 of the paper."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import matplotlib as mpl
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine

from mihatp_arch.evaluation.results.statistics import MethodResult


def quality_against_cost(results: Sequence[MethodResult], path: Path) -> None:
    """Save a PNG: PSNR over GFLOPs and over milliseconds. A network is a point, another method a dashed line."""
    with mpl.rc_context({"font.size": 9}):
        figure = Figure(figsize=(9, 3.8), layout="constrained")
        axes = figure.subplots(1, 2, sharey=True)
        for axis, attribute, unit in zip(axes, ("gflops", "milliseconds"), ("GFLOPs", "ms"), strict=True):
            for result in results:
                psnr, sd = result.means["psnr"]
                if result.facts.cost is None:
                    axis.axhline(psnr, linestyle="--", linewidth=1, color="grey")
                    axis.annotate(result.method, (0.01, psnr), xycoords=("axes fraction", "data"), va="bottom")
                    continue
                axis.errorbar(
                    getattr(result.facts.cost, attribute), psnr, yerr=sd, marker="o", capsize=2, linewidth=0.8
                )
                axis.annotate(
                    result.method,
                    (getattr(result.facts.cost, attribute), psnr),
                    xytext=(5, 4),
                    textcoords="offset points",
                )
            axis.set_xscale("log")
            axis.margins(x=0.25)
            axis.set_xlabel(f"{unit} for a patch")
            axis.grid(visible=True, alpha=0.3)
        axes[0].set_ylabel("PSNR (dB), mean ± sd over the test sets")
        figure.savefig(path, dpi=150)


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
