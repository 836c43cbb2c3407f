"""The time and memory of the deformable branch (DAT) in a MiHATP block, and the growth of memory with pixels.

    python benchmarks/blocks.py [--quick] [--device cuda] [--scale 8 4 2]

Compares an M-HAB with a HAB of the same size, at the LR patch and with the options of `train_MiHATP_x<scale>.yml`. The
share of DAT is (M-HAB - HAB) / M-HAB, in time and in peak memory of tensors, over two blocks: one with plain windows,
one with shifted windows. The growth with pixels is measured on a network of one group. In inference a further group
reuses the memory of the first; in training it needs as much again.
"""

import inspect
from collections.abc import Callable
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any, Literal

import torch
from children import fresh, peak_mib, with_allocator
from report import Report, Row, Settings, arguments, settings
from timing import Times, alternate, share, spread
from torch import Tensor, nn

from mihatp_arch.archs import HAT, MiHATP
from mihatp_arch.config import yaml_files
from mihatp_arch.evaluation.results.tensor_memory import peak_of_tensors

Kind = Literal["HAT", "MiHATP"]
OPTIONS = Path(__file__).parents[1] / "options"
ARCHS: dict[Kind, type[HAT]] = {"HAT": HAT, "MiHATP": MiHATP}


def tensors_mib(call: Callable[[], object], *, device: str) -> float:
    """MiB of tensors at most at once in `call`: for single blocks, beside which a process's memory is too noisy.

    The second call counts, the first one may fill caches.
    """
    call()
    return peak_of_tensors(call, device=device)


def network(kind: Kind, scale: int) -> tuple[nn.Module, int]:
    """One group of two blocks with the options of MiHATP's training, and the width of its LR patch."""
    options: dict[str, Any] = yaml_files.read(OPTIONS / f"train_MiHATP_x{scale}.yml")["network_g"]
    parameters = inspect.signature(ARCHS[kind]).parameters
    options = {key: value for key, value in options.items() if key in parameters}
    one_group = {"depths": [2], "num_heads": [6], "drop_path_rate": 0.0, "use_checkpoint": False}
    torch.manual_seed(0)
    return ARCHS[kind](**{**options, **one_group}), options["img_size"]


def blocks(kind: Kind, scale: int, device: str) -> list[Callable[[Tensor], Tensor]]:
    """The network's blocks as functions of their map `[1, LR, LR, C]`; a forward pass gives the other arguments."""
    net, patch = network(kind, scale)
    net = net.to(device)
    calls: list[Callable[[Tensor], Tensor]] = []

    def record(block: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        calls.append(lambda x: block(x, *args[1:], **kwargs))

    group: Any = net.get_submodule("layers.0.residual_group.blocks")
    hooks = [block.register_forward_pre_hook(record, with_kwargs=True) for block in group]
    with torch.no_grad():
        net(torch.rand(1, 3, patch, patch, device=device))
    for hook in hooks:
        hook.remove()
    return calls


def passes(calls: list[Callable[[Tensor], Tensor]], width: int, device: str, *, training: bool) -> Callable[[], None]:
    """All blocks, one after the other: forward, and backward when training."""
    x = torch.randn(1, width, width, 180, device=device, requires_grad=training)

    def run() -> None:
        with torch.inference_mode(not training):
            y = x
            for block in calls:
                y = block(y)
            if training:
                y.backward(torch.ones_like(y))

    return run


def block_costs(scale: int, training: bool, settings: Settings) -> tuple[Times, dict[str, float]]:
    """Seconds and MiB of two blocks of each kind."""
    settings.apply()
    width, device = 192 // scale, settings.device
    calls = {kind: passes(blocks(kind, scale, device), width, device, training=training) for kind in ARCHS}
    times = alternate(calls, repeats=3 * settings.repeats, device=device, what=f"blocks at x{scale}")
    return times, {kind: tensors_mib(call, device=device) for kind, call in calls.items()}


def dat_row(scale: int, training: bool, settings: Settings) -> Row:
    """The share of DAT in its block, in time and memory."""
    times, mib = with_allocator(settings.allocators[-1], block_costs, scale, training, settings)
    part = share(times["MiHATP"], times["HAT"])
    return {
        "blocks": f"x{scale}, LR {192 // scale}, {'training' if training else 'inference'}",
        "HAB ms": 500 * spread(times["HAT"]).median,
        "M-HAB ms": 500 * spread(times["MiHATP"]).median,
        "DAT, share of time": part.median,
        "range": part.range(),
        "two HAB MiB": mib["HAT"],
        "two M-HAB MiB": mib["MiHATP"],
        "DAT, share of memory": (mib["MiHATP"] - mib["HAT"]) / mib["MiHATP"],
    }


def network_peak(kind: Kind, width: int, training: bool, settings: Settings) -> float:
    """MiB of a network at x4 and an LR image of this width."""
    settings.apply()
    net, _ = network(kind, 4)
    net = net.to(settings.device)

    def run(width: int) -> None:
        with torch.inference_mode(not training):
            sr = net(torch.rand(1, 3, width, width, device=settings.device))
            if training:
                sr.mean().backward()

    def warm_up() -> None:
        run(16)
        net.zero_grad(set_to_none=True)

    return peak_mib(partial(run, width), device=settings.device, warm_up=warm_up)


def growth_row(kind: Kind, width: int, training: bool, settings: Settings) -> Row:
    """Memory of one image, and per pixel: the same at every width where memory is linear."""
    mib = fresh(network_peak, kind, width, training, settings)
    pixels = width**2 / 1000
    return {
        "network": f"{kind}, {'training' if training else 'inference'}",
        "LR": width,
        "LR kilopixels": pixels,
        "peak MiB": mib,
        "MiB per kilopixel": mib / pixels,
    }


def main() -> None:
    parser = arguments(__doc__ or "")
    parser.add_argument("--scale", type=int, nargs="+", choices=[2, 4, 8], help="default: 8 4 2; quick: 8 4")
    args = parser.parse_args()
    chosen = settings(parser, args)
    report = Report("blocks", chosen)
    scales = args.scale or ([8, 4] if args.quick else [8, 4, 2])
    rows = [dat_row(scale, training, chosen) for scale, training in product(scales, (False, True))]
    report.table("DAT in its block", rows)
    report.bars(rows, "DAT, share of time", labels=["blocks"])
    widths = [48, 96] if args.quick else [48, 96, 144, 192]
    ways: list[tuple[Kind, bool]] = [("HAT", False), ("MiHATP", False), ("HAT", True), ("MiHATP", True)]
    rows = [
        growth_row(kind, width, training, chosen)
        for (kind, training), width in product(ways[: 2 if args.quick else 4], widths)
    ]
    report.table("Memory against pixels, one group of two blocks, x4", rows, part="memory")
    report.lines(rows, "LR kilopixels", "peak MiB", label="network", part="memory")


if __name__ == "__main__":
    main()
