"""The options of `mihatp downstream`: a YAML file, and arguments that replace its values."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from datasets_prep.common.downscale import KERNELS
from datasets_prep.common.text import did_you_mean, with_hint
from mihatp_arch.config import yaml_files
from mihatp_arch.errors import UserError
from mihatp_arch.nuclei.detection import RADIUS

SCALES = (2, 3, 4, 8)


@dataclass(frozen=True)
class DownstreamOptions:
    """What Table 2 is made of.

    Attributes:
        data: folder with `images` and `labels` (`mihatp nuclei prepare`), one split.
        segmenter: a HoVer-Net: bundled name, experiment or file.
        scales: of the table.
        weights: networks for super-resolution, as `mihatp upscale --weights` takes them; each has one scale.
        benchmarks: output folders of `mihatp benchmark`; every network in them is a row.
        kernel: how LR is made for bicubic, and for networks that do not say their kernel.
        window: side of the segmenter's windows, px; None: that of the official code.
        radius: largest distance between the centres of a pair in F_d, ACC and F_c, px.

    Raises:
        UserError: a value is out of range.
    """

    data: Path
    segmenter: str = "nuclei-light"
    scales: tuple[int, ...] = (2, 4, 8)
    weights: tuple[str, ...] = ()
    benchmarks: tuple[Path, ...] = ()
    kernel: str = "area"
    window: int | None = None
    radius: float = RADIUS

    def __post_init__(self) -> None:
        if len(set(self.scales)) < len(self.scales):
            raise UserError(f"scales: {list(self.scales)}: one is given twice")
        if not self.scales or not set(self.scales) <= set(SCALES):
            raise UserError(f"scales: {list(self.scales)}: choose from {', '.join(map(str, SCALES))}")
        if self.kernel not in KERNELS:
            raise UserError(f"kernel: {self.kernel}: choose from {', '.join(KERNELS)}")
        if not 0 < self.radius < 1000:
            raise UserError(f"radius: {self.radius:g}: give px, such as 12")


_LISTS = {"scales": int, "weights": str, "benchmarks": Path}
_TYPES = {"data": Path, "segmenter": str, "kernel": str, "window": int, "radius": float}


def read_options(file: Path | None, given: Mapping[str, Any]) -> DownstreamOptions:
    """The options of a file, with the `given` ones in their place; None is not given.

    Raises:
        UserError: the file cannot be read, an option is unknown or wrong, or there are no data.
    """
    stated: dict[str, Any] = {}
    if file is not None:
        read = yaml_files.read(file)
        known = [option.name for option in fields(DownstreamOptions)]
        unknown = next((key for key in read if key not in known), None)
        if unknown is not None:
            raise UserError(with_hint(f"{file}: there is no option '{unknown}'", did_you_mean(unknown, known)))
        stated = {key: _typed(f"{file}: {key}", key, value) for key, value in read.items() if value is not None}
    stated |= {key: _typed(key, key, value) for key, value in given.items() if value is not None}
    if "data" not in stated:
        raise UserError("give --data: a folder with images and labels, as `mihatp nuclei prepare` writes it")
    return DownstreamOptions(**stated)


def _typed(where: str, key: str, value: Any) -> Any:
    try:
        if key in _LISTS:
            return tuple(_LISTS[key](item) for item in (value if isinstance(value, (list, tuple)) else [value]))
        return _TYPES[key](value)
    except (TypeError, ValueError) as error:
        raise UserError(f"{where}: {value!r} cannot be read ({error})") from error
