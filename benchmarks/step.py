"""How fast HAT trains beside the official code, with the same weights, and how much memory a step takes.

    python benchmarks/step.py [--quick] [--device cuda] [--scale 8 4] [--batch 1 4]

A step is forward, L1 and backward, at the training LR patches: 24 wide for x8, 48 for x4, 96 for x2. At x8 both
networks have a window that divides 24. On a GPU ours runs compiled and as CUDA graphs too. Outputs and gradients must
agree in fp32, or nothing is timed. What Adam takes comes last, by itself: it is the same for all.
"""

from collections.abc import Callable
from functools import partial

import torch
import torch.nn.functional as F
from children import with_allocator
from comparison import Question, matrix_peaks, memory_rows, sizes, time_rows
from contenders import WINDOWS, Contender, Size, build, build_all, exact, lineup
from machine import DTYPES
from report import Report, Row, Settings, arguments, positive, settings
from timing import alternate, spread
from torch import Tensor, nn

TOLERANCE = 1e-3  # of a gradient, relative to the greatest of its parameter


def train(one: Contender, network: nn.Module, lq: Tensor, gt: Tensor) -> None:
    """Forward, L1, backward."""
    network.zero_grad(set_to_none=True)
    with one.autocast(lq.device.type):
        sr = network(lq)
    F.l1_loss(sr.float(), gt).backward()


def training(network: nn.Module) -> None:
    network.train()


def check_gradients(size: Size, settings: Settings) -> None:
    """End the run unless ours has the gradients of the peer."""
    settings.apply()
    networks = build_all([Contender("peer"), Contender("ours")], size, settings.device)
    with exact():
        for one, network in networks.items():
            train(one, network.train(), *size.images(settings.device))
    peer, ours = (dict(network.named_parameters()) for network in networks.values())
    for name, parameter in peer.items():
        wanted, found = parameter.grad, ours[name].grad
        assert wanted is not None
        if found is None or not (wanted - found).abs().max() <= TOLERANCE * wanted.abs().max() + 1e-9:
            raise SystemExit(f"{size}: the gradient of {name} is not the peer's")


def adam_rows(settings: Settings) -> list[Row]:
    """Adam on one full network, in the ways that torch has."""
    settings.apply()
    network = build("ours", Size(4, 48, 1, settings.groups)).to(settings.device)
    for parameter in network.parameters():
        parameter.grad = torch.full_like(parameter, 1e-3)
    adam = partial(torch.optim.Adam, list(network.parameters()), lr=1e-9)
    ways = {"loop": adam(foreach=False), "foreach": adam(foreach=True), "fused": adam(fused=True)}
    calls: dict[str, Callable[[], object]] = {f"Adam, {name}": optimizer.step for name, optimizer in ways.items()}
    found = alternate(calls, repeats=settings.repeats, device=settings.device, what="Adam")
    return [{"optimizer": name, "ms": 1e3 * spread(seconds).median} for name, seconds in found.items()]


def main() -> None:
    parser = arguments(__doc__ or "")
    parser.add_argument("--scale", type=int, nargs="+", choices=[2, 4, 8], help="default: 8 4; quick: 8")
    parser.add_argument("--batch", type=positive, nargs="+", help="default: 1 4; quick: 1")
    parser.add_argument("--window-x8", type=int, choices=[8, 12], default=WINDOWS[8], help="of both networks at x8")
    args = parser.parse_args()
    chosen = settings(parser, args)
    report = Report("step", chosen)
    peaks = matrix_peaks(chosen)
    cuda = chosen.device == "cuda"
    others = [
        Contender("ours", precision, checkpointed=not graphs, graphs=graphs)
        for graphs in ([False, True] if cuda else [False])
        for precision in DTYPES
    ]
    contenders = lineup(chosen.device, others=others)
    scales, batches = args.scale or ([8] if args.quick else [8, 4]), args.batch or ([1] if args.quick else [1, 4])
    questions = [
        Question(size, contenders, train, training)
        for size in sizes(scales, batches, WINDOWS | {8: args.window_x8}, chosen.groups)
    ]
    for question in questions:
        with_allocator(chosen.allocators[-1], check_gradients, question.size, chosen)
    rows = [row for question in questions for row in time_rows(question, chosen, peaks)]
    report.table("Training step without the optimizer: time", rows)
    report.bars(rows, "x peer fp32", labels=["size", "contender", "allocator"])
    memory = [row for question in questions for row in memory_rows(question, chosen)]
    report.table("Training step without the optimizer: peak memory", memory, part="memory")
    report.table("The optimizer", with_allocator(chosen.allocators[-1], adam_rows, chosen), part="optimizer")


if __name__ == "__main__":
    main()
