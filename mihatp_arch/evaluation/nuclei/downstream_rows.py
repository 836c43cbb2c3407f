"""The rows of Table 2: HR, bicubic interpolation, and the networks; each makes a picture of HR's size from HR."""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from datasets_prep.common.downscale import reduce_patch
from mihatp_arch.checkpoints import newest_network
from mihatp_arch.errors import UserError
from mihatp_arch.evaluation.nuclei.downstream_options import DownstreamOptions
from mihatp_arch.evaluation.results.scores import bicubic
from mihatp_arch.inference.load import load_network
from mihatp_arch.inference.upscale import Upscaler
from mihatp_arch.metrics.images import RGBImage

HR, BICUBIC = "HR", "bicubic"


@dataclass(frozen=True)
class DownstreamRow:
    """A row of Table 2.

    Attributes:
        method: its name.
        scale: 1 for HR.
        kernel: how its LR is made from HR; empty for HR.
        identity: what its pictures depend on besides HR, such as the hash of the weights.
        picture: HR -> the picture that is segmented, [H, W, 3] RGB both.
        benchmark: folder of the benchmark that trained the network; None: it is of no benchmark.
    """

    method: str
    scale: int
    kernel: str
    identity: str
    picture: Callable[[RGBImage], RGBImage]
    benchmark: Path | None = None

    @property
    def name(self) -> str:
        """Of its folder: `bicubic_x4`."""
        return self.method if self.scale == 1 else f"{self.method}_x{self.scale}"


def find_rows(options: DownstreamOptions, say: Callable[[str], object]) -> list[DownstreamRow]:
    """HR, then for each scale bicubic interpolation and the networks.

    Networks of a benchmark that make no SR, such as first stages, are left out with a line.

    Raises:
        UserError: weights cannot be loaded, two rows have one name, or no row has a wanted scale.
    """
    networks = [_network_row(source, options.kernel) for source in options.weights]
    for folder in options.benchmarks:
        experiments = list(_experiments(folder))
        if not experiments:
            raise UserError(f"benchmarks: '{folder}' has no trained network in experiments/")
        for experiment in experiments:
            try:
                networks.append(replace(_network_row(str(experiment), options.kernel), benchmark=folder))
            except UserError as error:
                say(f"left out: {error}")
    wrong = next((row for row in networks[: len(options.weights)] if row.scale not in options.scales), None)
    if wrong is not None:
        raise UserError(f"weights: {wrong.method} enlarges {wrong.scale} times, which is not one of the scales")
    for row in networks:
        if row.scale not in options.scales:
            say(f"left out: {row.method} enlarges {row.scale} times, which is not one of the scales")
    rows = [DownstreamRow(HR, 1, "", HR, lambda hr: hr)]
    for scale in options.scales:
        rows += [_bicubic_row(scale, options.kernel), *(row for row in networks if row.scale == scale)]
    names = [row.name for row in rows]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise UserError(f"two rows would be called {twice}: rename a file or an experiment")
    return rows


def _experiments(folder: Path) -> Iterator[Path]:
    for experiment in sorted((folder / "experiments").glob("*")):
        if "_archived_" not in experiment.name and newest_network(experiment / "models") is not None:
            yield experiment


def _bicubic_row(scale: int, kernel: str) -> DownstreamRow:
    def picture(hr: RGBImage) -> RGBImage:
        return bicubic(reduce_patch(hr, scale, kernel=kernel)[..., ::-1], scale)[..., ::-1]

    return DownstreamRow(BICUBIC, scale, kernel, f"{BICUBIC} {kernel}", picture)


def _network_row(source: str, default_kernel: str) -> DownstreamRow:
    network = load_network(source)
    upscaler, info = Upscaler(network), network.info
    kernel = info.kernel if info.kernel in ("area", "bicubic") else default_kernel

    def picture(hr: RGBImage) -> RGBImage:
        return upscaler.upscale(reduce_patch(hr, info.scale, kernel=kernel))

    method = re.sub(rf"[-_]x{info.scale}(?=_|$)", "", info.name.removesuffix(".pth").removesuffix(".safetensors"))
    return DownstreamRow(method, info.scale, kernel, f"{info.sha256} {kernel}", picture)
