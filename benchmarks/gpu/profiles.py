"""Where the time of inference and of a training step goes: the kernels that take most of it."""

from collections.abc import Callable
from functools import partial

import torch
from comparison import infer
from contenders import Contender, Size
from gpu.part import Check, Results
from report import Row
from step import train
from torch.profiler import ProfilerActivity, profile

KERNELS = 15
CALLS = 3


def run(check: Check, results: Results) -> None:
    """HAT in bf16, as fast as it goes on this device."""
    size = Size(4, 16, 1, 1, 8) if check.tiny else Size(4, 48, 16)
    ours = Contender("ours", "bf16", graphs=check.device == "cuda")
    lq, gt = size.images(check.device)
    network = ours.build(size, check.device)
    step = partial(train, ours, network.train(), lq, gt)
    results.add(f"Training step of HAT, bf16, {size}", kernel_rows(step, check.device))
    inference = partial(infer, ours, network.eval(), lq, gt)
    results.add(f"Inference of HAT, bf16, {size}", kernel_rows(inference, check.device))


def kernel_rows(call: Callable[[], object], device: str) -> list[Row]:
    """The kernels with the most time of their own; on a CPU, operators."""
    for _ in range(3):  # compiling, and recording of graphs
        call()
    kinds = [ProfilerActivity.CUDA] if device == "cuda" else [ProfilerActivity.CPU]
    with profile(activities=kinds) as recorded:
        for _ in range(CALLS):
            call()
        if device == "cuda":
            torch.cuda.synchronize()
    field = "self_device_time_total" if device == "cuda" else "self_cpu_time_total"
    times = sorted(((getattr(event, field), event) for event in recorded.key_averages()), key=lambda pair: -pair[0])
    total = sum(time for time, _ in times)
    return [
        {
            "kernel": event.key[:100],
            "ms": time / 1e3 / CALLS,
            "share": time / max(total, 1e-9),
            "calls": event.count / CALLS,
        }
        for time, event in times[:KERNELS]
    ]
