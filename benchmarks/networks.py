"""How fast HAT infers beside the official code, with the same weights, and how much memory it takes.

    python benchmarks/networks.py [--quick] [--device cuda] [--lr 48 64] [--batch 1 4]

At x4 and full size, in fp32 and under bf16 autocast. Outputs must agree to 1e-5 in fp32, or nothing is timed. SwinIR of
BasicSR runs along for orientation: another network, with less to compute. On a GPU the peer is under autocast too, and
`--graphs` adds ours replayed as a CUDA graph, with its blocks compiled and not.
"""

from collections.abc import Callable, Mapping
from functools import partial

import torch
from children import fresh
from comparison import Question, evaluation, infer, matrix_peaks, memory_rows, time_rows
from contenders import Contender, Size, build_all, gflop, lineup
from machine import DTYPES
from report import Report, Row, Settings, arguments, positive, settings
from timing import alternate, ratio, spread

SCALE = 4


def replayed(call: Callable[[], object]) -> Callable[[], object]:
    """The call as a CUDA graph: the GPU runs what was recorded, without Python in between."""
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(3):
            call()
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        call()
    return graph.replay


def graph_rows(size: Size, settings: Settings, peaks: Mapping[str, float]) -> list[Row]:
    """The peer call by call, ours as graphs: of the network as it is, and of its compiled blocks."""
    settings.apply()
    peers = [Contender("peer", precision) for precision in DTYPES]
    ours = [Contender("ours", precision, graphs=compiled) for compiled in (False, True) for precision in DTYPES]
    networks = build_all([*peers, *ours], size, "cuda")
    lq, gt = size.images("cuda")
    calls: dict[str, Callable[[], object]] = {}
    for one, network in networks.items():
        call = partial(infer, one, network.eval(), lq, gt)
        way = ", replayed" if one in ours else ""
        calls[f"{one.name} {one.precision}{', compiled' if one.graphs else ''}{way}"] = replayed(call) if way else call
    found = alternate(calls, repeats=settings.repeats, device="cuda", what=str(size))
    rows: list[Row] = []
    flops = 1e9 * gflop(ours[0], size, lambda network, lq, gt: infer(ours[0], network, lq, gt))
    for name, seconds in found.items():
        against, median = ratio(found["peer fp32"], seconds), spread(seconds).median
        peak = peaks["bf16" if "bf16" in name else "fp32"]
        rows.append(
            {
                "size": str(size),
                "contender": name,
                "ms": 1e3 * median,
                "x peer fp32": against.median,
                "range": against.range(),
                "x peer bf16": ratio(found["peer bf16"], seconds).median,
                "of the peak": flops / peak / median,
            }
        )
    return rows


def main() -> None:
    parser = arguments(__doc__ or "")
    parser.add_argument("--lr", type=positive, nargs="+", help="widths of LR, multiples of 16 (default: 48)")
    parser.add_argument("--batch", type=positive, nargs="+", help="default: 1 4; quick: 1; on a GPU 1 and 16")
    parser.add_argument("--graphs", action="store_true", help="CUDA graphs too")
    args = parser.parse_args()
    chosen = settings(parser, args)
    widths = args.lr or [48]
    if any(width % 16 for width in widths):
        parser.error("--lr: each width must be a multiple of 16, the window")
    if args.graphs and args.device != "cuda":
        parser.error("--graphs needs --device cuda")
    batches = args.batch or ([1] if args.quick else [1, 16] if args.device == "cuda" else [1, 4])
    report = Report("networks", chosen)
    peaks = matrix_peaks(chosen)
    contenders = lineup(chosen.device, others=[Contender("SwinIR")])
    questions = [
        Question(Size(SCALE, width, batch, chosen.groups), contenders, infer, evaluation)
        for width in widths
        for batch in batches
    ]
    rows = [row for question in questions for row in time_rows(question, chosen, peaks)]
    report.table("Inference: time", rows)
    report.bars(rows, "x peer fp32", labels=["size", "contender", "allocator"])
    report.table(
        "Inference: peak memory",
        [row for question in questions for row in memory_rows(question, chosen)],
        part="memory",
    )
    if args.graphs:
        rows = [row for question in questions for row in fresh(graph_rows, question.size, chosen, peaks)]
        report.table("Inference: CUDA graphs", rows, part="graphs")
    report.choices()


if __name__ == "__main__":
    main()
