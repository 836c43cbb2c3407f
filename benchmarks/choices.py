"""Which ways of attention and linear layers inference chooses on this CPU, and what the choice gains.

    python benchmarks/choices.py --threads 1 [--quick]

* Ways: 9 windows of HAT at LR 48, and its linear layer on 2304 pixels, by every way that can compute them. `fixed` is
  the way of training, `chosen` that of inference; the choice is measured anew.
* Networks: HAT at LR 48 and he-light-x4 on a tile, all layers by the fixed ways and by the chosen ones.
* Heads: the layer of q, k and v with PyTorch's attention, for heads of 30 channels and of 30 padded to 32.
* Steps: HAT's training step at LR 24 under each value of `MIHATP_FAST` that a training can take. Training itself
  measures nothing; where one of them is clearly faster, give it to the training.
"""

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from itertools import product
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
import torch.nn.functional as F
from contenders import Contender, Size, build
from machine import DTYPES
from report import Report, Row, Settings, arguments, settings
from step import train
from timing import alternate, ratio, spread
from torch import Tensor, nn

from mihatp_arch.archs.fast.attention import attention
from mihatp_arch.archs.fast.calibration import Calibration, calibrated
from mihatp_arch.archs.fast.fast_setting import VARIABLE, WAYS
from mihatp_arch.archs.fast.linear import HeadLinear, linear
from mihatp_arch.inference.load import load_network
from mihatp_arch.inference.network import Network, NetworkInfo, Precision, TorchNetwork

WINDOWS, HEADS, PIXELS, OVERLAPPING = 9, 6, 256, 576
PRECISIONS: tuple[Precision, ...] = ("fp32", "bf16")


class Asked(Calibration):
    """A calibration that remembers what the last layer asked."""

    def choose(self, key: str, ways: Sequence[str], run: Callable[[str], object], fixed: str) -> str:
        self.ways, self.run, self.fixed = ways, run, fixed
        self.chosen = super().choose(key, ways, run, fixed)
        return self.chosen


@contextmanager
def fast(setting: str) -> Iterator[None]:
    """Inside the block `MIHATP_FAST` has this value."""
    before = os.environ.get(VARIABLE)
    os.environ[VARIABLE] = setting
    try:
        yield
    finally:
        del os.environ[VARIABLE]
        if before is not None:
            os.environ[VARIABLE] = before


def layers() -> dict[str, Callable[[], Tensor]]:
    """A call of each layer, by its name and precision."""
    calls: dict[str, Callable[[], Tensor]] = {}
    for keys, (precision, dtype) in product((PIXELS, OVERLAPPING), DTYPES.items()):
        q, k, v = (torch.randn(WINDOWS, HEADS, rows, 32, dtype=dtype) for rows in (PIXELS, keys, keys))
        bias = torch.randn(1, HEADS, PIXELS, keys, dtype=dtype)
        shape = "×".join(map(str, (WINDOWS, HEADS, PIXELS, keys, 32)))
        calls[f"attention {shape}, {precision}"] = partial(attention, q, k, v, bias=bias, scale=0.18, fused=True)
    for precision, dtype in DTYPES.items():
        x, weight, bias = (torch.randn(shape, dtype=dtype) for shape in ((WINDOWS * PIXELS, 180), (576, 180), (576,)))
        calls[f"linear 180 → 576, {precision}"] = partial(linear, x, weight, bias)
    return calls


@torch.inference_mode()
def way_rows(chosen: Settings) -> list[Row]:
    """A row for each layer and way: ms, and how many times faster than the fixed way."""
    rows: list[Row] = []
    for name, call in layers().items():
        asked = Asked()
        with fast("calibrated"), calibrated(asked):
            call()
        ways = {way: partial(asked.run, way) for way in (asked.fixed, *asked.ways)}
        times = alternate(ways, repeats=chosen.repeats, device="cpu", what=name)
        for way, seconds in times.items():
            role = [role for role in ("fixed", "chosen") if getattr(asked, role) == way]
            row: dict[str, str | float] = {"layer": name, "way": way, "": ", ".join(role)}
            rows.append(row | _compared(times[asked.fixed], seconds))
    return rows


def _compared(fixed: Sequence[float], seconds: Sequence[float]) -> dict[str, str | float]:
    faster = ratio(fixed, seconds)
    return {"ms": 1e3 * spread(seconds).median, "x fixed": faster.median, "range": faster.range()}


