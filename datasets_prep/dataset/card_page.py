"""The page of the data card: lengths in inches, and axes and text at places on it."""

from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

WIDTH, MARGIN, CAPTION = 14.0, 0.5, 0.45


class Page:
    """Puts axes and text on a figure, by their upper left corner in inches from the upper left corner of the page."""

    def __init__(self, figure: Figure, height: float) -> None:
        self._figure = figure
        self._height = height

    def axes(self, left: float, top: float, width: float, height: float) -> Axes:
        bottom = self._height - top - height
        box = (left / WIDTH, bottom / self._height, width / WIDTH, height / self._height)
        return self._figure.add_axes(box)

    def text(self, left: float, baseline: float, text: str, **style: Any) -> None:
        self._figure.text(left / WIDTH, 1 - baseline / self._height, text, parse_math=False, **style)


def short(text: str, longest: int) -> str:
    """The first and last part of a long text, because the names of slides often begin alike."""
    return text if len(text) <= longest else f"{text[: longest // 2]}…{text[-(longest - longest // 2 - 1) :]}"
