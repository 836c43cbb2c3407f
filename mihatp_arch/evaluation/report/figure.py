"""Figure 2 of the paper: the same crops of the same patches, as every method shows them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from textwrap import fill

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from numpy.typing import NDArray

from mihatp_arch.evaluation.results.examples import error_on_tissue
from mihatp_arch.metrics.images import BGRImage


@dataclass(frozen=True)
class Patch:
    """One patch as every method shows it.

    Attributes:
        title: beside it.
        images: label -> `[H, W, 3]`. The last one is HR; smaller ones (LR) are shown with their pixels enlarged.
        captions: label -> a line below the label.
    """

    title: str
    images: Mapping[str, BGRImage]
    captions: Mapping[str, str]


def worst_crop(error: NDArray[np.float64], width: int) -> tuple[int, int]:
    """Top left (y, x) of the width×width crop with the greatest error, on a grid of half crops.

    Args:
        error: of each pixel, `[H, W]`.
        width: of the crop.
    """
    step = max(width // 2, 1)
    tops = range(0, error.shape[0] - width + 1, step)
    lefts = range(0, error.shape[1] - width + 1, step)
    return max(((y, x) for y in tops for x in lefts), key=lambda at: error[at[0] :, at[1] :][:width, :width].sum())


def draw_crops(patches: Sequence[Patch], path: Path, *, crop: int = 64) -> None:
    """Save a PNG with a row for each patch: the whole HR patch, then one crop of all images.

    It is the crop in which the restored images together have the greatest error on tissue.

    Args:
        patches: all with the same labels.
        path: of the PNG.
        crop: width of the crop in HR pixels.
    """
    labels = list(patches[0].images)
    with mpl.rc_context({"font.size": 9}):
        figure = Figure(figsize=(2.0 * (len(labels) + 1), 2.45 * len(patches)), layout="constrained")
        axes = figure.subplots(len(patches), len(labels) + 1, squeeze=False)
        for row, patch in zip(axes, patches, strict=True):
            gt = patch.images[labels[-1]]
            width = min(crop, *gt.shape[:2])
            restored = [image for label, image in patch.images.items() if label != labels[-1]]
            same_size = [image for image in restored if image.shape == gt.shape]
            y, x = worst_crop(error_on_tissue(same_size, gt), width)
            row[0].imshow(gt[..., ::-1])
            row[0].add_patch(Rectangle((x, y), width, width, fill=False, edgecolor="yellow", linewidth=1.2))
            row[0].set_title(fill(patch.title, 30), fontsize=7)
            for axis, label in zip(row[1:], labels, strict=True):
                image = enlarged(patch.images[label], gt.shape[0])[y : y + width, x : x + width]
                axis.imshow(image[..., ::-1], interpolation="nearest")
                axis.set_title(f"{label}\n{patch.captions.get(label, '')}")
        for axis in axes.flat:
            axis.set_axis_off()
        figure.savefig(path, dpi=150)


def enlarged(image: BGRImage, height: int) -> BGRImage:
    """An image with its pixels repeated up to `height`."""
    factor = height // image.shape[0]
    return np.kron(image, np.ones((factor, factor, 1), np.uint8))
