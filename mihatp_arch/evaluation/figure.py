"""The side-by-side picture (as the paper's Fig. 2): one patch, all methods, and a magnified crop of each."""

from collections.abc import Mapping
from pathlib import Path

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from mihatp_arch.evaluation.scores import Image


def busiest_crop(gt: Image, width: int) -> tuple[int, int]:
    """Top left (y, x) of the width×width crop with the greatest variance of brightness, on a grid of half crops."""
    step = max(width // 2, 1)
    grey = gt.mean(-1)
    tops = range(0, gt.shape[0] - width + 1, step)
    lefts = range(0, gt.shape[1] - width + 1, step)
    return max(((y, x) for y in tops for x in lefts), key=lambda at: grey[at[0] :, at[1] :][:width, :width].var())


def side_by_side(images: Mapping[str, Image], captions: Mapping[str, str], path: Path, *, crop: int = 64) -> None:
    """Save a PNG: top row the images, bottom row the same crop of each, chosen on the one named `HR`.

    Args:
        images: title -> HxWx3 BGR; smaller ones (LR) are shown with their pixels enlarged.
        captions: title -> a line below the title.
        path: of the PNG.
        crop: width of the crop in HR pixels.
    """
    height = images["HR"].shape[0]
    crop = min(crop, *images["HR"].shape[:2])
    y, x = busiest_crop(images["HR"], crop)
    with mpl.rc_context({"font.size": 9}):
        figure = Figure(figsize=(2.1 * len(images), 4.9), layout="constrained")
        axes = figure.subplots(2, len(images))
        for column, (title, image) in zip(axes.T, images.items(), strict=True):
            factor = height // image.shape[0]
            full = np.kron(image, np.ones((factor, factor, 1), np.uint8))[..., ::-1]
            column[0].imshow(full)
            column[0].add_patch(Rectangle((x, y), crop, crop, fill=False, edgecolor="yellow", linewidth=1.2))
            column[0].set_title(f"{title}\n{captions.get(title, '')}")
            column[1].imshow(full[y : y + crop, x : x + crop], interpolation="nearest")
        for axis in axes.flat:
            axis.set_axis_off()
        figure.savefig(path, dpi=150)
