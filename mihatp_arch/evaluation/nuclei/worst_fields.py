"""Pictures of the fields where most nuclei are lost or invented, HR and SR side by side."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from numpy.typing import NDArray

from mihatp_arch.evaluation.nuclei.fidelity import Comparison, Names
from mihatp_arch.inference.nuclei.morphometry import Nuclei
from mihatp_arch.metrics.images import RGBImage

SIDE = 40.0  # µm, of a field
_WORST = 6  # fields
_MATCHED, _LOST, _INVENTED = "white", "yellow", "cyan"

ReadField: TypeAlias = Callable[[str, float, float, float], tuple[RGBImage, RGBImage]]
"""Name of an image; x, y and side of a field in µm -> the field in HR and in SR, [h, w, 3] each, white outside."""


@dataclass(frozen=True)
class Field:
    """A square of an image.

    Attributes:
        image: the image.
        x, y: upper left corner, µm.
        wrong: number of lost and invented nuclei in it.
    """

    image: Comparison
    x: float
    y: float
    wrong: int


def worst_fields(images: Sequence[Comparison], *, count: int = _WORST) -> list[Field]:
    """The squares with most lost and invented nuclei, the worst first; no two of them overlap."""
    fields = [field for image in images for field in _worst_of(image, count)]
    return sorted(fields, key=lambda field: -field.wrong)[:count]


def _worst_of(image: Comparison, count: int) -> Iterator[Field]:
    """Yields the worst squares of an image; their corners lie on a grid of half squares."""
    step = SIDE / 2
    wrong = np.concatenate([image.hr.centres[image.match.only_first], image.sr.centres[image.match.only_second]])
    if not len(wrong):
        return
    cells = (wrong // step).astype(int)
    table = np.zeros(cells.max(axis=0) + 2, int)
    np.add.at(table, tuple(cells.T), 1)
    sums = table[:-1, :-1] + table[1:, :-1] + table[:-1, 1:] + table[1:, 1:]
    while count and sums.any():
        column, row = np.unravel_index(int(sums.argmax()), sums.shape)
        yield Field(image, float(column * step), float(row * step), int(sums[column, row]))
        sums[max(0, column - 1) : column + 2, max(0, row - 1) : row + 2] = 0
        count -= 1


def crop_of(rgb: RGBImage, *, mpp: float, x: float, y: float, side: float = SIDE) -> RGBImage:
    """A field of an image in memory, white outside of it; x, y and side in µm."""
    left, top, width = round(x / mpp), round(y / mpp), round(side / mpp)
    crop = np.full((width, width, 3), 255, np.uint8)
    inside = rgb[top : top + width, left : left + width]
    crop[: inside.shape[0], : inside.shape[1]] = inside
    return crop


def draw_worst(images: Sequence[Comparison], read: ReadField, path: Path, *, title: str, names: Names) -> bool:
    """Save a PNG of the worst fields, both images side by side, with the outlines of the nuclei.

    Args:
        images: all of them.
        read: reads the pixels of a field.
        path: of the PNG.
        title: above it.
        names: of the images.

    Returns:
        False where no nucleus is lost or invented: then there is no picture.
    """
    fields = worst_fields(images)
    if not fields:
        return False
    rows = -(-len(fields) // 2)
    with mpl.rc_context({"font.size": 8}):
        figure = Figure(figsize=(9, 2.6 * rows + 0.5), layout="constrained")
        figure.suptitle(f"{title}: {_LOST} nuclei are lost, {_INVENTED} ones invented, {_MATCHED} ones in both")
        axes = figure.subplots(rows, 4, squeeze=False).reshape(-1, 2)
        for axis in axes.flat:
            axis.set_axis_off()
        for row, field in zip(axes, fields, strict=False):
            pictures = read(field.image.name, field.x, field.y, SIDE)
            for axis, pixels, label in zip(row, pictures, (names.reference, names.other), strict=True):
                axis.imshow(pixels, extent=(field.x, field.x + SIDE, field.y + SIDE, field.y))
                _draw_outlines(axis, field, is_hr=axis is row[0])
                axis.set_title(f"{label}: {field.image.name[:28]}\nx {field.x:.0f}, y {field.y:.0f} µm", fontsize=7)
        figure.savefig(path, dpi=150)
    return True


def _draw_outlines(axis: Axes, field: Field, *, is_hr: bool) -> None:
    """Draw the nuclei of one image, and dashed ones at the places of those that only the other image has."""
    hr, sr, match = field.image.hr, field.image.sr, field.image.match
    both = (hr, match.first) if is_hr else (sr, match.second)
    own, other = ("solid", "dashed") if is_hr else ("dashed", "solid")
    for (nuclei, index), colour, style in (
        (both, _MATCHED, "solid"),
        ((hr, match.only_first), _LOST, own),
        ((sr, match.only_second), _INVENTED, other),
    ):
        rings = [np.concatenate([ring, ring[:1]]) for ring in _outlines_in(nuclei.chosen(index), field)]
        width = 0.6 if colour == _MATCHED else 1.3
        axis.add_collection(LineCollection(rings, colors=colour, linestyles=style, linewidths=width))
    axis.set_xlim(field.x, field.x + SIDE)
    axis.set_ylim(field.y + SIDE, field.y)


def _outlines_in(nuclei: Nuclei, field: Field) -> Iterator[NDArray[np.float32]]:
    """Yields the outlines of the nuclei in or near a field."""
    near = (np.abs(nuclei.centres - (field.x + SIDE / 2, field.y + SIDE / 2)) < SIDE).all(axis=1)
    yield from (nuclei.outlines[position] for position in np.flatnonzero(near).tolist())
