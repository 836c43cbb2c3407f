"""How fast MiHATP trains: both branches beside two steps of the official HAT and one of ours, and the feature network.

    python benchmarks/branches.py [--quick] [--device cuda] [--scale 8 4] [--batch 1]

Steps are whole ones, Adam included and EMA left out, of the models that `basicsr train` runs, with the options of
`options/train_<method>_x<scale>.yml` (window 12 at x8; no checkpointing, no stochastic depth). On a GPU ours run
compiled and as CUDA graphs. The feature network has random weights, which take as long. Its share is (whole step - step
without the contrastive loss - T_irr) / whole step.
"""

import logging
import tempfile
from collections.abc import Callable
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

import mihatp_arch  # noqa: F401  it mends what the imports below need

# isort: split
import torch
import torch.nn.functional as F
from basicsr.models import build_model
from basicsr.utils import get_root_logger
from children import fresh, peak_mib, with_allocator
from contenders import Contender, Size, build
from machine import count_flops
from report import Report, Row, Settings, arguments, positive, settings
from timing import Times, alternate, ratio, share, spread

from mihatp_arch.config import yaml_files
from mihatp_arch.training.parallel_branches import JoinedBranches, SequentialBranches

OPTIONS = Path(__file__).parents[1] / "options"
PEERS, HAT, BARE, WHOLE, T_IRR = "two peer steps", "HAT", "MiHATP, no contrastive loss", "MiHATP", "T_irr"
SHARED = "MiHATP, one network, no contrastive loss"
FAST: dict[str, dict[str, Any]] = {"cpu": {}, "cuda": {"compile": True, "cuda_graphs": True}}  # options of `train`
Step = Callable[[Size], object]


def ways(device: str) -> list[dict[str, Any]]:
    """Options of `train` that change how MiHATP runs and not what it computes, the fast way first."""
    if device == "cuda":
        return [FAST[device], {}]
    return [{"branch_threads": on} for on in (True, False)]


def model_step(method: str, size: Size, precision: str, settings: Settings, **train: Any) -> tuple[Any, Step]:
    """A model as `basicsr train` builds it, and its step on a batch of this size."""
    get_root_logger().setLevel(logging.ERROR)
    opt = yaml_files.read(OPTIONS / f"train_{method}_x{size.scale}.yml")
    depth = {"depths": [6] * size.groups, "num_heads": [6] * size.groups}
    opt |= {"num_gpu": int(settings.device == "cuda"), "dist": False, "rank": 0, "is_train": True}
    opt["path"] = {"models": tempfile.gettempdir(), "training_states": tempfile.gettempdir()}
    opt["network_g"] |= {"drop_path_rate": 0.0, "use_checkpoint": False, **depth}
    opt["train"] |= {"ema_decay": 0, "precision": precision, **train}
    if opt["train"].get("contrastive_opt"):
        opt["train"]["contrastive_opt"]["features"]["weights"] = "random"
    model = build_model(opt)

    def step(size: Size) -> None:
        lq, gt = size.images(settings.device)
        model.feed_data({"lq": lq, "gt": gt})
        model.optimize_parameters(1)

    return model, step


def peer_steps(size: Size, precision: str, settings: Settings) -> Step:
    """Two networks of the peer, each through its step, and Adam over both."""
    networks = [build("peer", size).to(settings.device).train() for _ in range(2)]
    optimizer = torch.optim.Adam([p for network in networks for p in network.parameters()], lr=1e-4)

    def step(size: Size) -> None:
        lq, gt = size.images(settings.device)
        optimizer.zero_grad()
        for network in networks:
            with Contender("peer", precision).autocast(settings.device):
                sr = network(lq)
            F.l1_loss(sr.float(), gt).backward()
        optimizer.step()

    return step


def makers(size: Size, precision: str, settings: Settings) -> dict[str, Callable[[], Step]]:
    """What builds the steps that are compared, by name; without the contrastive loss once for each of `ways`."""
    peer_precision = "fp32" if settings.device == "cpu" else precision  # bf16 gains the peer nothing on a CPU
    found: dict[str, Callable[[], Step]] = {
        PEERS: lambda: peer_steps(size, peer_precision, settings),
        HAT: lambda: model_step("HAT", size, precision, settings, **FAST[settings.device])[1],
        WHOLE: lambda: model_step("MiHATP", size, precision, settings, **ways(settings.device)[0])[1],
    }
    for way in ways(settings.device):
        name = ", ".join([BARE, *(f"{key} {value}".lower() for key, value in way.items())])
        found[name] = lambda way=way: model_step("MiHATP", size, precision, settings, contrastive_opt=None, **way)[1]
    for name, branches in {"one batch": JoinedBranches, "two batches": SequentialBranches}.items():
        found[f"{SHARED}, {name}"] = lambda branches=branches: shared_step(size, precision, settings, branches())
    return found