def networks(chosen: Settings) -> Iterator[tuple[str, Network, Tensor]]:
    """Name, network and LR of each network, in each precision."""
    size, device = Size(4, 48, 1, chosen.groups), torch.device("cpu")
    hat, info = build("ours", size), NetworkInfo("HAT", 4, multiple=16)
    tile = 96 if chosen.quick else 160
    for precision in PRECISIONS:
        name = f"HAT, {size}, {precision}"
        yield name, TorchNetwork(hat, info, device=device, precision=precision), size.images("cpu")[0]
    for precision in PRECISIONS:
        network = load_network("he-light-x4", device="cpu", precision=precision)
        yield f"he-light-x4, LR {tile}, {precision}", network, torch.rand(1, 3, tile, tile)


def network_rows(chosen: Settings) -> list[Row]:
    """A row for each network: ms by the fixed and by the chosen ways."""

    def run(network: Network, lr: Tensor, setting: str) -> None:
        with fast(setting):
            network(lr)

    rows: list[Row] = []
    for name, network, lr in networks(chosen):
        calls = {setting: partial(run, network, lr, setting) for setting in ("fixed", "calibrated")}
        times = alternate(calls, repeats=chosen.repeats, device="cpu", what=name)
        faster = ratio(*times.values())
        row: dict[str, str | float] = {"network": name}
        row |= {f"ms, {setting}": 1e3 * spread(seconds).median for setting, seconds in times.items()}
        rows.append(row | {"x fixed": faster.median, "range": faster.range()})
    return rows


@torch.inference_mode()
def head_rows(chosen: Settings) -> list[Row]:
    """q, k and v, then PyTorch's attention: heads of 30 channels as they are, and padded to 32."""
    layer = HeadLinear(180, head_dim=30, heads=3 * HEADS)
    plain = nn.Linear(180, 180 * 3)
    plain.load_state_dict(layer.state_dict())
    rows: list[Row] = []
    for precision, dtype in DTYPES.items():
        x, bias = torch.randn(WINDOWS, PIXELS, 180, dtype=dtype), torch.randn(1, HEADS, PIXELS, PIXELS, dtype=dtype)
        calls = {head: partial(_attended, module.to(dtype), x, bias) for head, module in (("30", plain), ("32", layer))}
        with fast("fixed"):
            times = alternate(calls, repeats=chosen.repeats, device="cpu", what=f"heads, {precision}")
        faster = ratio(*times.values())
        row: dict[str, str | float] = {"heads": precision}
        row |= {f"ms, {head} channels": 1e3 * spread(seconds).median for head, seconds in times.items()}
        rows.append(row | {"x 30 channels": faster.median, "range": faster.range()})
    return rows


def _attended(layer: nn.Module, x: Tensor, bias: Tensor) -> Tensor:
    q, k, v = layer(x).unflatten(-1, (3, HEADS, -1)).permute(2, 0, 3, 1, 4)
    return F.scaled_dot_product_attention(q, k, v, attn_mask=bias)


def step_rows(chosen: Settings) -> list[Row]:
    """A row for each precision and value of `MIHATP_FAST`: ms of HAT's training step."""
    size = Size(8, 24, 1, chosen.groups)
    network, images = build("ours", size).train(), size.images("cpu")
    with_gradient = [f"{layer}={way}" for layer, ways in WAYS.items() for way in ways if way != "onednn"]

    def step(contender: Contender, setting: str) -> None:
        with fast(setting):
            train(contender, network, *images)

    rows: list[Row] = []
    for precision in PRECISIONS:
        one = Contender("ours", precision)
        calls = {setting: partial(step, one, setting) for setting in ("fixed", *with_gradient)}
        times = alternate(calls, repeats=chosen.repeats, device="cpu", what=f"step, {precision}")
        for setting, seconds in times.items():
            row: dict[str, str | float] = {"step": f"HAT, {size}, {precision}", VARIABLE: setting}
            rows.append(row | _compared(times["fixed"], seconds))
    return rows


def main() -> None:
    parser = arguments(__doc__ or "")
    args = parser.parse_args()
    if args.device != "cpu":
        parser.error("--device cuda: only a CPU has several ways")
    chosen = settings(parser, args).apply()
    tables: Mapping[str, tuple[str, Callable[[Settings], list[Row]]]] = {
        "": ("Ways of a layer", way_rows),
        "networks": ("Networks by the fixed and by the chosen ways", network_rows),
        "heads": ("q, k, v and PyTorch's attention", head_rows),
        "steps": ("HAT's training step by each way", step_rows),
    }
    report = Report("choices", chosen)
    with TemporaryDirectory() as cache:  # choices of before do not count
        os.environ["XDG_CACHE_HOME"] = str(Path(cache))
        for part, (title, rows) in tables.items():
            report.table(title, rows(chosen), part=part)


if __name__ == "__main__":
    main()
