"""The description of a metric: what an option file says to compute it, and how a results table shows it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal


@dataclass(frozen=True)
class MetricRow:
    """One metric in option files and results tables. It stands in the metric's own file.

    Attributes:
        name: its key below `val: metrics` in an option file, and its column in CSV files.
        function: its name in BasicSR's metric registry.
        label: its name in a table.
        digits: digits after the decimal point.
        unit: of its values; empty for a number without a unit.
        better: which values are better: higher ones, lower ones, or the ones nearer to 1.
        group: `quality` for the table of image quality, `structure` for the table of stain and structure.
        extra_options: options of the function besides `crop_border`, `scale` and `better`.
        needs_scale: whether the function takes the option `scale`.
        available: whether the metric can be computed on this machine.
    """

    name: str
    function: str
    label: str
    digits: int
    unit: str = ""
    better: Literal["higher", "lower", "nearer to 1"] = "higher"
    group: Literal["quality", "structure"] = "quality"
    extra_options: Mapping[str, Any] = field(default_factory=dict)
    needs_scale: bool = False
    available: Callable[[], bool] = lambda: True

    @property
    def head(self) -> str:
        """The head of its column: `PSNR (dB)`."""
        return f"{self.label} ({self.unit})" if self.unit else self.label

    @property
    def format(self) -> str:
        """The format of its numbers: `.2f`."""
        return f".{self.digits}f"

    def best(self, values: Sequence[float]) -> float:
        """The best one of the values."""
        if self.better == "nearer to 1":
            return min(values, key=lambda value: abs(value - 1))
        return max(values) if self.better == "higher" else min(values)

    def options(self, scale: int) -> dict[str, Any]:
        """Its entry below `val: metrics`: RGB, no border cropped. BasicSR has to be told where lower is better."""
        scale_option = {"scale": scale} if self.needs_scale else {}
        better = {"better": "lower"} if self.better == "lower" else {}
        return {"type": self.function, "crop_border": 0, **self.extra_options, **scale_option, **better}
