"""Bland-Altman plots: how the features of nuclei in SR agree with those in HR."""

from collections.abc import Sequence
from pathlib import Path

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure

from mihatp_arch.evaluation.nuclei.fidelity import Comparison, Names, agreement, matched
from mihatp_arch.inference.nuclei.morphometry import FEATURES

_BOX = {"facecolor": "white", "edgecolor": "none", "alpha": 0.7, "pad": 0.5}
_MOST_POINTS = 5000  # in a plot


def bland_altman(images: Sequence[Comparison], path: Path, *, title: str, names: Names) -> None:
    """Save a PNG with a panel for each feature: the difference over the mean of both, bias and limits of agreement."""
    hr, sr = matched(images)
    shown = np.unique(np.linspace(0, len(hr) - 1, min(_MOST_POINTS, len(hr))).astype(int))
    with mpl.rc_context({"font.size": 8}):
        figure = Figure(figsize=(9, 5), layout="constrained")
        figure.suptitle(f"{title}: {names.other} minus {names.reference}, {len(hr)} nuclei in both")
        for axis, (name, unit) in zip(figure.subplots(2, 3).flat, FEATURES.items(), strict=True):
            first, second = hr.features[name], sr.features[name]
            axis.plot((first + second)[shown] / 2, (second - first)[shown], ".", markersize=2, alpha=0.4)
            values = agreement(first, second)
            for height, style in ((values.bias, "-"), (values.low, "--"), (values.high, "--")):
                if np.isfinite(height):
                    axis.axhline(height, linestyle=style, linewidth=0.9, color="C3")
                    axis.annotate(
                        f"{height:+.3g}", (1, height), xycoords=("axes fraction", "data"), ha="right", bbox=_BOX
                    )
            axis.axhline(0, linewidth=0.6, color="black")
            axis.set_xlabel(f"mean {name}" + (f" ({unit})" if unit else ""))
            axis.set_ylabel("difference")
            axis.grid(visible=True, alpha=0.3)
        figure.savefig(path, dpi=150)
