"""What the machine could do at best: its description, its matrix peak on the spot, and the operations of a network."""

import os
import platform
import time
from collections.abc import Callable

import torch
import torch.nn.functional as F
from timing import seconds
from torch.utils.flop_counter import FlopCounterMode

from datasets_prep.common.cores import usable_cores
from mihatp_arch.archs.fast.choice_file import processor

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}
_REPEATS = 8
ROUNDS = 4  # a second apart: one of them finds the machine idle


def hardware(device: str) -> str:
    """The name of the GPU or of the processor."""
    return torch.cuda.get_device_name() if device == "cuda" else processor()


def describe(device: str, threads: int) -> str:
    """One line: processor, threads, load, versions."""
    load = f", load {os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else ""
    of = f"{threads} of {usable_cores()} cores{load}"
    return f"{hardware(device)}, {of}, torch {torch.__version__}, Python {platform.python_version()}"


def matrix_peak(device: str, precision: str, *, rounds: int = ROUNDS) -> float:
    """FLOP/s of the best of matrix products and channels-last convolutions of HAT's sizes, best of several rounds."""
    best = 0.0
    for number in range(rounds):
        time.sleep(min(number, 1))
        best = max(best, _best_rate(device, DTYPES[precision]))
    return best


@torch.inference_mode()
def _best_rate(device: str, dtype: torch.dtype) -> float:
    best = 0.0
    side = 8192 if device == "cuda" else 2048
    linear = (4 * 48 * 48, 180, 540)  # the q, k, v of four LR patches of 48
    for rows, inner, columns in ((side, side, side), linear):
        a, b = (torch.randn(shape, device=device, dtype=dtype) for shape in ((rows, inner), (inner, columns)))
        best = max(best, _rate(lambda a=a, b=b: a @ b, 2 * rows * inner * columns, device))
    batch = 64 if device == "cuda" else 4
    for channels, out in ((180, 180), (180, 60)):  # the end of a group, CAB
        x = torch.randn(batch, channels, 48, 48, device=device, dtype=dtype).contiguous(
            memory_format=torch.channels_last
        )
        w = torch.randn(out, channels, 3, 3, device=device, dtype=dtype).contiguous(memory_format=torch.channels_last)
        best = max(best, _rate(lambda x=x, w=w: F.conv2d(x, w, padding=1), 18 * x.numel() * out, device))
    return best


def _rate(call: Callable[[], object], flops: int, device: str) -> float:
    seconds(call, device)
    return flops / min(seconds(call, device) for _ in range(_REPEATS))


def count_flops(call: Callable[[], object]) -> int:
    """Floating-point operations of the matrix products and convolutions in `call`, two for each multiply-add.

    Fused attention and private kernels are not all known to the counter: count a plain path.
    """
    with FlopCounterMode(display=False) as counter:
        call()
    return counter.get_total_flops()
