"""The cost of a method on one patch: parameters, operations, time and memory, all methods measured in one run."""

import statistics
import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from basicsr.archs import build_network
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from mihatp_arch.config import yaml_files
from mihatp_arch.evaluation.results.tensor_memory import peak_of_tensors

_ENOUGH = 2e4  # milliseconds; a network whose repeats took this long is not repeated again


@dataclass(frozen=True)
class Cost:
    """The cost of one forward pass of one patch; a diffusion model goes through all its steps.

    Attributes:
        parameters: trainable values of the network.
        frozen: its other parameters: a first stage.
        gflops: 10⁹ floating-point operations of its matrix products and convolutions; a multiply-add counts as two.
        milliseconds: median of several passes; the networks take turns.
        mebibytes: the most memory that torch had allocated at once beside the weights, in MiB.
    """

    parameters: int
    frozen: int
    gflops: float
    milliseconds: float
    mebibytes: float


def network_of(options: Path) -> nn.Module:
    """The untrained network of an option file: its cost does not depend on its weights.

    Raises:
        UserError: the file cannot be read.
    """
    return build_network(yaml_files.read(options)["network_g"]).eval()


def parameters(network: nn.Module) -> int:
    """Number of trainable values."""
    return sum(p.numel() for p in network.parameters() if p.requires_grad)


@torch.inference_mode()
def measure(networks: Mapping[str, nn.Module], *, width: int, repeats: int = 11) -> dict[str, Cost]:
    """The cost of an LR patch `[1, 3, width, width]` for each network, on the GPU or, without one, on the CPU."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    lq = torch.rand(1, 3, width, width, generator=torch.Generator().manual_seed(0)).to(device)
    networks = {name: network.to(device) for name, network in networks.items()}
    times: dict[str, list[float]] = {name: [] for name in networks}
    for repeat in range(repeats + 1):
        for name, network in networks.items():
            if sum(times[name]) > _ENOUGH:
                continue
            start = time.perf_counter()
            network(lq)
            if device.type == "cuda":
                torch.cuda.synchronize()
            if repeat:  # the first pass warms up
                times[name].append(1e3 * (time.perf_counter() - start))
    return {
        name: Cost(
            parameters(network),
            sum(p.numel() for p in network.parameters() if not p.requires_grad),
            _gflops(network, lq),
            statistics.median(times[name]),
            peak_of_tensors(partial(network, lq), device=lq.device.type),
        )
        for name, network in networks.items()
    }


def _gflops(network: nn.Module, lq: torch.Tensor) -> float:
    # The counter does not know fused attention on a CPU, so attention is computed as two matrix products.
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        network(lq)
    return counter.get_total_flops() / 1e9