def shared_step(size: Size, precision: str, settings: Settings, branches: JoinedBranches | SequentialBranches) -> Step:
    """The step of one network for both branches, which run this way."""
    train = FAST[settings.device] | {"share_branches": True, "contrastive_opt": None}
    model, step = model_step("MiHATP", size, precision, settings, **train)
    model.branches = branches
    return step


def step_times(size: Size, precision: str, settings: Settings) -> tuple[Times, float]:
    """Seconds of all, and the operations (10⁹) of the contrastive loss, forward."""
    settings.apply()
    made = {name: make() for name, make in makers(size, precision, settings).items() if name != WHOLE}
    calls: dict[str, Callable[[], object]] = {name: partial(step, size) for name, step in made.items()}
    model, step = model_step("MiHATP", size, precision, settings, **ways(settings.device)[0])
    _, gt = size.images(settings.device)
    calls |= {WHOLE: partial(step, size), T_IRR: partial(model.irreversible_pool, gt)}
    times = alternate(calls, repeats=settings.repeats, device=settings.device, what=f"{size}, {precision}")
    positives, negatives = gt.unsqueeze(1), gt.unsqueeze(1).repeat(1, model.irreversible_pool.k_n, 1, 1, 1)
    return times, count_flops(partial(model.cri_cl, gt, positives, negatives)) / 1e9


def step_peak(name: str, size: Size, precision: str, settings: Settings) -> float:
    """MiB of one step after a first one on a small image, which makes gradients and Adam's state."""
    settings.apply()
    step = next(make for made, make in makers(size, precision, settings).items() if made.startswith(name))()
    small = Size(size.scale, 2 * size.window, 1, size.groups, size.window)
    return peak_mib(partial(step, size), device=settings.device, warm_up=partial(step, small))


def rows(size: Size, precision: str, settings: Settings) -> tuple[list[Row], Row]:
    """A row for each contender, and the shares in the whole step."""
    table: list[Row] = []
    *others, last = settings.allocators
    times, gflop = {}, 0.0  # those of the last allocator give the shares
    for allocator in [last] if settings.quick else [*others, last]:
        times, gflop = with_allocator(allocator, step_times, size, precision, settings)
        for name, seconds in times.items():
            row = {"size": str(size), "precision": precision, "allocator": allocator, "step": name}
            against, of_hat = ratio(times[PEERS], seconds), ratio(seconds, times[HAT])
            row |= {"ms": 1e3 * spread(seconds).median}
            if name != T_IRR:
                row |= {f"x {PEERS}": against.median, "range": against.range(), "HAT steps": of_hat.median}
            table.append(row)
    bare = next(seconds for name, seconds in times.items() if name.startswith(BARE))
    features = share(times[WHOLE], bare, times[T_IRR])
    shares: Row = {
        "size": str(size),
        "precision": precision,
        "contrastive loss, share": features.median,
        "range": features.range(),
        "T_irr, share": spread([t / w for t, w in zip(times[T_IRR], times[WHOLE], strict=True)]).median,
        "GFLOP forward": gflop,
    }
    return table, shares


def memory_rows(size: Size, precision: str, settings: Settings) -> list[Row]:
    """Peak memory of a step, and its ratio to that of the peer's."""
    found = {name: fresh(step_peak, name, size, precision, settings) for name in (PEERS, HAT, BARE, WHOLE)}
    common = {"size": str(size), "precision": precision}
    return [
        {**common, "step": name, "peak MiB": mib, "of the peers'": mib / found[PEERS]} for name, mib in found.items()
    ]


def main() -> None:
    parser = arguments(__doc__ or "")
    parser.add_argument("--scale", type=int, nargs="+", choices=[2, 4, 8], help="default: 8 4; quick: 8")
    parser.add_argument("--batch", type=positive, nargs="+", help="default: 1 4; quick: 1")
    parser.add_argument("--precision", choices=["fp32", "bf16"], nargs="+", help="default: both; quick: fp32")
    args = parser.parse_args()
    chosen = settings(parser, args)
    report = Report("branches", chosen)
    table: list[Row] = []
    shares: list[Row] = []
    memory: list[Row] = []
    scales, batches = args.scale or ([8] if args.quick else [8, 4]), args.batch or ([1] if args.quick else [1, 4])
    for scale, batch in product(scales, batches):
        size = Size(scale, 192 // scale, batch, chosen.groups, 12 if scale == 8 else 16)
        for precision in args.precision or (["fp32"] if args.quick else ["fp32", "bf16"]):
            timed, parts = rows(size, precision, chosen)
            table, shares = table + timed, [*shares, parts]
            if not args.quick:
                memory += memory_rows(size, precision, chosen)
    report.table("Whole steps: time", table)
    report.bars(table, f"x {PEERS}", labels=["size", "precision", "step", "allocator"])
    report.table("The contrastive loss in MiHATP's step", shares, part="features")
    if memory:
        report.table("Whole steps: peak memory", memory, part="memory")


if __name__ == "__main__":
    main()
