"""Contenders that take turns at one size: their times as rows of ratios, and their peak memory likewise."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from itertools import product
from typing import Any

import torch
from children import fresh, peak_mib, with_allocator
from contenders import Contender, Size, build_all, check_same, gflop
from machine import DTYPES, ROUNDS, matrix_peak
from report import Row, Settings
from timing import Times, alternate, ratio, spread
from torch import Tensor, nn

from mihatp_arch.archs.fast.calibration import Calibration, calibrated

# run(contender, network, lq, gt): what is measured; a function of a module, which goes to another process by its name.
Run = Callable[[Contender, nn.Module, Tensor, Tensor], object]
Ready = Callable[[nn.Module], object]  # puts a network into the state that `run` wants


@dataclass(frozen=True)
class Question:
    """One size, who is compared at it, and at what."""

    size: Size
    contenders: Sequence[Contender]
    run: Run
    ready: Ready


def matrix_peaks(settings: Settings, *, rounds: int = ROUNDS) -> dict[str, float]:
    """FLOP/s at best, by precision, in a process of its own; printed as well."""
    peaks = with_allocator(settings.allocators[-1], _matrix_peaks, settings, rounds)
    print(", ".join(f"matrix peak {name}: {peak / 1e9:.0f} GFLOP/s" for name, peak in peaks.items()), flush=True)
    return peaks


def _matrix_peaks(settings: Settings, rounds: int) -> dict[str, float]:
    settings.apply()
    return {precision: matrix_peak(settings.device, precision, rounds=rounds) for precision in DTYPES}


def times(question: Question, settings: Settings, allocator: str) -> Times:
    """Seconds of all contenders in one process, after it was made sure that ours computes what the peer does."""
    return with_allocator(allocator, _times, question, settings, allocator)


def _times(question: Question, settings: Settings, allocator: str) -> Times:
    settings.apply()
    size, device = question.size, settings.device
    networks = build_all(question.contenders, size, device)
    check_same(networks, size, device)
    lq, gt = size.images(device)
    for network in networks.values():
        question.ready(network)
    calls = {str(one): partial(question.run, one, network, lq, gt) for one, network in networks.items()}
    return alternate(calls, repeats=settings.repeats, device=device, what=f"{size} ({allocator} allocator)")


def time_rows(question: Question, settings: Settings, peaks: Mapping[str, float]) -> list[Row]:
    """Times, ratios to the peer, operations, the floor they set, and how near it each contender is."""
    size = question.size
    counted = {name: _gflop(name, question) for name in {one.name for one in question.contenders}}
    rows: list[Row] = []
    for allocator in settings.allocators:
        found = times(question, settings, allocator)
        for one in question.contenders:
            floor = 1e9 * counted[one.name] / peaks[one.precision]
            median = spread(found[str(one)]).median
            row: dict[str, Any] = {"size": str(size), "allocator": allocator, "contender": str(one)}
            row |= {"ms": 1e3 * median}
            for peer in ("peer fp32", "peer bf16"):
                if peer in found:
                    against = ratio(found[peer], found[str(one)])
                    row |= {f"x {peer}": against.median, f"range {peer}": against.range()}
            row |= {"GFLOP": counted[one.name], "floor ms": 1e3 * floor, "of the peak": floor / median}
            rows.append(row)
    return rows


def _gflop(name: str, question: Question) -> float:
    """What is recomputed for want of memory is not work, so that it is counted without checkpoints."""
    one = Contender(name)
    return gflop(one, question.size, lambda network, lq, gt: question.run(one, network, lq, gt))


def memory_rows(question: Question, settings: Settings) -> list[Row]:
    """Peak memory of each contender, in a process of its own, and its ratio to the peer's in fp32."""
    found = {one: fresh(_peak, one, question, settings) for one in question.contenders}
    peer = found[Contender("peer")]
    return [
        {"size": str(question.size), "contender": str(one), "peak MiB": mib, "of the peer's": mib / peer}
        for one, mib in found.items()
    ]


def _peak(one: Contender, question: Question, settings: Settings) -> float:
    settings.apply()
    size, device = question.size, settings.device
    network = one.build(size, device)
    question.ready(network)

    def warm_up() -> None:
        question.run(one, network, *size.smallest().images(device))
        network.zero_grad(set_to_none=True)

    return peak_mib(partial(question.run, one, network, *size.images(device)), device=device, warm_up=warm_up)


def sizes(scales: Sequence[int], batches: Sequence[int], windows: Mapping[int, int], groups: int) -> list[Size]:
    """The training LR patches of these scales, 192 wide in HR, in these batches."""
    return [Size(scale, 192 // scale, batch, groups, windows[scale]) for scale, batch in product(scales, batches)]


def evaluation(network: nn.Module) -> None:
    network.eval()


@lru_cache
def calibration() -> Calibration:
    """That of this process."""
    return Calibration()


@torch.inference_mode()
def infer(one: Contender, network: nn.Module, lq: Tensor, gt: Tensor) -> Tensor:
    """One forward without gradients, as `mihatp upscale` runs it."""
    with one.autocast(lq.device.type), calibrated(calibration() if one.name == "ours" else None):
        return network(lq)
